"""What was found by a try, and who needs it: all that verdicts are made of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from kubeception_sim.errors import KubeceptionError
from kubeception_sim.model.boot import Firmware
from kubeception_sim.model.faults import FaultKind, Inject
from kubeception_sim.model.scenario import Check, DriverName, Scenario


class Group(StrEnum):
    """Where a finding stands in the list."""

    GUESTS = "guests"
    CAPABILITIES = "capabilities"
    KERNEL = "kernel"
    NETWORK = "network"
    TOOLS = "tools"
    ENGINES = "engines"
    ROOM = "room"


class Status(StrEnum):
    """How a try ended. What could not be tried is neither there nor missing."""

    OK = "ok"
    MISSING = "missing"
    UNTRIED = "untried"


class Part(StrEnum):
    """A part of the testbed, which needs something of the host."""

    FABRIC = "fabric"  # bridges in a namespace: every scenario
    IMAGE = "image"  # making the testbed OS
    NETBOOT = "netboot"  # boot loaders that mayu hands out
    GUEST = "guest"  # QEMU runs a guest
    UEFI = "uefi"
    NAMESPACE = "namespace"
    DOCKER = "docker"
    LIBVIRT = "libvirt"
    CHECKS = "checks"
    CLUSTER = "cluster"
    FRAMES = "partition and loss"
    RATE = "rate"
    DELAY = "delay"


_GUESTS = frozenset((Part.FABRIC, Part.IMAGE, Part.NETBOOT, Part.GUEST))
PARTS: dict[DriverName, frozenset[Part]] = {
    DriverName.FAKE: frozenset((Part.FABRIC,)),
    DriverName.NAMESPACE: frozenset((Part.FABRIC, Part.IMAGE, Part.NAMESPACE)),
    DriverName.DOCKER: frozenset((Part.FABRIC, Part.IMAGE, Part.DOCKER)),
    DriverName.QEMU: _GUESTS,
    DriverName.LIBVIRT: _GUESTS | {Part.LIBVIRT},
}
DEFAULT_DRIVERS = (DriverName.NAMESPACE, DriverName.QEMU)
_FAULTS = {
    FaultKind.PARTITION: Part.FRAMES,
    FaultKind.LOSS: Part.FRAMES,
    FaultKind.RATE: Part.RATE,
    FaultKind.DELAY: Part.DELAY,
}


@dataclass(frozen=True)
class Finding:
    """One thing that was tried. `fix` is a command, or else what to do; nobody in `parts`: it is good to know, no more.

    `key` is stable; `means` says what the thing is for.
    """

    key: str
    group: Group
    status: Status
    detail: str
    means: str
    fix: str = ""
    parts: frozenset[Part] = frozenset()

    @property
    def needed(self) -> bool:
        """Whether a default driver does not work without it."""
        return any(self.parts & PARTS[driver] for driver in DEFAULT_DRIVERS)


@dataclass(frozen=True)
class Thing:
    """What is to be tried; becomes a finding."""

    key: str
    group: Group
    means: str
    fix: str
    parts: frozenset[Part] = frozenset()

    def tried(self, attempt: Callable[[], str | None]) -> Finding:
        """Try it: what `attempt` returns is the detail. Its OSErrors and our own errors mean that the thing is missing."""
        try:
            return self.found(Status.OK, attempt() or "")
        except KubeceptionError as error:
            return self.found(Status.MISSING, _said(error.message), error.hint)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return self.found(Status.MISSING, f"{where}{error.strerror or error}")

    def untried(self, why: str, fix: str = "") -> Finding:
        """It could not be tried."""
        return self.found(Status.UNTRIED, why, fix)

    def found(self, status: Status, detail: str, fix: str = "") -> Finding:
        """A finding; its remedy is the thing's own if none is given, and none when all is well."""
        remedy = "" if status is Status.OK else fix or self.fix
        return Finding(self.key, self.group, status, detail, self.means, remedy, self.parts)


@dataclass(frozen=True)
class Judgement:
    """Whether `subject`, a driver or scenario, works here. `status` UNTRIED: nothing is missing, but not all was tried."""

    subject: str
    status: Status
    reasons: tuple[str, ...] = ()


def judge(subject: str, parts: frozenset[Part], findings: Iterable[Finding], *, room: str = "") -> Judgement:
    """What the findings mean for something made of these parts. `room` says what it has not enough of, if anything."""
    concerned = [finding for finding in findings if finding.parts & parts]
    missing = [f"{finding.key}: {finding.detail}" for finding in concerned if finding.status is Status.MISSING]
    if room:
        missing.append(room)
    if missing:
        return Judgement(subject, Status.MISSING, tuple(missing))
    untried = tuple(f"{finding.key} not tried: {finding.detail}" for finding in concerned if finding.status is Status.UNTRIED)
    return Judgement(subject, Status.UNTRIED if untried else Status.OK, untried)


def parts_of(scenario: Scenario) -> frozenset[Part]:
    """What a scenario is made of: its driver's parts and those of its machines and steps."""
    parts = set(PARTS[scenario.driver])
    if scenario.outer:
        parts.add(Part.CLUSTER)
    if Part.GUEST in parts and any(machine.firmware is Firmware.UEFI for machine in scenario.machines):
        parts.add(Part.UEFI)
    for step in scenario.steps:
        match step:
            case Check():
                parts.add(Part.CHECKS)
            case Inject(kind=kind) if kind in _FAULTS:
                parts.add(_FAULTS[kind])
            case _:
                pass
    return frozenset(parts)


def memory_of(scenario: Scenario) -> int:
    """Bytes that its machines may fill; fake ones have none. An emulated one has a buffer of translated code beside it."""
    if scenario.driver is DriverName.FAKE:
        return 0
    beside = _TRANSLATION_BYTES if Part.GUEST in PARTS[scenario.driver] else 0
    return sum(machine.memory.bytes + beside for machine in scenario.machines)


_TRANSLATION_BYTES = 256 << 20  # accelerator.guest_options


def _said(message: str) -> str:
    """What the program said is below what was run; the line of an error is followed by a mark under the place, with some."""
    lines = [line.strip() for line in message.splitlines() if any(map(str.isalnum, line))]
    return next((line for line in lines[1:] if "Error:" in line), lines[-1] if lines else "")
