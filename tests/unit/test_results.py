"""What becomes of a run: the verdict."""

from dataclasses import replace

import pytest

from kubeception_sim.model.boot import Accelerator
from kubeception_sim.model.results import BudgetResult, CheckResult, RunResult, Span, StepResult, Verdict

STEP = StepResult("power-on", "power-on all", 0.0, 1.0)
BUDGET = BudgetResult("power-on to running, each", "rack-1", 60.0, 30.0, ok=True)
CHECK = CheckResult("rack-1", "test_host_name", "checks.py", 0.1, "passed")
RUN = RunResult("small", "", "2026-11-22T19:40:00+00:00", 1.0, Accelerator.TCG, (), (BUDGET,), (CHECK,), (STEP,))


def test_a_run_passes_when_all_is_well() -> None:
    assert RUN.verdict is Verdict.PASS


@pytest.mark.parametrize(
    "run",
    [
        replace(RUN, steps=(STEP, replace(STEP, ok=False))),
        replace(RUN, budgets=(BUDGET, replace(BUDGET, ok=False))),
        replace(RUN, checks=(CHECK, replace(CHECK, outcome="failed"))),
        replace(RUN, checks=(CHECK, replace(CHECK, outcome="error"))),
        replace(RUN, checks=(CHECK, replace(CHECK, outcome="skipped"))),
    ],
    ids=["step", "budget", "failed check", "broken check", "skipped check"],
)
def test_one_miss_fails_the_run(run: RunResult) -> None:
    assert run.verdict is Verdict.FAIL


def test_a_run_that_judged_nothing_has_not_passed() -> None:
    assert replace(RUN, steps=(), budgets=(), checks=()).verdict is Verdict.FAIL


def test_an_error_of_the_harness_outranks_every_failure() -> None:
    assert replace(RUN, steps=(replace(STEP, ok=False),), error="no space left").verdict is Verdict.ERROR


def test_exit_codes() -> None:
    assert {verdict: verdict.exit_code for verdict in Verdict} == {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.ERROR: 2}


def test_a_span_lasts_from_start_to_end() -> None:
    assert Span("rack-1", "dhcp", 1.5, 4.0).seconds == 2.5
