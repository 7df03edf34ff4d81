"""What a scenario may do to machines and take back again. The reference for people is docs/scenarios.md."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self

from ignition.document import Duration, Origin

_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)%", re.ASCII)
_RATE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([kMG])bit", re.ASCII)
_RATE_UNITS = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}


class FaultKind(StrEnum):
    """What goes wrong."""

    CUT = "cut"  # the cable is out
    PARTITION = "partition"  # nothing passes between two sets of machines
    RATE = "rate"  # the cable carries no more than so much, each way
    LOSS = "loss"  # frames get lost, each way
    DELAY = "delay"  # frames are late, doubled or out of order, each way
    PAUSE = "pause"  # the machine, or a unit in it, stands still
    KILL = "kill"  # the machine's plug is pulled, or a unit in it dies


@dataclass(frozen=True, slots=True, order=True)
class Share:
    """A part of all, more than none. Written `30%` or `0.25%`."""

    fraction: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a share; raise ValueError when it is none."""
        found = _SHARE.fullmatch(text)
        if found is None or not 0 < float(found[1]) <= 100:
            raise ValueError(f"{text!r} is not a share; write it like 30% or 0.25%")
        return cls(float(found[1]) / 100)

    def __str__(self) -> str:
        return f"{self.fraction * 100:.2f}".rstrip("0").rstrip(".") + "%"


@dataclass(frozen=True, slots=True, order=True)
class Rate:
    """Bits a second, 8000 at least. Written `500kbit`, `1.5Mbit` or `1Gbit`; the units are powers of 1000."""

    bits: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rate; raise ValueError when it is none."""
        found = _RATE.fullmatch(text)
        bits = round(float(found[1]) * _RATE_UNITS[found[2]]) if found else 0
        if bits < 8_000:
            raise ValueError(f"{text!r} is not a rate; write it like 500kbit, 1.5Mbit or 1Gbit, and at least 8kbit")
        return cls(bits)

    def __str__(self) -> str:
        unit = next(unit for unit in ("G", "M", "k") if self.bits >= _RATE_UNITS[unit])
        return f"{self.bits / _RATE_UNITS[unit]:g}{unit}bit"


@dataclass(frozen=True)
class Inject:
    """Begin a fault, which lasts until its `undo` or the end of the run. No machines named: all of them.

    Which of the other keys go with which kind is in model/fault_rules.py.
    """

    do: Literal["fault"]
    name: str
    kind: FaultKind
    machines: tuple[str, ...] = ()
    others: tuple[str, ...] = field(default=(), metadata={"key": "from"})
    rate: Rate | None = None
    loss: Share | None = None
    delay: Duration | None = None
    jitter: Duration | None = None
    duplicate: Share | None = None
    reorder: Share | None = None
    unit: str = ""
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)

    def __str__(self) -> str:
        machines = ", ".join(self.machines) or "all"
        match self.kind:
            case FaultKind.PARTITION:
                return f"{self.name}: partition {machines} from {', '.join(self.others) or 'the rest'}"
            case FaultKind.RATE | FaultKind.LOSS:
                return f"{self.name}: {self.kind} {self.rate or self.loss} on {machines}"
            case FaultKind.DELAY:
                named = ("delay", "jitter", "duplicate", "reorder")
                words = [f"{key} {value}" for key in named if (value := getattr(self, key)) is not None]
                return f"{self.name}: {', '.join(words)} on {machines}"
            case _:
                return f"{self.name}: {self.kind} {f'{self.unit} on ' if self.unit else ''}{machines}"


@dataclass(frozen=True)
class Undo:
    """End a fault: all is as it was before it."""

    do: Literal["undo"]
    fault: str
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)
