"""Budgets: each of these would pass if its subject were fine, and fails because it is not."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.document import Duration
from kubeception_sim.checks.budgets import Measured, judge
from kubeception_sim.model.boot import Firmware, Stage
from kubeception_sim.model.budgets import Outage, PowerOnTo, RunTo, Statistic, StepTakes
from kubeception_sim.model.results import BudgetResult, Gap, ProbeResult, StepResult
from kubeception_sim.model.scenario import Machine
from kubeception_sim.model.timeline import Timeline

EACH = PowerOnTo("power-on-to", Stage.RUNNING, Duration(60))
MAX = replace(EACH, statistic=Statistic.MAX)
MACHINES = (
    Machine("rack-1", "KC-1", IPv4Address("10.77.0.11"), "node"),
    Machine("rack-2", "KC-2", IPv4Address("10.77.0.12"), "node", Firmware.UEFI),
)


def rack(first: float | None, second: float | None) -> Measured:
    """Seconds from power-on to running, None for a machine that only got its address."""
    return Measured(
        {
            machine.name: Timeline(
                machine.name,
                machine.serial,
                powered_on=100.0,
                stages={Stage.DHCP: 101.0, **({} if seconds is None else {Stage.RUNNING: 100.0 + seconds})},
            )
            for machine, seconds in zip(MACHINES, (first, second), strict=True)
        }
    )


def verdicts(budget: PowerOnTo, first: float | None, second: float | None) -> list[tuple[str, float | None, bool]]:
    return [(one.host, one.measured, one.ok) for one in judge([budget], MACHINES, rack(first, second))]


def test_each_machine_is_judged_on_its_own() -> None:
    assert verdicts(EACH, 30.0, 61.0) == [("rack-1", 30.0, True), ("rack-2", 61.0, False)]


def test_the_slowest_machine_decides_max() -> None:
    assert verdicts(MAX, 30.0, 59.0) == [("", 59.0, True)]
    assert verdicts(MAX, 30.0, 61.0) == [("", 61.0, False)]


def test_the_limit_itself_is_within_it() -> None:
    assert [ok for _, _, ok in verdicts(EACH, 60.0, 60.001)] == [True, False]


@pytest.mark.parametrize("budget", [EACH, MAX])
def test_a_machine_that_never_arrives_fails_however_fast_the_others_were(budget: PowerOnTo) -> None:
    last = verdicts(budget, 1.0, None)[-1]
    assert last[1:] == (None, False)


def test_a_rack_that_was_never_switched_on_fails() -> None:
    dark = Measured({machine.name: Timeline(machine.name, machine.serial) for machine in MACHINES})
    assert [one.ok for one in judge([EACH, MAX], MACHINES, dark)] == [False, False, False]


def test_the_firmware_says_who_is_judged() -> None:
    assert verdicts(replace(EACH, firmware=Firmware.UEFI), 1.0, 61.0) == [("rack-2", 61.0, False)]
    assert verdicts(replace(MAX, firmware=Firmware.BIOS), 1.0, None) == [("", 1.0, True)]


def test_a_firmware_that_nobody_has_is_not_met_by_nobody() -> None:
    only_bios = [replace(machine, firmware=Firmware.BIOS) for machine in MACHINES]
    (result,) = judge([replace(MAX, firmware=Firmware.UEFI)], only_bios, rack(1.0, 1.0))
    assert not result.ok


def test_every_budget_gets_its_results_in_order() -> None:
    other = replace(MAX, stage=Stage.DHCP, limit=Duration(0.5), firmware=Firmware.BIOS)
    assert judge([other, EACH], MACHINES, rack(30.0, 40.0)) == (
        BudgetResult("power-on to dhcp, max of bios machines", "", 0.5, 1.0, ok=False),
        BudgetResult("power-on to running, each", "rack-1", 60.0, 30.0, ok=True),
        BudgetResult("power-on to running, each", "rack-2", 60.0, 40.0, ok=True),
    )


@given(st.floats(0.0, 200.0), st.floats(0.0, 200.0))
def test_max_is_met_exactly_when_each_is(first: float, second: float) -> None:
    each = all(ok for _, _, ok in verdicts(EACH, first, second))
    assert verdicts(MAX, first, second)[0][2] is each


TO_CLUSTER = RunTo("run-to", "cluster", Duration(60))


def step(do: str, end: float, *, ok: bool = True) -> StepResult:
    return StepResult(do, do, 0.0, end, ok)


@pytest.mark.parametrize(
    ("steps", "measured", "ok"),
    [
        ([step("await", 30.0), step("cluster", 59.0), step("cluster", 90.0)], 59.0, True),
        ([step("cluster", 60.5)], 60.5, False),
        ([step("cluster", 20.0, ok=False)], None, False),
        ([step("await", 30.0)], None, False),
    ],
    ids=["the first of its kind counts", "late", "it failed, early", "it never came to it"],
)
def test_a_run_must_come_to_a_step_in_time(steps: list[StepResult], measured: float | None, ok: bool) -> None:
    (result,) = judge([TO_CLUSTER], MACHINES, Measured({}, steps))
    assert (result.metric, result.host, result.measured, result.ok) == ("run to cluster", "", measured, ok)


def test_a_step_must_not_take_longer_whenever_it_began() -> None:
    limit = StepTakes("step", "cluster", Duration(60))
    steps = [StepResult("cluster", "", 100.0, 130.0, ok=False), StepResult("cluster", "", 200.0, 259.0)]
    assert [(each.metric, each.measured, each.ok) for each in judge([limit], MACHINES, Measured({}, steps))] == [
        ("time of cluster", 59.0, True)
    ]
    (late,) = judge([limit], MACHINES, Measured({}, [StepResult("cluster", "", 200.0, 260.5)]))
    assert not late.ok
    (never,) = judge([limit], MACHINES, Measured({}, steps[:1]))
    assert (never.measured, never.ok) == (None, False)


OUTAGE = Outage("outage", "api", Duration(15))


@pytest.mark.parametrize(
    ("probe", "measured", "ok"),
    [
        (ProbeResult("api", 100, 20, (Gap(1.0, 3.0), Gap(10.0, 24.5))), 14.5, True),
        (ProbeResult("api", 100, 20, (Gap(10.0, 26.0), Gap(30.0, 31.0))), 16.0, False),
        (ProbeResult("api", 100, 0, ()), 0.0, True),
        (ProbeResult("api", 100, 100, (Gap(0.0, 5.0),)), None, False),
        (ProbeResult("other", 100, 0, ()), None, False),
    ],
    ids=["the longest gap counts", "too long", "none at all", "it never had a success", "it never ran"],
)
def test_an_outage_must_not_last(probe: ProbeResult, measured: float | None, ok: bool) -> None:
    (result,) = judge([OUTAGE], MACHINES, Measured({}, probes={probe.name: probe}))
    assert (result.metric, result.measured, result.ok) == ("outage of api", measured, ok)
