"""Virtual machines under QEMU: diskless, booting from a virtio network card, or from a given kernel.

BIOS machines run SeaBIOS, whose first boot loader is the iPXE in QEMU's own virtio ROM. UEFI machines get no ROM
(`romfile=`): OVMF brings a virtio driver and a PXE stack of its own, a genuine first stage that is not iPXE.
q35 and pc were equally fast to iPXE, undionly and OVMF within 0.1 s; q35 is the one with pflash and PCI Express.

QMP runs over a socket pair whose far end QEMU inherits: there is no path to wait for, to clash, or to clean up, and
QEMU's greeting says that it has started.
"""

import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Self

from kubeception_sim.doctor.accelerator import OVMF_CODE, OVMF_VARS, QEMU, QEMU_PACKAGE
from kubeception_sim.errors import DeadlineExceeded, HarnessError, MissingTool
from kubeception_sim.machines import Boot, DirectBoot, Firmware, FirmwareBoot, MachineSpec, MachineState, Port, ssh, transfer
from kubeception_sim.machines.console import tail
from kubeception_sim.machines.direct import kernel_command_line, shelf
from kubeception_sim.machines.qemu_command import VARIABLES, command_line
from kubeception_sim.machines.qmp import Qmp, QmpError
from kubeception_sim.machines.ssh import Access
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.run import Completed, Process, require, spawn

_QUIT_SECONDS = 5.0
_ASK_INSIDE_SECONDS = 15.0
_KILL_SECONDS = 10.0

_STATES = {
    "running": MachineState.RUNNING,
    "prelaunch": MachineState.RUNNING,
    "suspended": MachineState.RUNNING,
    "guest-panicked": MachineState.RUNNING,  # a panicked kernel is the guest's affair; the console tells it
    "paused": MachineState.PAUSED,
    "shutdown": MachineState.OFF,
}


class QemuDriver:
    """Makes QEMU machines. `env` is set for each process: the lab's label.

    `key` is the private key with which `user` may log in, who becomes root by sudo; without one nothing can be executed inside.
    """

    name = "qemu"
    boots: frozenset[type[Boot]] = frozenset((FirmwareBoot, DirectBoot))

    def __init__(self, accelerator: Accelerator, env: Mapping[str, str], key: Path | None = None, *, user: str = "core") -> None:
        require(QEMU, QEMU_PACKAGE)
        self.accelerator = accelerator
        self._env = dict(env)
        self._access = Access(key, user) if key else None

    def create(self, spec: MachineSpec, port: Port, directory: Path) -> "QemuMachine":
        """A machine, still off. Raises MissingTool when its firmware is not installed."""
        if spec.firmware is Firmware.UEFI:
            for file in (OVMF_CODE, OVMF_VARS):
                if not file.exists():
                    raise MissingTool(f"{file}: not installed", hint="apt-get install -y --no-install-recommends ovmf")
        return QemuMachine(spec, port, directory, self.accelerator, self._env, self._access)


class QemuMachine:
    """One QEMU machine; see `machines.Machine`."""

    def __init__(
        self,
        spec: MachineSpec,
        port: Port,
        directory: Path,
        accelerator: Accelerator,
        env: Mapping[str, str],
        access: Access | None = None,
    ) -> None:
        self.spec = spec
        self.console = directory / "console.log"
        self.log = directory / "qemu.log"
        self._port = port
        self._directory = directory
        self._accelerator = accelerator
        self._env = env
        self._access = access
        self._running: ExitStack | None = None
        self._process: Process | None = None
        self._qmp: Qmp | None = None
        self._plugged_in = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Switch it on; returns when QEMU's main loop runs."""
        if self.state().has_power:
            raise HarnessError(f"{self.spec.name} is on already")
        self._release()
        if self.spec.firmware is Firmware.UEFI and not self._variables.exists():
            shutil.copyfile(OVMF_VARS, self._variables)  # the machine's NVRAM: it outlives a power cycle
        with ExitStack() as stack:
            system = self._kernel_options(stack)
            near, far = socket.socketpair()
            stack.callback(near.close)
            with far:
                process = stack.enter_context(
                    spawn(
                        self.command(far.fileno(), system),
                        log=self.log,
                        env=self._env,
                        cwd=self._directory,
                        namespace=self._port.namespace,
                        pass_fds=(far.fileno(),),
                    )
                )
            try:
                self._qmp = stack.enter_context(Qmp(near))
                self._show_link(self._qmp)
            except (QmpError, DeadlineExceeded) as error:
                raise HarnessError(f"{self.spec.name} does not start: {error}\n{process.tail()}".rstrip()) from error
            self._process = process
            self._running = stack.pop_all()

    def stop(self, grace: float) -> None:
        """Ask for it inside and press the ACPI power button, then after `grace` seconds `quit`, then SIGKILL."""
        if self.state() is MachineState.PAUSED:
            self.resume()  # or the guest would not hear of it
        deadline = time.monotonic() + grace
        if self.state() is MachineState.RUNNING:
            self._ask_inside(min(grace / 2, _ASK_INSIDE_SECONDS))
        for command, seconds in (("system_powerdown", deadline - time.monotonic()), ("quit", _QUIT_SECONDS)):
            if self._process is None or self._process.poll() is not None:
                break
            self._ask(command)
            if self._ends_within(max(0.0, seconds)):
                break
        self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(_KILL_SECONDS)
        self._release()

    def pause(self) -> None:
        """Stop the virtual CPUs."""
        self._monitor().execute("stop")

    def resume(self) -> None:
        """Let the virtual CPUs go on."""
        self._monitor().execute("cont")

    def set_link(self, up: bool) -> None:
        """Take the card's link down, or up: the guest notices at once."""
        self._plugged_in = up
        if self.state().has_power:
            self._show_link(self._monitor())

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
        if self._access is None:
            raise HarnessError(f"{self.spec.name}: nobody has said how to log in")
        return ssh.execute(
            self._access,
            self.address,
            argv,
            namespace=self._port.namespace,
            env=self._env,
            timeout=timeout,
            stdin=stdin,
            check=check,
        )

    @property
    def shell(self) -> tuple[str, ...]:
        """Over SSH as well."""
        if self._access is None or self.spec.address is None:
            return ()
        return ("ip", "netns", "exec", self._port.namespace, *ssh.shell(self._access, self.address))

    def push(self, source: Path, target: str) -> None:
        """Copy into the machine."""
        transfer.push(self.execute, source, target)

    def pull(self, source: str, target: Path) -> None:
        """Copy out of the machine."""
        transfer.pull(self.execute, source, target)

    def state(self) -> MachineState:
        """As QEMU sees it; BROKEN when QEMU has failed or has stopped the guest with an internal error."""
        process, qmp = self._process, self._qmp  # read once: another thread may pull the plug meanwhile
        if process is None or qmp is None:
            return MachineState.OFF
        code = process.poll()
        if code is not None:
            return MachineState.OFF if code == 0 else MachineState.BROKEN
        try:
            status = qmp.execute("query-status")["status"]
        except QmpError:
            # It went away between the two questions; its exit code says how.
            code = process.wait(_KILL_SECONDS)
            return MachineState.OFF if code == 0 else MachineState.BROKEN
        return _STATES.get(status, MachineState.BROKEN)

    def console_tail(self, lines: int = 20) -> str:
        """The console's last lines as plain text."""
        return tail(self.console, lines)

    def command(self, qmp: int, system: Sequence[str] = ()) -> list[str]:
        """The command line; see `qemu_command.command_line`."""
        return command_line(self.spec, self._accelerator, self._port.tap, qmp, system)

    def _kernel_options(self, stack: ExitStack) -> list[str]:
        """What a direct boot loads, with a server for what it fetches; nothing for a boot by firmware."""
        boot = self.spec.boot
        if not isinstance(boot, DirectBoot):
            return []
        base = stack.enter_context(shelf(boot, self.spec, self._port, log=self._directory / "shelf.log", env=self._env))
        line = kernel_command_line(boot, self.spec, base)
        return ["-kernel", os.fspath(boot.image.kernel), "-initrd", os.fspath(boot.image.initrd), "-append", line]

    @property
    def _variables(self) -> Path:
        return self._directory / VARIABLES

    def _monitor(self) -> Qmp:
        if self._qmp is None or self._process is None or self._process.poll() is not None:
            raise HarnessError(f"{self.spec.name} has no power")
        return self._qmp

    def _show_link(self, qmp: Qmp) -> None:
        qmp.execute("set_link", name="card", up=self._plugged_in)

    def _ask_inside(self, seconds: float) -> None:
        """Over SSH: the testbed OS has nobody who listens to a power button (logind is masked), other systems may have."""
        if self._access is not None:
            with suppress(HarnessError):
                self.execute(("systemctl", "--no-block", "poweroff"), timeout=seconds, check=False)

    def _ask(self, command: str) -> None:
        try:
            self._monitor().execute(command)
        except HarnessError:
            # QEMU may close the connection before it has answered `quit`. What counts is whether it ends.
            return

    def _ends_within(self, seconds: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except DeadlineExceeded:
            return False
        return True

    def _release(self) -> None:
        if self._running is not None:
            self._running.close()
        self._running = self._process = self._qmp = None
