"""What a machine is, as its pod says it: environment variables, read with all their problems at once. Pure.

KUBECEPTION_CLUSTER, _VM           names
KUBECEPTION_VNI, _INDEX, _SUBNET   its place in the cluster's network (addresses.py)
KUBECEPTION_CPUS, _MEMORY          processors, and MiB of memory
KUBECEPTION_ACCEL                  kvm or tcg
KUBECEPTION_KERNEL, _INITRD, _ROOTFS   files
KUBECEPTION_CONFIG                 its Ignition config (/run/config/config.ign)
KUBECEPTION_TAP                    its cable (tap0); empty: it has no network
KUBECEPTION_ETCD_DISK, _ETCD_DISK_SIZE   a file and its size in MiB, for a machine with a disk that outlives it
KUBECEPTION_GRACE                  seconds to power off in, before QEMU is ended (90)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypeVar

from kubeception_sim.agents.vm import addresses

PREFIX = "KUBECEPTION_"
CONFIG, TAP, GRACE_SECONDS = "/run/config/config.ign", "tap0", "90"
SMALLEST_DISK = 64
"""MiB. Below that mke2fs makes a journal that etcd's writes do not fit into."""

_T = TypeVar("_T")


class Acceleration(StrEnum):
    """What runs the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"


class Unfit(ValueError):
    """The environment is no machine. The message has a line for each problem."""


@dataclass(frozen=True)
class Disk:
    """A file that is a disk; `size` in MiB is for when it is made."""

    path: Path
    size: int


@dataclass(frozen=True)
class Place:
    """A place in a cluster's network, and the tap device that is the machine's end of its cable."""

    vni: int
    index: int
    subnet: IPv4Network
    tap: str


@dataclass(frozen=True)
class Machine:
    """A machine. `memory` in MiB, `grace` in seconds; without `place` it has no network, without `disk` nothing outlives it."""

    cluster: str
    name: str
    cpus: int
    memory: int
    acceleration: Acceleration
    kernel: Path
    initrd: Path
    rootfs: Path
    config: Path
    place: Place | None
    disk: Disk | None
    grace: float

    @property
    def files(self) -> tuple[Path, ...]:
        """What must be there before it can start."""
        return (self.kernel, self.initrd, self.rootfs, self.config)


def read(environment: Mapping[str, str]) -> Machine:
    """The machine. Raises Unfit with all that is wrong."""
    fields = _Fields(environment)
    machine = Machine(
        cluster=fields.get("CLUSTER", str, ""),
        name=fields.get("VM", str, ""),
        cpus=fields.get("CPUS", _positive, 0),
        memory=fields.get("MEMORY", _positive, 0),
        acceleration=fields.get("ACCEL", Acceleration, Acceleration.TCG),
        kernel=fields.path("KERNEL"),
        initrd=fields.path("INITRD"),
        rootfs=fields.path("ROOTFS"),
        config=fields.path("CONFIG", CONFIG),
        place=_place(fields),
        disk=_disk(fields),
        grace=fields.get("GRACE", _positive, 0, given=GRACE_SECONDS),
    )
    if fields.problems:
        raise Unfit("\n".join(fields.problems))
    return machine


def _place(fields: "_Fields") -> Place | None:
    tap = fields.value("TAP", TAP)
    if not tap:
        return None
    vni, index = fields.get("VNI", _positive, 1), fields.get("INDEX", _positive, 1)
    subnet = fields.get("SUBNET", IPv4Network, IPv4Network("172.23.0.0/24"))
    try:
        addresses.address(subnet, index)
        addresses.mac(vni, index)
    except ValueError as error:
        fields.problems.append(str(error))
    return Place(vni, index, subnet, tap)


def _disk(fields: "_Fields") -> Disk | None:
    if fields.value("ETCD_DISK") is None:
        return None
    return Disk(fields.path("ETCD_DISK"), fields.get("ETCD_DISK_SIZE", _disk_size, SMALLEST_DISK))


class _Fields:
    """Environment variables without their prefix; what is wrong with them is kept in `problems`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def value(self, name: str, given: str | None = None) -> str | None:
        return self._environment.get(PREFIX + name, given)

    def get(self, name: str, convert: Callable[[str], _T], instead: _T, *, given: str | None = None) -> _T:
        """The value, or `instead` of it with a problem more; `given` is what an absent one is."""
        text = self.value(name, given)
        if not text:
            self.problems.append(f"{PREFIX}{name} is missing")
            return instead
        try:
            return convert(text)
        except ValueError as error:
            self.problems.append(f"{PREFIX}{name}: {error}")
            return instead

    def path(self, name: str, given: str | None = None) -> Path:
        return self.get(name, _absolute, Path(), given=given)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"{text!r} is no positive number")
    return int(text)


def _disk_size(text: str) -> int:
    if (size := _positive(text)) < SMALLEST_DISK:
        raise ValueError(f"{size} MiB is less than {SMALLEST_DISK}")
    return size


def _absolute(text: str) -> Path:
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is no absolute path")
    return Path(text)
