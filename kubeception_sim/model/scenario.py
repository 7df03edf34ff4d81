"""The scenario file: a rack, what is done to it, and what it must achieve.

The reference for people is docs/scenarios.md. `model.rules.parse` turns text into a `Scenario` and reports everything
that is wrong with it at once: the shapes declared here, and the rules that need more than one value.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ignition.document import Duration, Origin, Size
from kubeception_sim.model.boot import Firmware, HostState, Stage, Worker

_UUIDS = uuid.UUID("5b1f6d0e-3a52-4c0e-9d4c-6b756265630a")  # names the machines of testbeds; an arbitrary constant


@dataclass(frozen=True)
class Fabric:
    """The network the rack hangs on. It lives in a namespace of its own, so two runs may use the same addresses."""

    subnet: IPv4Network = field(default=IPv4Network("10.77.0.0/24"))
    server: IPv4Address = field(default=IPv4Address("10.77.0.1"))
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class Profile:
    """What a kind of machine is to become: a Butane template and the values it is filled with.

    `ignition` is relative to the scenario file. A machine's own `values` win over the profile's.
    """

    name: str
    ignition: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class Machine:
    """One diskless machine of the rack. Its MAC and UUID follow from its address and serial, and so never change."""

    name: str
    serial: str
    address: IPv4Address
    profile: str
    firmware: Firmware = Firmware.BIOS
    memory: Size = field(default=Size(512 << 20))
    cpus: int = 1
    values: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)

    @property
    def mac(self) -> str:
        """52:54:00 (QEMU's locally administered prefix) and the last three bytes of the address."""
        return "52:54:00:" + self.address.packed[1:].hex(":")

    @property
    def uuid(self) -> str:
        """The SMBIOS UUID."""
        return str(uuid.uuid5(_UUIDS, self.serial))


class Quorum(StrEnum):
    """How many of the machines must arrive before an `await` is over."""

    ALL = "all"
    ANY = "any"

    def met(self, arrived: int, machines: int) -> bool:
        """Whether `arrived` of `machines` are enough."""
        return arrived == machines if self is Quorum.ALL else arrived > 0


@dataclass(frozen=True)
class PowerOn:
    """Switch machines on, `stagger` apart. No machines named: all of them."""

    do: Literal["power-on"]
    machines: tuple[str, ...] = ()
    stagger: Duration = field(default=Duration(0))
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class Await:
    """Wait until machines have reached a stage in this boot, or are in a state, `within` a time from this step's start.

    A machine that misses the deadline, or reports that it has failed, fails the scenario.
    """

    do: Literal["await"]
    within: Duration
    stage: Stage | None = None
    state: HostState | None = None
    machines: tuple[str, ...] = ()
    quorum: Quorum = Quorum.ALL
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class Check:
    """Run a testinfra file against machines over SSH; `testinfra` is relative to the scenario file."""

    do: Literal["check"]
    testinfra: Path
    machines: tuple[str, ...] = ()
    within: Duration = field(default=Duration(300))
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class KillWorker:
    """Kill one of mayu's workers with SIGKILL; a successor must be there `within` a time."""

    do: Literal["kill-worker"]
    worker: Worker
    within: Duration = field(default=Duration(10))
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class PowerOff:
    """Pull the plug of machines. No machines named: all of them."""

    do: Literal["power-off"]
    machines: tuple[str, ...] = ()
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


Step: TypeAlias = PowerOn | Await | Check | KillWorker | PowerOff


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


Budget: TypeAlias = PowerOnTo


@dataclass(frozen=True)
class Scenario:
    """One scenario file. `steps` run in order; `budgets` are judged when they are over, however they ended."""

    schema: Literal[1]
    name: str
    profiles: tuple[Profile, ...]
    machines: tuple[Machine, ...]
    steps: tuple[Step, ...]
    description: str = ""
    image: Literal["testbed"] = "testbed"
    fabric: Fabric = field(default_factory=Fabric)
    budgets: tuple[Budget, ...] = ()
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)

    def select(self, names: tuple[str, ...]) -> tuple[Machine, ...]:
        """The machines a step speaks of, in the order of the file; no names mean all."""
        return tuple(machine for machine in self.machines if not names or machine.name in names)
