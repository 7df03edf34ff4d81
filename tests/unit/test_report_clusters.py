"""What the reports say of inner clusters: creations, the leak matrix, failovers; and JUnit XML of any run."""

import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kubeception_sim import report
from kubeception_sim.cli import kubeception
from kubeception_sim.errors import BadInput
from kubeception_sim.model.results import Failover, RunResult
from kubeception_sim.report.html import as_html
from kubeception_sim.report.junit import as_junit
from kubeception_sim.report.lanes import Matrix, difference, lanes, shares, symbol
from tests.golden.report import clusters, runs


def shown(run: RunResult) -> str:
    text = io.StringIO()
    report.show(run, Console(file=text, width=200, no_color=True))
    return text.getvalue()


def suite(run: RunResult) -> ElementTree.Element:
    """The suite, after a look at what the schema of JUnit demands of it."""
    root = ElementTree.fromstring(as_junit(run).encode())
    assert root.tag == "testsuites"
    (found,) = root
    assert [child.tag for child in found] == ["properties", *["testcase"] * int(found.attrib["tests"])]
    assert {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"} == found.attrib.keys()
    for case in found.findall("testcase"):
        assert case.attrib.keys() == {"classname", "name", "time"}
        assert [child.tag for child in case] in ([], ["failure"], ["error"], ["skipped"])
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(found.attrib[attribute]) == len(found.findall(f"testcase/{kind}"))
    return found


@pytest.mark.parametrize("run", [runs.passed(), runs.failed(), clusters.with_clusters()], ids=["passed", "failed", "clusters"])
def test_failures_in_junit_are_what_the_verdict_speaks_of(run: RunResult) -> None:
    found = suite(run)
    assert (found.attrib["failures"] == "0") == (run.verdict == "pass")
    properties = {each.attrib["name"]: each.attrib["value"] for each in found.iter("property")}
    assert properties == {"accelerator": "tcg", "driver": "qemu", "verdict": str(run.verdict)}


def test_an_error_of_the_harness_is_one_in_junit() -> None:
    assert suite(replace(runs.passed(), error="no space left")).attrib["errors"] == "1"


def test_junit_has_one_case_for_each_source_and_target() -> None:
    cases = [case for case in suite(clusters.with_clusters()).findall("testcase") if case.attrib["classname"].endswith(".leaks")]
    assert len(cases) == 10 * 9
    bad = {case.attrib["name"]: failure.attrib["message"] for case in cases for failure in case.findall("failure")}
    assert bad == {
        "customera/worker-0 to customera/worker-1": "icmp: blocked (expected open, was closed)",
        "customera/worker-0 to customerb/worker-0": "icmp: leak (expected closed, was open)",
    }


@given(st.text())
def test_whatever_a_guest_writes_junit_is_xml(text: str) -> None:
    step = replace(runs.passed().steps[0], ok=False, detail=text, title=text)
    suite(replace(runs.passed(), steps=(step,)))


def test_json_has_what_inner_clusters_tell() -> None:
    document = json.loads(report.as_json(clusters.with_clusters()))
    assert document["creations"][0]["cluster"] == "customera"
    assert document["creations"][0]["spans"][0] == {"host": "", "name": "Network", "start": 10.0, "end": 12.0, "seconds": 2.0}
    assert sum(not leak["ok"] for leak in document["leaks"]) == 2
    assert [(each["attributed"], each["outage"], each["ok"]) for each in document["failovers"]] == [
        (6.0, 6.2, True),
        (6.0, 12.0, False),
    ]


def test_a_creation_has_a_lane_for_each_condition_and_machine() -> None:
    found = lanes(clusters.creation())
    assert [lane.label for lane in found] == ["Network", "ControlPlane", "master-0", "worker-0"]
    assert all(0 <= bar.left <= bar.left + bar.width <= 100.001 for lane in found for bar in lane.bars)


def test_shares_of_a_failover_are_of_the_longer_of_both() -> None:
    explained, unexplained = clusters.failovers()
    assert sum(bar.width for bar in shares(explained)) == pytest.approx(100 * 6.0 / 6.2)
    assert sum(bar.width for bar in shares(unexplained)) == pytest.approx(50)
    assert difference(unexplained) == pytest.approx(-50)
    assert shares(Failover("nothing", (), 1.0, 0)) == ()


def test_a_cell_that_is_not_as_expected_is_named_by_what_it_is() -> None:
    assert sorted(symbol(leak) for leak in clusters.with_clusters().leaks if not leak.ok) == ["blocked", "leak"]
    assert len(Matrix.of(clusters.with_clusters().leaks).sources) == 10


def test_the_page_shows_all_three() -> None:
    text = as_html(clusters.with_clusters())
    for heading in ("Creation of customera", "Leak matrix", "Where the time of failovers went", "What went wrong"):
        assert f"<h2>{heading}</h2>" in text
    assert "270 tries, 2 not as expected: 1 leaks, 1 blocked though expected" in text


def test_the_terminal_shows_only_problems_of_the_matrix() -> None:
    text = shown(clusters.with_clusters())
    assert "268 of 270 as expected" in text
    assert "FAIL  leak: customera/worker-0 to customerb/worker-0 by icmp, 3 packets counted" in text
    assert text.count("by icmp") == 2
    assert "customera Ready after 40.0 s" in text
    assert "cut rack-2  6.0 s of 12.0 s (-50.0 %)" in text


@pytest.mark.parametrize("run", [runs.passed(), runs.failed(), clusters.with_clusters()], ids=["passed", "failed", "clusters"])
def test_a_report_that_is_read_is_the_one_that_was_written(run: RunResult) -> None:
    text = report.as_json(run)
    assert report.as_json(report.from_json(text, "report.json")) == text


@pytest.mark.parametrize("text", ["<html>", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "scenario": 5, "hosts": 3}'])
def test_what_is_no_report_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(BadInput, match=r"^there/report\.json: "):
        report.from_json(text, "there/report.json")


def test_the_verb_shows_a_run_again_and_ends_as_it_did(tmp_path: Path) -> None:
    report.write(clusters.with_clusters(), tmp_path)
    ran = CliRunner().invoke(kubeception, ["report", str(tmp_path), "--html", str(tmp_path / "again.html")])
    assert ran.exit_code == 1
    assert "268 of 270 as expected" in ran.output
    assert "<h2>Leak matrix</h2>" in (tmp_path / "again.html").read_text()


def test_the_verb_says_which_file_is_missing(tmp_path: Path) -> None:
    ran = CliRunner().invoke(kubeception, ["report", str(tmp_path)])
    assert isinstance(ran.exception, BadInput)
    assert ran.exception.message == f"{tmp_path}/report.json: No such file or directory"
