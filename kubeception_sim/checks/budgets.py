"""Budgets against what was measured."""

from collections.abc import Iterator, Mapping, Sequence

from kubeception_sim.model.results import BudgetResult
from kubeception_sim.model.scenario import Budget, Machine, Statistic
from kubeception_sim.model.timeline import Timeline


def judge(budgets: Sequence[Budget], machines: Sequence[Machine], timelines: Mapping[str, Timeline]) -> tuple[BudgetResult, ...]:
    """One result per machine for `each`, one per budget for `max`. `timelines` is keyed by the machine's name.

    A machine that never got there is over every limit: its absence must not make a rack look fast.
    """
    return tuple(result for budget in budgets for result in _judge(budget, machines, timelines))


def _judge(budget: Budget, machines: Sequence[Machine], timelines: Mapping[str, Timeline]) -> Iterator[BudgetResult]:
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
