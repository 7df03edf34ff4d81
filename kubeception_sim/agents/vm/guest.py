"""A running QEMU: what its guest says, what state it is in, and its end.

QEMU inherits one end of five socket pairs: monitor, console, and the three ports of the guest. The stage port is read, new files
go through another (renewal.py), the power port is written to: the testbed OS has nobody who listens to a power button, and ACPI's
is pressed for systems that have.
"""

import logging
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kubeception_sim.agents.vm.command import Lines, command_line
from kubeception_sim.agents.vm.console import Console
from kubeception_sim.agents.vm.machine import Machine
from kubeception_sim.agents.vm.qmp import Qmp, QmpError, QmpTimeout
from kubeception_sim.agents.vm.renewal import Renewal
from kubeception_sim.agents.vm.stages import FAILED, Stages

_log = logging.getLogger(__name__)

POWER_OFF = b"poweroff\n"
STARTED = "qemu"
"""The stage that is not the guest's: QEMU's main loop runs."""
QUIT_SECONDS = 5.0
START_SECONDS = 30.0
_CHUNK = 64 << 10
_SICK = ("internal-error", "io-error", "guest-panicked", "shutdown")
# PDEATHSIG is tied to the thread that forks: it is the main one, which ends with the agent.
_DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
_NETWORK = Path("/sys/class/net")


class GuestFailed(Exception):
    """QEMU does not start, or has ended without having been asked to."""


class Guest:
    """A machine while it runs; started by entering. `say` gets each line of its console."""

    def __init__(self, machine: Machine, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.machine = machine
        self.stages = Stages(clock)
        self.console = Console()
        self._say = say
        self._stack = ExitStack()
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Start QEMU; returns when its main loop runs. Raises GuestFailed, OSError, and ValueError for its config."""
        with ExitStack() as stack:
            pairs = [socket.socketpair() for _ in range(5)]
            for near, _ in pairs:
                stack.callback(near.close)
            monitor, console, stages, self._power, files = (near for near, _ in pairs)
            # Before QEMU reads the same file: what it boots from may be newer, and is then sent once more.
            self.renewal = Renewal(self.machine.config, files.sendall, lambda: not self.stages.problem)
            try:
                self._process = self._spawn([far for _, far in pairs])
            finally:
                for _, far in pairs:
                    far.close()
            stack.callback(self._end)
            self._pidfd = os.pidfd_open(self._process.pid)
            stack.callback(os.close, self._pidfd)
            for near, hear in ((console, self._hear_console), (stages, self._hear_stages), (files, self.renewal.hear)):
                self._readers.append(thread := threading.Thread(target=_read, args=(near, hear), daemon=True))
                thread.start()
            stack.callback(self._read_to_the_end)
            stack.callback(self._end)
            self._qmp = self._connect(stack, monitor)
            self._stack = stack.pop_all()
        self.stages.reach(STARTED)
        _log.info("QEMU runs, process %d", self._process.pid)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Whatever still runs is ended at once."""
        self._stack.close()

    @property
    def pid(self) -> int:
        """QEMU's process."""
        return self._process.pid

    @property
    def ended(self) -> int:
        """A descriptor that is readable once QEMU has ended."""
        return self._pidfd

    def code(self) -> int | None:
        """QEMU's exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def sick(self) -> str:
        """Why the machine should be started again, empty if it should not. A machine that is paused is well."""
        try:
            status = self._qmp.execute("query-status")["status"]
        except (QmpError, QmpTimeout) as error:
            return str(error)
        return f"QEMU says {status}" if status in _SICK else ""

    def stop(self, seconds: float) -> None:
        """Ask the guest to power off; after so many seconds end QEMU as it ends by itself, and then by SIGKILL."""
        _log.info("the machine is asked to power off, for %g s at most", seconds)
        with suppress(OSError):
            self._power.sendall(POWER_OFF)
        self._ask("system_powerdown")
        if not self.ends_within(seconds):
            _log.warning("it does not power off: QEMU is ended. The console's last lines:\n%s", "\n".join(self.console.tail))
            self._ask("quit")
            self.ends_within(QUIT_SECONDS)

    def ends_within(self, seconds: float) -> bool:
        """Whether QEMU has ended, or does so in time."""
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(max(0.0, seconds) * 1000))

    def verdict(self) -> str:
        """How QEMU ended, and what the guest and its console said last."""
        code = self._process.wait(QUIT_SECONDS)
        self._read_to_the_end()
        if code < 0:
            how = f"QEMU was ended by {signal.Signals(-code).name}"
        elif code:
            how = f"QEMU ended with {code}"
        else:
            how = "the machine has switched itself off"
        said = "it was running" if not self.stages.problem else self.stages.problem
        return "\n".join((f"{how}; {said}", *self.console.tail))

    def metrics(self) -> Mapping[str, float]:
        """For Prometheus: times of stages by the monotonic clock, and what QEMU uses."""
        found = {f'kubeception_vm_stage_seconds{{stage="{name}"}}': at for name, at in self.stages.reached.copy().items()}
        found["kubeception_vm_running"] = not self.stages.problem
        found["kubeception_vm_console_bytes_total"] = self.console.size
        found["kubeception_vm_stage_noise_total"] = self.stages.noise
        with suppress(OSError):  # it may end while we look
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            ticks, pages = int(fields[11]) + int(fields[12]), int(fields[21])  # proc(5): utime, stime, rss
            found["kubeception_vm_cpu_seconds_total"] = ticks / os.sysconf("SC_CLK_TCK")
            found["kubeception_vm_resident_bytes"] = pages * os.sysconf("SC_PAGE_SIZE")
        return found

    def _spawn(self, far: list[socket.socket]) -> subprocess.Popen[bytes]:
        lines = Lines(*(each.fileno() for each in far))
        argv = [*_DIE_WITH_US, *command_line(self.machine, lines, self._mtu())]
        _log.info("%s", " ".join(argv))
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        label = {name: value for name, value in os.environ.items() if name == "KUBECEPTION_LAB"}
        try:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=lines.all, env=environment | label)
        except OSError as error:
            raise GuestFailed(f"{error.filename}: {error.strerror}") from error

    def _mtu(self) -> int:
        """Of the cable, which the step before has chosen: the guest's card has the same."""
        place = self.machine.place
        if place is None:
            return 0
        try:
            return int((_NETWORK / place.tap / "mtu").read_text())
        except OSError as error:
            raise GuestFailed(f"no cable: {error.filename}: {error.strerror}") from error

    def _connect(self, stack: ExitStack, monitor: socket.socket) -> Qmp:
        try:
            return stack.enter_context(Qmp(monitor, START_SECONDS))
        except (QmpError, QmpTimeout) as error:
            code = self._process.poll() if not self.ends_within(QUIT_SECONDS) else self._process.wait()
            raise GuestFailed(f"QEMU does not start (exit code {code}): {error}") from error

    def _read_to_the_end(self) -> None:
        """What QEMU has left unread, once it has ended."""
        for thread in self._readers:
            thread.join(QUIT_SECONDS)

    def _hear_console(self, chunk: bytes) -> None:
        for line in self.console.feed(chunk):
            self._say(line)

    def _hear_stages(self, chunk: bytes) -> None:
        for name in self.stages.feed(chunk):
            _log.info("the guest is at stage %s%s", name, f": {self.stages.failure}" if name == FAILED else "")

    def _ask(self, command: str) -> None:
        # QEMU may close the connection before it has answered `quit`. What counts is whether it ends.
        with suppress(QmpError, QmpTimeout):
            self._qmp.execute(command)

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def _read(near: socket.socket, hear: Callable[[bytes], None]) -> None:
    with suppress(ConnectionResetError):  # QEMU was killed with something unread
        while chunk := near.recv(_CHUNK):
            hear(chunk)
