"""Fake machines: no firmware and no kernel, but real packets on the same cable, in about a second per boot.

Good for trying scenarios and their runner; they prove nothing about firmware. See fake_guest.py for what one does.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from kubeception_sim.errors import BadInput, DeadlineExceeded, HarnessError
from kubeception_sim.machines import Boot, Firmware, FirmwareBoot, MachineSpec, MachineState, Port
from kubeception_sim.machines.console import tail
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.run import Completed, Process, run, spawn

_COMMAND_SECONDS = 10.0
_KILL_SECONDS = 10.0
_PACKAGE_ROOT = Path(__file__).parents[2]
_ARCHITECTURE = {Firmware.BIOS: 0, Firmware.UEFI: 7}  # DHCP option 93, RFC 4578 and what x64 firmware sends


class FakeDriver:
    """Makes fake machines. `env` is set for each process: the lab's label."""

    name = "fake"
    accelerator = Accelerator.NONE
    boots: frozenset[type[Boot]] = frozenset((FirmwareBoot,))

    def __init__(self, env: Mapping[str, str]) -> None:
        # The child gets a clean environment, and so must be told where this package is when it is not installed.
        self._env = {**env, "PYTHONPATH": os.fspath(_PACKAGE_ROOT)}

    def create(self, spec: MachineSpec, port: Port, directory: Path) -> "FakeMachine":
        """A machine, still off."""
        if not isinstance(spec.boot, FirmwareBoot):
            raise BadInput(f"machine {spec.name}: a fake boots from the network only")
        return FakeMachine(spec, port, directory, self._env)


class FakeMachine:
    """One fake machine; see `machines.Machine`."""

    def __init__(self, spec: MachineSpec, port: Port, directory: Path, env: Mapping[str, str]) -> None:
        self.spec = spec
        self.console = directory / "console.log"
        self._port = port
        self._directory = directory
        self._env = env
        self._running: ExitStack | None = None
        self._process: Process | None = None
        self._paused = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Switch it on."""
        if self.state().has_power:
            raise HarnessError(f"{self.spec.name} is on already")
        self._release()
        with ExitStack() as stack:
            self._process = stack.enter_context(
                spawn(
                    self.command(),
                    log=self.console,
                    env=self._env,
                    cwd=self._directory,
                    namespace=self._port.namespace,
                )
            )
            self._running = stack.pop_all()

    def stop(self, grace: float) -> None:
        """SIGTERM, which a running guest takes for its power button; after `grace` seconds SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            if self._paused:
                self.resume()
            self._process.terminate()
            with suppress(DeadlineExceeded):
                self._process.wait(grace)
        self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(_KILL_SECONDS)
        self._release()

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)
        self._paused = False

    def state(self) -> MachineState:
        """BROKEN when the program has failed, rather than the guest it plays."""
        process = self._process  # read once: another thread may pull the plug meanwhile
        if process is None:
            return MachineState.OFF
        code = process.poll()
        if code is None:
            return MachineState.PAUSED if self._paused else MachineState.RUNNING
        return MachineState.OFF if code == 0 else MachineState.BROKEN

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

    @property
    def shell(self) -> tuple[str, ...]:
        """There is none."""
        return ()

    def set_link(self, up: bool) -> None:
        """Take its tap down, or up."""
        device, state = ("dev", self._port.tap), "up" if up else "down"
        run(["ip", "-netns", self._port.namespace, "link", "set", *device, state], timeout=_COMMAND_SECONDS)

    def execute(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None, check: bool = True) -> Completed:
        """Never: there is no system to run it."""
        raise HarnessError(f"{self.spec.name} is a fake: it cannot run {argv[0]}", hint="take another driver")

    def push(self, source: Path, target: str) -> None:
        """Never: it has no files."""
        raise HarnessError(f"{self.spec.name} is a fake: it has no {target}", hint="take another driver")

    def pull(self, source: str, target: Path) -> None:
        """Never: it has no files."""
        raise HarnessError(f"{self.spec.name} is a fake: it has no {source}", hint="take another driver")

    def console_tail(self, lines: int = 20) -> str:
        """What the guest said last."""
        return tail(self.console, lines)

    def command(self) -> list[str]:
        """The command line of the guest."""
        spec = self.spec
        return [
            *(sys.executable, "-m", "kubeception_sim.machines.fake_guest", "--tap", self._port.tap),
            *("--serial", spec.serial, "--uuid", str(UUID(spec.uuid)), "--mac", spec.mac),
            *("--arch", str(_ARCHITECTURE[spec.firmware])),
        ]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            raise HarnessError(f"{self.spec.name} has no power")
        os.kill(self._process.pid, number)

    def _release(self) -> None:
        if self._running is not None:
            self._running.close()
        self._running = self._process = None
        self._paused = False
