"""What makes the faults of a scenario sensible: which keys go with which kind, and which faults at the same time."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ignition.document import Problem
from kubeception_sim.model.faults import FaultKind, Inject, Undo

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")  # goes into the name of a table
_UNIT = re.compile(r"[A-Za-z0-9:_.@-]{1,200}\.(service|socket|timer|slice|scope)")

# By kind: the keys of which at least one is needed, and those that may be there. The fields' names are the keys, but for `from`.
_KEYS: dict[FaultKind, tuple[frozenset[str], frozenset[str]]] = {
    FaultKind.CUT: (frozenset(), frozenset()),
    FaultKind.PARTITION: (frozenset(), frozenset({"from"})),
    FaultKind.RATE: (frozenset({"rate"}), frozenset()),
    FaultKind.LOSS: (frozenset({"loss"}), frozenset()),
    FaultKind.DELAY: (frozenset({"delay", "duplicate"}), frozenset({"jitter", "reorder"})),
    FaultKind.PAUSE: (frozenset(), frozenset({"unit"})),
    FaultKind.KILL: (frozenset(), frozenset({"unit"})),
}
_ALL_KEYS = ("from", "rate", "loss", "delay", "jitter", "duplicate", "reorder", "unit")


@dataclass
class Faults:
    """The faults that are active at a point of a scenario, whose machines are `everybody`."""

    everybody: tuple[str, ...]
    active: dict[str, Inject] = field(default_factory=dict)

    def begin(self, step: Inject) -> Iterator[Problem]:
        """What is wrong with a fault that begins now; from now on it is active."""
        if not _NAME.fullmatch(step.name):
            yield step.origin.error(f"{step.name!r} is no name of a fault", "name", hint="32 small letters, digits and hyphens")
        if step.name in self.active:
            yield step.origin.error(f"{step.name} is active already", "name", hint="put a do: undo before it")
        yield from _keys(step)
        yield from self._peers(step)
        yield from self._clash(step)
        self.active[step.name] = step

    def end(self, step: Undo) -> Iterator[Problem]:
        """What is wrong with ending a fault now."""
        if self.active.pop(step.fault, None) is None:
            known = f"active are: {', '.join(sorted(self.active))}" if self.active else ""
            yield step.origin.error(f"no fault {step.fault!r} is active at this point", "fault", hint=known)

    def _peers(self, step: Inject) -> Iterator[Problem]:
        if step.kind is not FaultKind.PARTITION:
            return
        for index, name in enumerate(step.others):
            if name not in self.everybody:
                yield step.origin.error(f"no machine {name!r}", "from", index)
            if name in step.machines:
                yield step.origin.error(f"{name!r} cannot be parted from itself", "from", index)
        if not step.machines:
            yield step.origin.error("a partition needs 'machines', all has no other side")
        elif not step.others and not set(self.everybody) - set(step.machines):
            yield step.origin.error("nobody is left on the other side", "machines")

    def _clash(self, step: Inject) -> Iterator[Problem]:
        """Faults that would undo each other's work: whatever ends first would restore what the other has broken."""
        place = _place(step)
        mine = set(step.machines or self.everybody)
        for other in self.active.values():
            both = sorted(mine & set(other.machines or self.everybody))
            if place and place == _place(other) and both:
                yield step.origin.error(f"{', '.join(both)}: {other.name} is active there, and {place}", "machines")


def _place(step: Inject) -> str:
    """What a fault takes for itself on each of its machines, empty when others of its kind go with it."""
    match step.kind:
        case FaultKind.CUT:
            return "a cable is cut once"
        case FaultKind.RATE | FaultKind.DELAY:
            return "a cable has one queue"
        case FaultKind.PAUSE | FaultKind.KILL:
            return f"{step.unit or 'a machine'} can be paused or killed once"
        case FaultKind.PARTITION | FaultKind.LOSS:
            return ""


def _keys(step: Inject) -> Iterator[Problem]:
    needed, optional = _KEYS[step.kind]
    # As they stand in the file: a key whose value cannot be read is not missing too.
    given = {key for key in _ALL_KEYS if step.origin.at(key) != step.origin.mark}
    if needed and not needed & given:
        yield step.origin.error(f"{step.kind} needs {_listed(needed)}")
    for key in sorted(given - needed - optional):
        yield step.origin.error(f"{step.kind} has no {key!r}", key)
    if step.unit and not _UNIT.fullmatch(step.unit):
        yield step.origin.error(f"{step.unit!r} is no unit", "unit", hint="its full name, such as kubelet.service")
    for key in {"jitter", "reorder"} & given & optional:
        if "delay" not in given:
            yield step.origin.error(f"{key} is of a delay, and there is none", key)


def _listed(keys: Iterable[str]) -> str:
    return " or ".join(repr(key) for key in sorted(keys))
