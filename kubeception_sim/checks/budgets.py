"""Budgets against what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kubeception_sim.model.budgets import Budget, Outage, PowerOnTo, RunTo, Statistic, StepTakes
from kubeception_sim.model.results import BudgetResult, ProbeResult, StepResult
from kubeception_sim.model.scenario import Machine
from kubeception_sim.model.timeline import Timeline


@dataclass(frozen=True)
class Measured:
    """What budgets are held against: timelines by machine, the steps in order, the probes by name."""

    timelines: Mapping[str, Timeline]
    steps: Sequence[StepResult] = ()
    probes: Mapping[str, ProbeResult] = field(default_factory=dict)


def judge(budgets: Sequence[Budget], machines: Sequence[Machine], measured: Measured) -> tuple[BudgetResult, ...]:
    """One result per machine for `each`, one per budget for everything else.

    What never came to be is over every limit: the absence of a machine must not make a rack look fast.
    """
    return tuple(result for budget in budgets for result in _judge(budget, machines, measured))


def _judge(budget: Budget, machines: Sequence[Machine], measured: Measured) -> Iterator[BudgetResult]:
    match budget:
        case PowerOnTo():
            yield from _power_on_to(budget, machines, measured.timelines)
        case RunTo():
            yield _result(budget, "", next((step.end for step in _done(budget.step, measured)), None))
        case StepTakes():
            yield _result(budget, "", next((step.end - step.start for step in _done(budget.step, measured)), None))
        case Outage():
            probe = measured.probes.get(budget.probe)
            # A probe that never had a success saw nothing but outage.
            yield _result(budget, "", probe.outage if probe and probe.attempts > probe.failures else None)


def _done(do: str, measured: Measured) -> Iterator[StepResult]:
    return (step for step in measured.steps if step.do == do and step.ok)


def _power_on_to(budget: PowerOnTo, machines: Sequence[Machine], timelines: Mapping[str, Timeline]) -> Iterator[BudgetResult]:
    measured = {
        machine.name: timelines[machine.name].since_power_on(budget.stage)
        for machine in machines
        if budget.firmware in (None, machine.firmware)
    }
    if budget.statistic is Statistic.MAX:
        arrived = [value for value in measured.values() if value is not None]
        yield _result(budget, "", max(arrived) if arrived and len(arrived) == len(measured) else None)
        return
    for host, value in measured.items():
        yield _result(budget, host, value)


def _result(budget: Budget, host: str, value: float | None) -> BudgetResult:
    limit = budget.limit.seconds
    return BudgetResult(str(budget), host, limit, value, ok=value is not None and value <= limit)
