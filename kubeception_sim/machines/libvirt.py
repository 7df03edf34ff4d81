"""Machines as libvirt domains: QEMU again, but made, watched and ended by libvirt, as in many a test lab and private cloud.

A lab has a libvirtd of its own (libvirt_daemon.py), there while one of its machines is on. Domains are transient: they exist
while they have power. Their description is a pure function (libvirt_domain.py).
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kubeception_sim.doctor.accelerator import OVMF_CODE, OVMF_VARS, QEMU, QEMU_PACKAGE
from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.lab import ENV_LAB, Lab
from kubeception_sim.machines import Boot, DirectBoot, Firmware, FirmwareBoot, MachineSpec, MachineState, Port, ssh, transfer
from kubeception_sim.machines.console import tail
from kubeception_sim.machines.direct import kernel_command_line, shelf
from kubeception_sim.machines.libvirt_daemon import LOGS, Daemons, libvirtd
from kubeception_sim.machines.libvirt_domain import DirectKernel, Domain
from kubeception_sim.machines.ssh import Access
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.run import Completed, require

_ASK_INSIDE_SECONDS = 15.0
_POLL_SECONDS = 0.1
_CRASHED = "reason=crashed"
_LOG_TAIL_BYTES = 4096


class LibvirtDriver:
    """Makes libvirt machines for a lab.

    `key` is the private key with which `user` may log in, who becomes root by sudo; without one nothing can be executed inside.
    """

    name = "libvirt"
    boots: frozenset[type[Boot]] = frozenset((FirmwareBoot, DirectBoot))

    def __init__(self, accelerator: Accelerator, lab: Lab, key: Path | None = None, *, user: str = "core") -> None:
        libvirtd()
        _library()
        self.accelerator = accelerator
        self._emulator = require(QEMU, QEMU_PACKAGE)
        self._lab = lab
        self._access = Access(key, user) if key else None
        self._daemons = Daemons(lab)

    def create(self, spec: MachineSpec, port: Port, directory: Path) -> "LibvirtMachine":
        """A machine, still off. Raises MissingTool when its firmware is not installed."""
        if spec.firmware is Firmware.UEFI:
            for file in (OVMF_CODE, OVMF_VARS):
                if not file.exists():
                    raise MissingTool(f"{file}: not installed", hint="apt-get install -y --no-install-recommends ovmf")
        maker = _Maker(self.accelerator, self._emulator, self._lab, self._access, self._daemons)
        return LibvirtMachine(spec, port, directory, maker)


@dataclass(frozen=True)
class _Maker:
    """What all machines of a driver have in common."""

    accelerator: Accelerator
    emulator: Path
    lab: Lab
    access: Access | None
    daemons: Daemons


class LibvirtMachine:
    """One libvirt machine; see `machines.Machine`. `domain` is its name in libvirt."""

    def __init__(self, spec: MachineSpec, port: Port, directory: Path, maker: _Maker) -> None:
        self.spec = spec
        self.console = directory / "console.log"
        self.domain = maker.lab.namespace(spec.name)
        self._port = port
        self._directory = directory
        self._maker = maker
        self._running: ExitStack | None = None
        self._connection: Any = None
        self._direct: DirectKernel | None = None
        self._plugged_in = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Switch it on; returns when QEMU runs."""
        if self.state().has_power:
            raise HarnessError(f"{self.spec.name} is on already")
        self._release()
        self.console.touch()
        with ExitStack() as stack:
            direct = self._direct_kernel(stack)
            uri = stack.enter_context(self._maker.daemons.used(self._port.namespace))
            connection = _translated(lambda: _library().open(uri))
            stack.callback(connection.close)
            document = self._description(direct).xml()
            _translated(lambda: connection.createXML(document, 0))
            self._connection = connection
            self._running = stack.pop_all()

    def stop(self, grace: float) -> None:
        """Ask for it inside and press the ACPI power button, then after `grace` seconds SIGKILL."""
        if self.state() is MachineState.PAUSED:
            self.resume()  # or the guest would not hear of it
        deadline = time.monotonic() + grace
        if self.state() is MachineState.RUNNING:
            self._ask_inside(min(grace / 2, _ASK_INSIDE_SECONDS))
            with suppress(HarnessError):  # it may have gone by now
                _translated(lambda: self._found().shutdown())
        while self.state().has_power and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, at last: libvirt sends SIGTERM before it, which QEMU obeys without asking the guest."""
        if self.state().has_power:
            with suppress(HarnessError):  # the same moment it may have ended by itself
                _translated(lambda: self._found().destroy())
            if self.state().has_power:
                raise HarnessError(f"{self.spec.name} cannot be killed: {self.state()}", hint=self._log_tail())
        self._release()

    def pause(self) -> None:
        """Stop the virtual CPUs."""
        _translated(lambda: self._found().suspend())

    def resume(self) -> None:
        """Let the virtual CPUs go on."""
        found = self._found()
        if self.state() is MachineState.PAUSED:
            _translated(lambda: found.resume())

    def set_link(self, up: bool) -> None:
        """Take the card's link down, or up: the guest notices at once."""
        self._plugged_in = up
        if self.state().has_power:
            card = self._description(self._direct).card()
            _translated(lambda: self._found().updateDeviceFlags(card, _library().VIR_DOMAIN_AFFECT_LIVE))

    @property
    def link(self) -> str:
        """Its tap device."""
        return self._port.tap

    @property
    def address(self) -> IPv4Address:
        """The one it is expected to get."""
        if self.spec.address is None:
            raise HarnessError(f"nobody has said which address {self.spec.name} gets")
        return self.spec.address.ip

    def execute(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None, check: bool = True) -> Completed:
        """Over SSH, from the fabric."""
        if self.state() is not MachineState.RUNNING:
            raise HarnessError(f"{self.spec.name} is {self.state()}")
        if self._maker.access is None:
            raise HarnessError(f"{self.spec.name}: nobody has said how to log in")
        return ssh.execute(
            self._maker.access,
            self.address,
            argv,
            namespace=self._port.namespace,
            env=self._maker.lab.env,
            timeout=timeout,
            stdin=stdin,
            check=check,
        )

    @property
    def shell(self) -> tuple[str, ...]:
        """Over SSH as well."""
        if self._maker.access is None or self.spec.address is None:
            return ()
        return ("ip", "netns", "exec", self._port.namespace, *ssh.shell(self._maker.access, self.address))

    def push(self, source: Path, target: str) -> None:
        """Copy into the machine."""
        transfer.push(self.execute, source, target)

    def pull(self, source: str, target: Path) -> None:
        """Copy out of the machine."""
        transfer.pull(self.execute, source, target)

    def state(self) -> MachineState:
        """As libvirt sees it; BROKEN when QEMU has failed, or libvirtd."""
        if self._connection is None:
            return MachineState.OFF
        library = _library()
        try:
            code, reason = self._connection.lookupByName(self.domain).state()
        except library.libvirtError as error:
            if error.get_error_code() != library.VIR_ERR_NO_DOMAIN:
                return MachineState.BROKEN
            return MachineState.BROKEN if _CRASHED in self._log_tail() else MachineState.OFF
        match code:
            case library.VIR_DOMAIN_RUNNING | library.VIR_DOMAIN_CRASHED | library.VIR_DOMAIN_SHUTDOWN:
                return MachineState.RUNNING
            case library.VIR_DOMAIN_PAUSED if reason == library.VIR_DOMAIN_PAUSED_USER:
                return MachineState.PAUSED
            case library.VIR_DOMAIN_SHUTOFF:
                return MachineState.OFF
            case _:
                return MachineState.BROKEN

    def console_tail(self, lines: int = 20) -> str:
        """The console's last lines as plain text."""
        return tail(self.console, lines)

    def _found(self) -> Any:
        if not self.state().has_power:
            raise HarnessError(f"{self.spec.name} has no power")
        return _translated(lambda: self._connection.lookupByName(self.domain))

    def _description(self, direct: DirectKernel | None) -> Domain:
        return Domain(
            name=self.domain,
            spec=self.spec,
            accelerator=self._maker.accelerator,
            emulator=self._maker.emulator,
            tap=self._port.tap,
            plugged_in=self._plugged_in,
            console=self.console.absolute(),
            variables=self._directory.absolute() / "vars.fd",  # the machine's NVRAM: it outlives a power cycle
            lab=self._maker.lab.env[ENV_LAB],
            direct=direct,
        )

    def _direct_kernel(self, stack: ExitStack) -> DirectKernel | None:
        """What a direct boot loads, with a server for what it fetches; nothing for a boot by firmware."""
        boot = self.spec.boot
        self._direct = None
        if isinstance(boot, DirectBoot):
            log, env = self._directory / "shelf.log", self._maker.lab.env
            base = stack.enter_context(shelf(boot, self.spec, self._port, log=log, env=env))
            line = kernel_command_line(boot, self.spec, base)
            self._direct = DirectKernel(boot.image.kernel.absolute(), boot.image.initrd.absolute(), line)
        return self._direct

    def _ask_inside(self, seconds: float) -> None:
        """Over SSH: the testbed OS has nobody who listens to a power button (logind is masked), other systems may have."""
        if self._maker.access is not None and self.spec.address is not None:
            with suppress(HarnessError):
                self.execute(("systemctl", "--no-block", "poweroff"), timeout=seconds, check=False)

    def _log_tail(self) -> str:
        """The end of what libvirt wrote about QEMU: its last line says why it ended."""
        log = self._maker.daemons.folder(self._port.namespace) / LOGS / "qemu" / f"{self.domain}.log"
        if not log.exists():
            return ""
        return log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").rstrip().rpartition("\n")[2]

    def _release(self) -> None:
        running, self._running = self._running, None
        self._connection = None
        if running is not None:
            running.close()


def _library() -> Any:
    """libvirt's bindings, quiet: they would print each error besides raising it. Raises MissingTool."""
    try:
        import libvirt
    except ImportError as missing:
        hint = "apt-get install -y libvirt-dev pkg-config python3-dev && pip install 'kubeception[libvirt]'"
        raise MissingTool("libvirt: its bindings for Python are not installed", hint=hint) from missing
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt


def _translated(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except _library().libvirtError as error:
        raise HarnessError(f"libvirt: {error}") from error
