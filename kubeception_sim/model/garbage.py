"""Steps that ask whether anything is left of what was there: note the traces, disturb the controller, compare."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from ignition.document import Duration, Origin


class Moment(StrEnum):
    """How far every inner cluster that is there has come, at least."""

    NOW = "now"
    CLAIMED = "claimed"  # it has its network's number
    BOOTING = "booting"  # each master boots
    LEAVING = "leaving"  # it is being deleted, and the controller has begun


@dataclass(frozen=True)
class KillController:
    """Wait for the moment, kill the controller of inner clusters (SIGKILL), and wait until its successor is ready."""

    do: Literal["kill-controller"]
    within: Duration
    at: Moment = Moment.NOW
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class NoteTraces:
    """Write down what there is: on every node, in the outer API, in the store of networks, and in OpenBao."""

    do: Literal["traces-note"]
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class CompareTraces:
    """Wait until there is just what was written down; the difference is told when that does not come."""

    do: Literal["traces-compare"]
    within: Duration
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


GarbageStep = KillController | NoteTraces | CompareTraces


def told(step: GarbageStep) -> str:
    """What it does, for a plan."""
    match step:
        case KillController():
            return f"{step.at}, back within {step.within}"
        case NoteTraces():
            return "nodes, outer API, store of networks, OpenBao"
        case CompareTraces():
            return f"the same within {step.within}"
