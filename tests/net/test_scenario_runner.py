"""`kubeception run` with fake machines: a real mayu, real packets, no firmware. Every way a run can end."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.rack import ROOT, Traces, kubeception

SCENARIO = """\
schema: 1
name: small-rack
profiles:
  - {{name: node, ignition: {butane}, values: {{motd: hello}}}}
machines:
  - {{name: one, serial: KC-T-1, address: 10.77.0.11, profile: node, values: {{position: a, secret: x}}}}
  - {{name: two, serial: KC-T-2, address: 10.77.0.12, profile: node, firmware: uefi, values: {{position: b, secret: y}}}}
steps:
  - do: power-on
  - {{do: await, state: running, within: 60s}}
budgets:
  - {{metric: power-on-to, stage: running, limit: 60s}}
"""
DEADLINE = 30.0


class Runs:
    """Runs of the command line in a folder of their own, with labs in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.log = folder / "log"
        self.labs = folder / "labs"
        self.labs.mkdir()
        self.scenario = folder / "small.yaml"
        self.text = SCENARIO.format(butane=ROOT / "scenarios" / "performance" / "rack-node.bu")
        self.scenario.write_text(self.text)
        self.env = {**os.environ, "KUBECEPTION_RUN": str(self.labs)}

    def change(self, old: str, new: str) -> None:
        assert old in self.text
        self.text = self.text.replace(old, new)
        self.scenario.write_text(self.text)

    def argv(self, *words: str) -> list[str]:
        return kubeception("run", self.scenario, "--out", self.out, "--driver", "fake", *words)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*words), env=self.env, capture_output=True, text=True, timeout=90, check=False)

    def start(self) -> "subprocess.Popen[bytes]":
        """A run in the background, returned when its machines have power."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(self.argv(), env=self.env, stdout=log, stderr=log)
        deadline = time.monotonic() + DEADLINE
        while " s  await " not in self.log.read_text():
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return process

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "report.json").read_text())
        return found


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made = Runs(tmp_path)
    before = Traces.now(made.labs)
    yield made
    assert not Traces.now(made.labs).since(before), "something was left behind"


def test_a_rack_that_arrives_passes(runs: Runs) -> None:
    ran = runs.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = runs.report()
    assert (report["schema"], report["scenario"], report["verdict"], report["accelerator"]) == (1, "small-rack", "pass", "none")
    assert [(host["name"], host["serial"], host["firmware"], host["state"]) for host in report["hosts"]] == [
        ("one", "KC-T-1", "bios", "running"),
        ("two", "KC-T-2", "uefi", "running"),
    ]
    stages = ["dhcp", "tftp", "ipxe", "http", "ignition", "switch-root", "running"]
    for host in report["hosts"]:
        assert sorted(host["stages"], key=host["stages"].get) == stages
        assert all(0 < seconds <= report["seconds"] for seconds in host["stages"].values())
    assert [budget["ok"] for budget in report["budgets"]] == [True, True]
    assert "PASS" in ran.stdout
    assert (runs.out / "logs" / "mayu.log").read_text()
    assert "one.console.log" in {path.name for path in (runs.out / "logs").iterdir()}


def test_the_page_stands_alone(runs: Runs) -> None:
    runs.run()

    class Links(HTMLParser):
        found: list[str] = []  # noqa: RUF012 -- read once

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            self.found += [value or "" for name, value in attributes if name in ("src", "href")]

    page = (runs.out / "report.html").read_text()
    Links().feed(page)
    assert not [link for link in Links.found if not link.startswith(("#", "data:"))]
    assert "small-rack" in page


def test_a_missed_budget_fails(runs: Runs) -> None:
    runs.change("limit: 60s", "limit: 1ms")
    assert runs.run().returncode == 1
    report = runs.report()
    assert report["verdict"] == "fail"
    assert not any(budget["ok"] for budget in report["budgets"])


def test_a_machine_that_does_not_arrive_is_named_with_its_last_stage_and_console(runs: Runs) -> None:
    runs.change("within: 60s", "within: 4s")
    runs.change("  - {do: await, state: running", "  - {do: await, machines: [one], state: failed")
    ran = runs.run()
    assert ran.returncode == 1, ran.stdout
    (one, _) = runs.report()["hosts"]
    assert one["failure"] == "not failed within 4s: the last stage it reached is running"
    assert "one: not failed within 4s: the last stage it reached is running" in ran.stdout
    assert "firmware: 10.77.0.11/24, boot file undionly.kpxe" in ran.stdout


def test_bad_input_is_told_with_file_and_line(runs: Runs) -> None:
    runs.change("firmware: uefi", "firmwar: uefi")
    ran = runs.run()
    assert ran.returncode == 3
    assert f"{runs.scenario}:7: error: machines[1].firmwar: unknown key (did you mean 'firmware'?)" in ran.stderr
    assert not runs.out.exists()


def test_a_broken_environment_is_an_error_and_not_a_failure(runs: Runs) -> None:
    # mayu refuses a template that does not render, so the harness cannot even begin.
    butane = runs.scenario.with_name("bad.bu")
    butane.write_text((ROOT / "scenarios" / "performance" / "rack-node.bu").read_text().replace("host.name", "host.nmae"))
    runs.change(str(ROOT / "scenarios" / "performance" / "rack-node.bu"), str(butane))
    ran = runs.run()
    assert ran.returncode == 2
    report = runs.report()
    assert report["verdict"] == "error"
    assert "nmae" in report["error"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_cleans_up_and_reports(runs: Runs, number: signal.Signals) -> None:
    runs.change("state: running, within: 60s", "state: failed, within: 60s")
    process = runs.start()
    process.send_signal(number)
    assert process.wait(DEADLINE) == 130
    assert runs.report()["verdict"] == "error"
    assert runs.report()["error"] == "interrupted"


def test_a_machine_that_dies_is_an_error_at_once_and_not_the_guests_failure(runs: Runs) -> None:
    runs.change("state: running, within: 60s", "state: failed, within: 60s")
    process = runs.start()
    victims = [line.split()[0] for line in Traces.now(runs.labs).processes if "machines.fake_guest" in line]
    assert victims
    for pid in victims:
        os.kill(int(pid), signal.SIGKILL)
    assert process.wait(DEADLINE) == 2, runs.log.read_text()
    report = runs.report()
    assert report["error"] == "one, two: the machine itself has died, or cannot go on"
    assert not report["budgets"], "nothing is known about the subject"


def test_a_teardown_that_fails_is_reported_beside_the_results(runs: Runs) -> None:
    process = runs.start()
    (lab,) = runs.labs.iterdir()
    blocker = lab / "blocker"
    blocker.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", blocker], check=True)
    try:
        assert process.wait(60) == 2, runs.log.read_text()
        report = runs.report()
        assert f"something is mounted there: {blocker}" in report["error"]
        assert [host["state"] for host in report["hosts"]] == ["running", "running"]
    finally:
        subprocess.run(["umount", blocker], check=True)
        subprocess.run(kubeception("gc"), env=runs.env, capture_output=True, timeout=60, check=True)


def test_a_kept_folder_is_named_and_gc_removes_it(runs: Runs) -> None:
    ran = runs.run("--keep")
    (lab,) = runs.labs.iterdir()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"keeping {lab}" in ran.stdout
    assert (lab / "mayu.yaml").is_file()
    subprocess.run(kubeception("gc"), env=runs.env, capture_output=True, timeout=60, check=True)


def test_gc_removes_what_a_killed_run_left(runs: Runs) -> None:
    runs.change("state: running, within: 60s", "state: failed, within: 60s")
    before = Traces.now(runs.labs)
    process = runs.start()
    process.kill()
    process.wait()
    assert Traces.now(runs.labs).namespaces > before.namespaces
    deadline = time.monotonic() + DEADLINE
    while Traces.now(runs.labs).since(before):
        ran = subprocess.run(kubeception("gc"), env=runs.env, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert time.monotonic() < deadline, Traces.now(runs.labs).since(before)
    assert "nothing" in subprocess.run(kubeception("gc"), env=runs.env, capture_output=True, text=True, check=True).stdout


def test_a_dead_mayu_fails_the_run_with_the_end_of_its_log(runs: Runs) -> None:
    runs.change("state: running, within: 60s", "state: failed, within: 60s")
    process = runs.start()
    victims = [line.split()[0] for line in Traces.now(runs.labs).processes if "mayu_py serve" in line]
    assert victims
    for pid in victims:
        os.kill(int(pid), signal.SIGKILL)
    assert process.wait(60) == 1, runs.log.read_text()
    assert "mayu ended with -9" in runs.log.read_text()


@pytest.mark.parametrize("worker", ["dhcp", "tftp", "http"])
def test_killed_workers_are_back_and_the_rack_arrives(runs: Runs, worker: str) -> None:
    runs.change("  - do: power-on\n", f"  - do: power-on\n  - {{do: kill-worker, worker: {worker}}}\n")
    ran = runs.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
