"""Machines: what can be plugged into a fabric and switched on.

Two protocols, and the drivers that implement them:

    qemu.py        virtual machines with real firmware (SeaBIOS and iPXE, or OVMF), or started with a kernel (`DirectBoot`)
    namespace.py   the testbed OS in Linux namespaces: the same root file system and systemd, on the host's own kernel
    fake.py        processes that do on the wire what a booting machine does; fake_guest.py is that process

A machine knows nothing of mayu: it has a serial, a MAC and a cable, and boots from the network or from given files.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID, uuid5

from kubeception_sim.errors import BadInput
from kubeception_sim.model.boot import Accelerator, Firmware
from kubeception_sim.run import Completed

__all__ = [
    "Boot",
    "BootImage",
    "DirectBoot",
    "Driver",
    "Firmware",
    "FirmwareBoot",
    "Machine",
    "MachineSpec",
    "MachineState",
    "Port",
]

_UUIDS = UUID("5b1f6d0e-3a52-4c0e-9d4c-6b756265630a")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
# What can stand in a QEMU option list, an iPXE script and a URL alike without quoting.
_SERIAL = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")


class MachineState(StrEnum):
    """What a person in front of the machine would see."""

    OFF = "off"
    RUNNING = "running"
    PAUSED = "paused"
    BROKEN = "broken"  # the machine itself has died or cannot go on: the emulator's fault, not the guest's

    @property
    def has_power(self) -> bool:
        """Whether there is a process behind it."""
        return self in (MachineState.RUNNING, MachineState.PAUSED)


@dataclass(frozen=True)
class BootImage:
    """Files to boot: `rootfs` is a squashfs, `rootfs_sha256` its checksum in hex. Namespaces use the root alone."""

    kernel: Path
    initrd: Path
    rootfs: Path
    rootfs_sha256: str


@dataclass(frozen=True)
class FirmwareBoot:
    """From the network, as the DHCP server of the fabric says."""


@dataclass(frozen=True)
class DirectBoot:
    """From given files, without DHCP and boot loader: what remains is the initrd's work.

    `ignition` is the machine's own config: a URL that the machine can reach, or a file of the host. `arguments` are
    added to the kernel command line, such as `testbed.report=URL`.
    """

    image: BootImage
    ignition: str | Path
    arguments: tuple[str, ...] = ()


Boot = FirmwareBoot | DirectBoot


@dataclass(frozen=True)
class MachineSpec:
    """The hardware of one machine, and how it boots.

    `memory_mib` is in MiB; `mac` is lower case with colons, and not a multicast one. `address` and `gateway` are what a
    direct boot is configured with; after a boot by firmware they come from the network, and `address` says which to expect.
    """

    name: str
    serial: str
    uuid: str
    mac: str
    firmware: Firmware = Firmware.BIOS
    memory_mib: int = 512
    cpus: int = 1
    address: IPv4Interface | None = None
    gateway: IPv4Address | None = None
    boot: Boot = field(default_factory=FirmwareBoot)

    def __post_init__(self) -> None:
        for what, value, pattern in (
            ("name", self.name, _NAME),
            ("serial", self.serial, _SERIAL),
            ("MAC", self.mac, _MAC),
        ):
            if not pattern.fullmatch(value):
                raise BadInput(f"machine {self.name!r}: {value!r} is not a usable {what}")
        try:
            UUID(self.uuid)
        except ValueError:
            raise BadInput(f"machine {self.name!r}: {self.uuid!r} is not a UUID") from None
        if isinstance(self.boot, DirectBoot) and self.address is None:
            raise BadInput(f"machine {self.name!r}: a direct boot asks no DHCP server: it needs an address")
        if self.gateway is not None and (self.address is None or self.gateway not in self.address.network):
            raise BadInput(f"machine {self.name!r}: no way to the gateway {self.gateway} from {self.address}")

    @classmethod
    def derive(
        cls,
        name: str,
        serial: str,
        *,
        firmware: Firmware = Firmware.BIOS,
        memory_mib: int = 512,
        cpus: int = 1,
        address: IPv4Interface | None = None,
        gateway: IPv4Address | None = None,
        boot: Boot | None = None,
    ) -> Self:
        """A machine whose UUID and MAC follow from its serial: the same on every run.

        The MAC begins with 52:54:00, QEMU's locally administered prefix; three bytes of the UUID follow.
        """
        uuid = uuid5(_UUIDS, serial)
        mac = f"52:54:00:{uuid.bytes[:3].hex(':')}"
        return cls(name, serial, str(uuid), mac, firmware, memory_mib, cpus, address, gateway, boot or FirmwareBoot())


class Port(Protocol):
    """Where the machine's cable goes: a bridge in a network namespace (`network.Port` is one).

    `tap` is a tap device on that bridge, for machines that send Ethernet frames themselves.
    """

    @property
    def namespace(self) -> str: ...
    @property
    def bridge(self) -> str: ...
    @property
    def tap(self) -> str: ...


class Machine(Protocol):
    """One machine. As a context manager it pulls the plug on the way out, and leaves nothing but its directory."""

    @property
    def spec(self) -> MachineSpec: ...

    @property
    def console(self) -> Path:
        """Everything the machine wrote to its serial port, over all its boots."""
        ...

    @property
    def address(self) -> IPv4Address:
        """Where it is reached. Raises HarnessError when nobody has said so yet."""
        ...

    @property
    def shell(self) -> tuple[str, ...]:
        """The command that gives a person at a terminal of this host a root shell inside; empty when there is no such thing."""
        ...

    def start(self) -> None:
        """Press the power button of a machine that is off. Raises HarnessError when it is not, or will not start."""
        ...

    def stop(self, grace: float) -> None:
        """Ask the guest to power off, wait `grace` seconds, then pull the plug. Nothing happens when it is off."""
        ...

    def kill(self) -> None:
        """Pull the plug. Nothing happens when it is off."""
        ...

    def pause(self) -> None:
        """Freeze it where it is. Raises HarnessError when it does not run."""
        ...

    def resume(self) -> None:
        """Let a paused machine go on. Raises HarnessError when it has no power."""
        ...

    def set_link(self, up: bool) -> None:
        """Pull the network cable out, or plug it in. It stays so over power cycles."""
        ...

    @property
    def link(self) -> str:
        """The other end of its cable: a port of the fabric's bridge, whose alias is the machine's name.

        It has that name over all power cycles, but need not be there while the machine is off.
        """
        ...

    def state(self) -> MachineState: ...

    def console_tail(self, lines: int = 20) -> str:
        """The console's last lines as plain text, for reports."""
        ...

    def execute(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None, check: bool = True) -> Completed:
        """Run a program inside as root and wait for its end, `timeout` seconds at most.

        Raises CommandFailed when it ends with a code other than 0 and `check` is set, DeadlineExceeded when the time is
        up, and HarnessError when the machine cannot be asked: it has no power, or its system is not there yet.
        """
        ...

    def push(self, source: Path, target: str) -> None:
        """Copy a file or folder into the machine, to the absolute path `target`, with its mode, owned by root."""
        ...

    def pull(self, source: str, target: Path) -> None:
        """Copy a file or folder at the absolute path `source` out of the machine, to `target`, with its mode."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Driver(Protocol):
    """Makes machines of one kind."""

    @property
    def name(self) -> str:
        """What a scenario calls it."""
        ...

    @property
    def accelerator(self) -> Accelerator:
        """What runs the guests' code; NONE when it is the host's own kernel, or when there is no guest code."""
        ...

    @property
    def boots(self) -> frozenset[type[Boot]]:
        """The ways of booting that its machines have."""
        ...

    def create(self, spec: MachineSpec, port: Port, directory: Path) -> Machine:
        """A machine, still off. It keeps its files in `directory`, which exists and is its own.

        Raises BadInput for a way of booting that the driver does not have.
        """
        ...
