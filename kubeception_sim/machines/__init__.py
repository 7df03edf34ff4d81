"""Machines: what can be plugged into a fabric and switched on.

Two protocols, and two drivers that implement them:

    qemu.py    virtual machines with real firmware (SeaBIOS and iPXE, or OVMF); qmp.py is how they are spoken to
    fake.py    processes that do on the wire what a booting machine does; fake_guest.py is that process

A machine knows nothing of mayu: it has a serial, a MAC and a cable, and boots from the network.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID, uuid5

from kubeception_sim.errors import BadInput
from kubeception_sim.model.boot import Firmware

__all__ = ["Driver", "Firmware", "Machine", "MachineSpec", "MachineState", "Port"]

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
class MachineSpec:
    """The hardware of one machine. `memory_mib` is in MiB; `mac` is lower case with colons, and not a multicast one."""

    name: str
    serial: str
    uuid: str
    mac: str
    firmware: Firmware = Firmware.BIOS
    memory_mib: int = 512
    cpus: int = 1

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

    @classmethod
    def derive(cls, name: str, serial: str, *, firmware: Firmware = Firmware.BIOS, memory_mib: int = 512, cpus: int = 1) -> Self:
        """A machine whose UUID and MAC follow from its serial: the same on every run.

        The MAC begins with 52:54:00, QEMU's locally administered prefix; three bytes of the UUID follow.
        """
        uuid = uuid5(_UUIDS, serial)
        return cls(name, serial, str(uuid), f"52:54:00:{uuid.bytes[:3].hex(':')}", firmware, memory_mib, cpus)


class Port(Protocol):
    """Where the machine's cable goes: a tap device in a network namespace (`network.Port` is one)."""

    @property
    def namespace(self) -> str: ...
    @property
    def tap(self) -> str: ...


class Machine(Protocol):
    """One machine. As a context manager it pulls the plug on the way out."""

    @property
    def spec(self) -> MachineSpec: ...

    @property
    def console(self) -> Path:
        """Everything the machine wrote to its serial port, over all its boots."""
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

    def state(self) -> MachineState: ...

    def console_tail(self, lines: int = 20) -> str:
        """The console's last lines as plain text, for reports."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Driver(Protocol):
    """Makes machines of one kind."""

    def create(self, spec: MachineSpec, port: Port, directory: Path) -> Machine:
        """A machine, still off. It keeps its files in `directory`, which exists and is its own."""
        ...
