"""report.json: what programs may rely on."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubeception_sim import report
from kubeception_sim.model.results import RunResult
from tests.golden.report import runs

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/report"


def keys(document: Any) -> Any:
    """A document's keys, and those of the first item of each list."""
    if isinstance(document, dict):
        return {key: keys(value) for key, value in document.items() if key != "stages"}
    return [keys(item) for item in document[:1]] if isinstance(document, list) else None


@pytest.mark.parametrize(("run", "file"), [(runs.passed(), "passed.json"), (runs.failed(), "failed.json")])
def test_the_document_is_the_golden_one(run: RunResult, file: str) -> None:
    assert report.as_json(run) == (GOLDEN / file).read_text()


def test_the_reference_shows_every_key() -> None:
    example = re.search(r"```json\n(.*?)```", (ROOT / "docs/scenarios.md").read_text(), re.DOTALL)
    assert example is not None
    assert keys(json.loads(example[1])) == keys(json.loads(report.as_json(runs.passed())))


def test_an_error_of_the_harness_is_told() -> None:
    document = json.loads(report.as_json(replace(runs.passed(), error="no space left")))
    assert (document["verdict"], document["error"]) == ("error", "no space left")


def test_a_machine_that_never_got_there_has_null_not_a_number() -> None:
    budgets = json.loads(report.as_json(runs.failed()))["budgets"]
    assert [(one["host"], one["measured"], one["ok"]) for one in budgets] == [("rack-1", 23.0, True), ("rack-2", None, False)]


def test_both_reports_are_written_and_nothing_else_stays(tmp_path: Path) -> None:
    report.write(runs.passed(), tmp_path / "new" / "folder")
    assert sorted(path.name for path in (tmp_path / "new/folder").iterdir()) == ["report.html", "report.json", "report.xml"]
    assert (tmp_path / "new/folder/report.json").read_text() == report.as_json(runs.passed())


def test_a_write_that_fails_leaves_the_old_report_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write(runs.passed(), tmp_path)

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        report.write(runs.failed(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.xml"]
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "pass"
