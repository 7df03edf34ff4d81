"""Takes a lab down from outside, whatever is left of it."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from kubeception_sim import claims, gc
from kubeception_sim.errors import DeadlineExceeded, HarnessError
from kubeception_sim.lab import Owner, Record, default_root
from kubeception_sim.scenario import keeper
from kubeception_sim.scenario.keeper import Kept, Phase

WITHIN_SECONDS = 300.0  # a teardown has deadlines of its own, for each machine and program
SWEEP_SECONDS = 60.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Ended:
    """How a lab went. `killed` when its keeper had not said goodbye; `swept` is what it had left."""

    killed: bool
    swept: tuple[str, ...]


def end(kept: Kept, look: Callable[[], None], within: float = WITHIN_SECONDS) -> Ended:
    """Ask the keeper to take its lab down, wait until it has, and remove what is left. `look` is called while that takes.

    Raises DeadlineExceeded when the keeper does not end within so many seconds, HarnessError when something would not go.
    """
    if kept.phase is not Phase.DEAD:
        kept = _await_end(kept, look, within)
    swept = sweep(labs_of(kept))
    killed = kept.name in claims.names() and not claims.held(kept.name)
    if killed:
        claims.forget(kept.name, claims.take(kept.name))
    return Ended(killed, swept)


def _await_end(kept: Kept, look: Callable[[], None], within: float) -> Kept:
    """Returns what was known of it last: who has just begun tells more a moment later."""
    deadline, told = time.monotonic() + within, False
    while claims.held(kept.name):
        now = keeper.look(kept.name)
        if now is None or (kept.owner.pid and now.owner != kept.owner):
            return kept  # It is down, and somebody may have brought it up again.
        kept = now
        if not told and kept.owner.pid:
            if kept.phase is not Phase.GOING_DOWN:
                keeper.tell(kept, signal.SIGTERM)
            told = True
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{kept.name} is still {kept.phase} after {within:g} s", hint=f"see {keeper.log(kept.name)}")
        look()
        time.sleep(_POLL_SECONDS)
    look()
    return kept


def labs_of(kept: Kept) -> frozenset[str]:
    """The ids of the labs that its keeper has made, as far as they are still there."""
    return frozenset(({kept.lab} if kept.lab else set()) | _made_by(kept.owner))


def _made_by(owner: Owner) -> set[str]:
    """A keeper may be killed when there is a lab and its record does not say so yet."""
    found = set()
    for path in default_root().glob("*/lab.json"):
        try:
            record = Record.read(path.parent)
        except (OSError, HarnessError):
            continue
        if record.owner == owner:
            found.add(record.id)
    return found


def sweep(labs: frozenset[str], within: float = SWEEP_SECONDS) -> tuple[str, ...]:
    """Remove all that carries the ids of dead labs, again until nothing is found: what dies takes a moment."""
    swept: list[str] = []
    deadline = time.monotonic() + within
    while labs and (found := [leftover for leftover in gc.find() if leftover.lab in labs]):
        removals = list(gc.collect(found))
        swept += [str(removal.leftover) for removal in removals if not removal.problem]
        stuck = [f"{removal.leftover}: {removal.problem}" for removal in removals if removal.problem]
        if stuck and time.monotonic() > deadline:
            raise HarnessError("\n".join(("something would not go:", *stuck)), hint="kubeception gc")
    return tuple(swept)
