"""Faults as steps of a scenario, on fake machines: real packets through real cables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.net.test_scenario_runner import Runs
from tests.rack import Traces

STEPS = "  - do: power-on\n  - {do: await, state: running, within: 60s}\n"


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made = Runs(tmp_path)
    before = Traces.now(made.labs)
    yield made
    assert not Traces.now(made.labs).since(before), "something was left behind"


def steps(runs: Runs, *lines: str) -> dict[str, Any]:
    """The report of a run with these steps, which passes."""
    runs.change(STEPS, "".join(f"  - {{{line}}}\n" for line in lines))
    ran = runs.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return runs.report()


def span(report: dict[str, Any], host: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in report["spans"] if (each["host"], each["name"]) == (host, name))
    return dict(found)


def test_a_machine_whose_cable_is_out_arrives_after_it_is_in_again(runs: Runs) -> None:
    report = steps(
        runs,
        "do: fault, name: unplugged, kind: cut, machines: [two]",
        "do: power-on",
        "do: await, state: running, machines: [one], within: 60s",
        "do: undo, fault: unplugged",
        "do: await, state: running, within: 60s",
    )
    assert [step["title"] for step in report["steps"] if step["do"] in ("fault", "undo")] == [
        "fault unplugged: cut two",
        "undo unplugged",
    ]
    fault = span(report, "", "fault unplugged")
    assert span(report, "one", "firmware")["end"] < fault["end"] < span(report, "two", "firmware")["end"]


def test_a_killed_machine_boots_again_when_that_is_undone(runs: Runs) -> None:
    report = steps(
        runs,
        "do: power-on",
        "do: await, state: running, within: 60s",
        "do: fault, name: dead, kind: kill, machines: [one]",
        "do: undo, fault: dead",
        # Not its state: that of a machine which boots twice within seconds does not move, for mayu its requests are repeats.
        "do: await, stage: running, within: 60s",
    )
    fault = span(report, "", "fault dead")
    assert span(report, "one", "firmware")["start"] == pytest.approx(fault["end"], abs=1.0)
    assert span(report, "two", "firmware")["end"] < fault["start"]


def test_a_rack_arrives_over_bad_cables_and_what_is_broken_at_the_end_is_mended(runs: Runs) -> None:
    report = steps(
        runs,
        "do: fault, name: lossy, kind: loss, loss: 2%",
        "do: fault, name: slow, kind: rate, rate: 20Mbit",
        "do: fault, name: apart, kind: partition, machines: [one]",
        "do: power-on",
        "do: await, state: running, within: 60s",
        "do: fault, name: asleep, kind: pause, machines: [two]",
        "do: fault, name: dead, kind: kill, machines: [one]",
    )
    ends = {span(report, "", f"fault {name}")["end"] for name in ("lossy", "slow", "apart", "asleep", "dead")}
    assert len(ends) == 1, "all last until the end of the run"
    assert report["verdict"] == "pass"
