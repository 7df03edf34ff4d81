"""What a scenario must achieve: the budgets of its file. `checks.budgets` judges them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

from ignition.document import Duration, Origin
from kubeception_sim.model.boot import Firmware, Stage


class Statistic(StrEnum):
    """What a budget compares with its limit."""

    EACH = "each"  # every machine's own value
    MAX = "max"  # the slowest machine's


@dataclass(frozen=True)
class PowerOnTo:
    """A budget: the time from a machine's power-on to `stage`. `firmware` restricts it to such machines."""

    metric: Literal["power-on-to"]
    stage: Stage
    limit: Duration
    statistic: Statistic = Statistic.EACH
    firmware: Firmware | None = None
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)

    def __str__(self) -> str:
        which = f" of {self.firmware} machines" if self.firmware else ""
        return f"power-on to {self.stage}, {self.statistic}{which}"


@dataclass(frozen=True)
class RunTo:
    """A budget: the time from the start of the run, with all images in the cache, to the end of the first step of a kind."""

    metric: Literal["run-to"]
    step: str
    limit: Duration
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)

    def __str__(self) -> str:
        return f"run to {self.step}"


@dataclass(frozen=True)
class StepTakes:
    """A budget: the time that the first step of a kind took."""

    metric: Literal["step"]
    step: str
    limit: Duration
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)

    def __str__(self) -> str:
        return f"time of {self.step}"


@dataclass(frozen=True)
class Outage:
    """A budget: the longest time without a success that a probe saw."""

    metric: Literal["outage"]
    probe: str
    limit: Duration
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)

    def __str__(self) -> str:
        return f"outage of {self.probe}"


Budget: TypeAlias = PowerOnTo | RunTo | StepTakes | Outage
