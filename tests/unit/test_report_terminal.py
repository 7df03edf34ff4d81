"""The summary on a terminal, and in a log file."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from kubeception_sim import report
from kubeception_sim.model.results import RunResult
from tests.golden.report import runs

GOLDEN = Path(__file__).parents[1] / "golden/report"
RUNS = {"passed": runs.passed(), "failed": runs.failed()}


def shown(run: RunResult, *, width: int = 100, terminal: bool = False) -> str:
    out = StringIO()
    console = Console(
        file=out, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None, highlight=False
    )
    report.show(run, console)
    return out.getvalue()


@pytest.mark.parametrize("name", RUNS)
def test_the_summary_in_a_log(name: str) -> None:
    assert shown(RUNS[name]) == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_chart_fits_the_terminal(width: int) -> None:
    chart = shown(runs.failed(), width=width).partition("\nbudgets")[0]
    assert max(cell_len(line) for line in chart.splitlines()) <= min(width, 100)


def test_colours_are_for_terminals() -> None:
    assert "\x1b[" in shown(runs.passed(), terminal=True)
    assert "█" in shown(runs.passed(), terminal=True)
    assert "\x1b" not in shown(runs.passed())
    assert "█" not in shown(runs.passed())


def test_no_color_turns_colours_off_and_letters_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(runs.passed(), terminal=True)
    assert "\x1b[3" not in text
    assert "\x1b[38;2" not in text
    assert "R running" in text
    assert "█" not in text


def test_a_guest_cannot_steer_the_readers_terminal() -> None:
    first, second = runs.failed().hosts
    hostile = replace(second, failure="\x1b]0;owned\x07gone", console="\x1b[2J\x9b2Jcleared\rover")
    text = shown(replace(runs.failed(), hosts=(first, hostile)))
    assert not {char for char in text if not char.isprintable()} - {"\n"}
    assert "gone" in text
    assert "cleared" in text


def test_an_error_of_the_harness_is_told_as_such() -> None:
    text = shown(replace(runs.passed(), hosts=(), spans=(), budgets=(), checks=(), steps=(), error="no space left"))
    assert text == (
        "\ntwo-racks  ERROR  0 machines, TCG, 62.0 s\n"
        "\nthe harness or its environment failed, so nothing is known about the subject\nno space left\n"
    )


@pytest.mark.parametrize("detail", ["host.py:1: in test\n    assert 1 < 0\nE   assert 1 < 0", "assert 1 < 0"])
def test_a_check_that_did_not_pass_is_shown_with_its_assertion(detail: str) -> None:
    (check, *rest) = runs.passed().checks
    text = shown(replace(runs.passed(), checks=(replace(check, outcome="failed", detail=detail), *rest)))
    assert "checks  1 of 2 passed\n  FAIL  rack-1 test_host_name: failed\n        assert 1 < 0\n" in text
    assert "host.py" not in text


def test_square_brackets_are_text_and_not_markup() -> None:
    assert "[bold]x[/bold]" in shown(replace(runs.passed(), error="[bold]x[/bold]"))
