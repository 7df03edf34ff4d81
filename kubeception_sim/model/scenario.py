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
from kubeception_sim.model.budgets import Budget
from kubeception_sim.model.clusters import AwaitInner, CreateCluster, DeleteCluster
from kubeception_sim.model.faults import Inject, Undo
from kubeception_sim.model.garbage import GarbageStep
from kubeception_sim.model.life import EndProbe, RotateCluster, UpgradeCluster
from kubeception_sim.model.outer import Outer as Outer
from kubeception_sim.model.outer import Pki as Pki

UNASSIGNED = IPv4Address(0)
"""The address of a machine that stands in a rack and names none: `model.completion` gives it one."""

_UUIDS = uuid.UUID("5b1f6d0e-3a52-4c0e-9d4c-6b756265630a")  # names the machines of testbeds; an arbitrary constant


class DriverName(StrEnum):
    """What plays the machines."""

    QEMU = "qemu"
    NAMESPACE = "namespace"
    DOCKER = "docker"
    LIBVIRT = "libvirt"
    FAKE = "fake"


class Role(StrEnum):
    """What a machine is in the outer cluster."""

    MASTER = "master"
    WORKER = "worker"


@dataclass(frozen=True)
class Rack:
    """One rack: a switch with a subnet of its own, whose first address is the router's."""

    name: str
    subnet: IPv4Network
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)

    @property
    def gateway(self) -> IPv4Address:
        """The router's address in the rack."""
        return self.subnet[1]


@dataclass(frozen=True)
class Fabric:
    """The network of the machines. It lives in a namespace of its own, so two runs may use the same addresses.

    Without racks it is one switch with the subnet, and `server` is mayu's address on it. With racks each is a switch of its
    own behind one router, and `server` is the address that all of them reach the servers at.
    """

    subnet: IPv4Network = field(default=IPv4Network("10.77.0.0/24"))
    server: IPv4Address = field(default=IPv4Address("10.77.0.1"))
    racks: tuple[Rack, ...] = ()
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)

    @property
    def entrance(self) -> IPv4Address:
        """Where clients find inner clusters: the balancer's address, the next after the servers'."""
        return self.server + 1


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
    """One diskless machine. Its MAC and UUID follow from its address and serial, and so never change.

    One that stands in a rack may leave its address and serial to `model.completion`. A machine has a profile or a role.
    """

    name: str
    serial: str = ""
    address: IPv4Address = field(default=UNASSIGNED)
    profile: str = ""
    firmware: Firmware = Firmware.BIOS
    memory: Size = field(default=Size(512 << 20))
    cpus: int = 1
    values: Mapping[str, Any] = field(default_factory=dict)
    role: Role | None = None
    rack: str = ""
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
    """Run a testinfra file; `testinfra` is relative to the scenario file.

    On `machines` its tests run over SSH, once for each. On `fabric` they run once, among the machines, with a KUBECONFIG.
    """

    do: Literal["check"]
    testinfra: Path
    machines: tuple[str, ...] = ()
    on: Literal["machines", "fabric"] = "machines"
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


@dataclass(frozen=True)
class AwaitCluster:
    """Wait until the outer cluster serves: the node of each machine with a role is Ready with the config that mayu has for it,
    and the add-ons run. Applies the add-ons first."""

    do: Literal["cluster"]
    within: Duration
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


class ProbeKind(StrEnum):
    """What a probe does, over and over."""

    API = "api"  # asks the outer API server whether it is ready, through the balancer, on a connection of its own each time
    WRITES = "writes"  # creates one object after the other; what was acknowledged must be there in the end
    HANDSHAKES = "handshakes"  # asks the API of an inner cluster, whose authority must have certified it each time


@dataclass(frozen=True)
class StartProbe:
    """Start to probe from the fabric, `every` so often, until the end of the run."""

    do: Literal["probe"]
    name: str
    kind: ProbeKind
    every: Duration = field(default=Duration(0.1))
    cluster: str = ""
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class Settle:
    """Wait until a probe has had nothing but success for `steady`. A probe of writes must then find all that was acknowledged."""

    do: Literal["settle"]
    probe: str
    within: Duration
    steady: Duration = field(default=Duration(5))
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


Step: TypeAlias = (
    PowerOn
    | Await
    | Check
    | KillWorker
    | PowerOff
    | AwaitCluster
    | CreateCluster
    | AwaitInner
    | DeleteCluster
    | GarbageStep
    | RotateCluster
    | UpgradeCluster
    | StartProbe
    | EndProbe
    | Settle
    | Inject
    | Undo
)


@dataclass(frozen=True)
class Scenario:
    """One scenario file. `steps` run in order, those of `model.completion` when there are none; `budgets` are judged when they
    are over, however they ended."""

    schema: Literal[1]
    name: str
    machines: tuple[Machine, ...]
    steps: tuple[Step, ...] = ()
    profiles: tuple[Profile, ...] = ()
    description: str = ""
    driver: DriverName = DriverName.QEMU
    image: Literal["testbed"] = "testbed"
    outer: Outer | None = None
    fabric: Fabric = field(default_factory=Fabric)
    budgets: tuple[Budget, ...] = ()
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)

    def rack(self, machine: Machine) -> Rack | None:
        """Where a machine stands; None in a fabric without racks."""
        return next((rack for rack in self.fabric.racks if rack.name == machine.rack), None)

    def subnet(self, machine: Machine) -> IPv4Network:
        """The subnet of a machine's address."""
        rack = self.rack(machine)
        return rack.subnet if rack else self.fabric.subnet

    def gateway(self, machine: Machine) -> IPv4Address:
        """The router of a machine."""
        rack = self.rack(machine)
        return rack.gateway if rack else self.fabric.server

    def select(self, names: tuple[str, ...]) -> tuple[Machine, ...]:
        """The machines a step speaks of, in the order of the file; no names mean all."""
        return tuple(machine for machine in self.machines if not names or machine.name in names)
