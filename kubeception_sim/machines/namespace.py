"""Machines in Linux namespaces: the testbed's root file system and its real systemd, on the host's own kernel.

The machine has a mount, UTS, IPC, PID, cgroup and network namespace of its own, and a veth pair for a cable. It boots in half
a second as the same operating system that QEMU machines boot, by the same Ignition config; it needs root, but no
CAP_SYS_RESOURCE. What the host's kernel has no second one of is shared: clock, modules, loop devices, the kernel's log.

    namespace.py          the driver, in the harness
    namespace_boot.py     the process behind a machine      namespace_initrd.py   all before systemd
    namespace_root.py     its file system                   cable.py              its network
    syscalls.py           what Python does not have
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import Self

from kubeception_sim.cgroups import Group, Hierarchy, hierarchies
from kubeception_sim.errors import BadInput, DeadlineExceeded, HarnessError
from kubeception_sim.lab import Lab
from kubeception_sim.machines import (
    Boot,
    BootImage,
    DirectBoot,
    Firmware,
    FirmwareBoot,
    MachineSpec,
    MachineState,
    Port,
    transfer,
)
from kubeception_sim.machines.cable import CARD, Cable
from kubeception_sim.machines.console import tail
from kubeception_sim.machines.direct import local_source
from kubeception_sim.machines.namespace_boot import INIT, Orders
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.run import Completed, Process, require, run, spawn

_COMMAND_SECONDS = 10.0
_KILL_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 1.0
_PACKAGE_ROOT = Path(__file__).parents[2]
_ARCHITECTURE = {Firmware.BIOS: 0, Firmware.UEFI: 7}  # DHCP option 93, RFC 4578 and what x64 firmware sends
_POWER_OFF = signal.SIGRTMIN + 4  # systemd(1), "Signals"
_TOOLS = (("ip", "iproute2"), ("nsenter", "util-linux"), ("mount", "mount"), ("chroot", "coreutils"))
_ENVIRONMENT = ("HOME=/root", "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")
# Who enters a PID namespace is in none of its cgroups: these come first, or the program would run while all else is frozen.
_JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 126; shift; done; shift; exec "$@"'


class NamespaceDriver:
    """Makes namespace machines for a lab.

    `image` is what machines boot that boot from the network; only its root is used. `trees` are the cgroup hierarchies that
    the machines have, all of the host's by default.
    """

    name = "namespace"
    accelerator = Accelerator.NONE

    def __init__(self, lab: Lab, image: BootImage | None = None, *, trees: tuple[Hierarchy, ...] | None = None) -> None:
        for tool, package in _TOOLS:
            require(tool, package)
        self._lab = lab
        self._image = image
        self._trees = hierarchies() if trees is None else trees

    @property
    def boots(self) -> frozenset[type[Boot]]:
        """From the network too, if the driver has an image to take for what the network offers."""
        return frozenset((DirectBoot, FirmwareBoot) if self._image else (DirectBoot,))

    def create(self, spec: MachineSpec, port: Port, directory: Path) -> "NamespaceMachine":
        """A machine, still off."""
        match spec.boot:
            case DirectBoot(image=image):
                return NamespaceMachine(spec, port, directory, self._lab, image, self._trees)
            case FirmwareBoot() if self._image:
                return NamespaceMachine(spec, port, directory, self._lab, self._image, self._trees)
            case _:
                raise BadInput(f"machine {spec.name}: no image to boot, its firmware has none but the driver's")


class NamespaceMachine:
    """One namespace machine; see `machines.Machine`."""

    def __init__(
        self, spec: MachineSpec, port: Port, directory: Path, lab: Lab, image: BootImage, trees: tuple[Hierarchy, ...]
    ) -> None:
        self.spec = spec
        self.console = directory / "console.log"
        self.network = lab.namespace(spec.name)  # its network namespace and its cgroup
        self._cable = Cable(spec.name, spec.mac, self.network, port.namespace, port.bridge)
        self._directory = directory
        self._lab = lab
        self._image = image
        self._group = Group(self.network, trees)
        self._running: ExitStack | None = None
        self._process: Process | None = None
        self._paused = False
        self._plugged_in = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def address(self) -> IPv4Address:
        """Of its card, if it has not been said before."""
        if self.spec.address is not None:
            return self.spec.address.ip
        if self.state().has_power:
            asked = run(["ip", "-netns", self.network, "-json", "-4", "address", "show", "dev", CARD], timeout=_COMMAND_SECONDS)
            for each in (info for link in json.loads(asked.stdout) for info in link.get("addr_info", ())):
                return IPv4Interface(f"{each['local']}/{each['prefixlen']}").ip
        raise HarnessError(f"{self.spec.name} has no address yet")

    def start(self) -> None:
        """Make its namespace, cable and cgroups, and let it boot; returns at once."""
        if self.state().has_power:
            raise HarnessError(f"{self.spec.name} is on already")
        self._release()
        orders = self._directory / "orders.json"
        self._orders().write(orders)
        self._init.unlink(missing_ok=True)
        with ExitStack() as stack:
            stack.enter_context(self._connected())
            self._group.create(memory=self.spec.memory_mib << 20, cpus=self.spec.cpus)
            stack.callback(self._group.remove)
            self._process = stack.enter_context(
                spawn(
                    [sys.executable, "-m", "kubeception_sim.machines.namespace_boot", orders],
                    log=self.console,
                    env={**self._lab.env, "PYTHONPATH": os.fspath(_PACKAGE_ROOT)},
                )
            )
            self._running = stack.pop_all()

    def stop(self, grace: float) -> None:
        """Tell systemd to power off; after `grace` seconds SIGKILL."""
        if self.state() is MachineState.PAUSED:
            self.resume()
        deadline = time.monotonic() + grace
        while self._process is not None and self._process.poll() is None and (left := deadline - time.monotonic()) > 0:
            # A systemd that has just begun does not hear it yet; one that goes down does not mind.
            self._ask_to_power_off()
            with suppress(DeadlineExceeded):
                self._process.wait(min(left, _ASK_AGAIN_SECONDS))
        self.kill()

    def kill(self) -> None:
        """SIGKILL to all there is."""
        if self._process is not None:
            self._process.kill()
        self._release()

    def pause(self) -> None:
        """Freeze its cgroup, and stop what is outside of it."""
        if self.state() is not MachineState.RUNNING:
            raise HarnessError(f"{self.spec.name} cannot be paused: it is {self.state()}")
        self._signal(signal.SIGSTOP)
        self._paused = True
        self._group.freeze()

    def resume(self) -> None:
        """Thaw it."""
        if not self.state().has_power:
            raise HarnessError(f"{self.spec.name} has no power")
        self._group.thaw()
        self._signal(signal.SIGCONT)
        self._paused = False

    def set_link(self, up: bool) -> None:
        """Take the fabric's end of the cable down, or up: both ends lose their carrier."""
        self._plugged_in = up
        if self.state().has_power:
            self._cable.set(up=up)

    def state(self) -> MachineState:
        """BROKEN when the program has failed, rather than its guest."""
        process = self._process  # read once: another thread may pull the plug meanwhile
        if process is None:
            return MachineState.OFF
        code = process.poll()
        if code is None:
            return MachineState.PAUSED if self._paused else MachineState.RUNNING
        return MachineState.OFF if code == 0 else MachineState.BROKEN

    def console_tail(self, lines: int = 20) -> str:
        """The console's last lines as plain text."""
        return tail(self.console, lines)

    def execute(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None, check: bool = True) -> Completed:
        """By nsenter(1), in all namespaces and cgroups of its first process."""
        if self.state() is not MachineState.RUNNING:
            raise HarnessError(f"{self.spec.name} is {self.state()}")
        inside = ("nsenter", f"--target={self._init_pid()}", *_NAMESPACES, "--", "env", "-i", *_ENVIRONMENT, *argv)
        line = ("sh", "-c", _JOIN, "enter", *self._entrances(), "--", *inside)
        return run(line, timeout=timeout, stdin=stdin, check=check, env=self._lab.env)

    @property
    def shell(self) -> tuple[str, ...]:
        """By nsenter(1) as well, of whichever boot it is in when the command is run."""
        script = (
            f'exec nsenter --target="$(cat "$1")" {" ".join(_NAMESPACES)} -- env -i TERM="$TERM" {" ".join(_ENVIRONMENT)} bash -l'
        )
        return ("sh", "-c", script, "enter", os.fspath(self._init))

    def push(self, source: Path, target: str) -> None:
        """Copy into the machine."""
        transfer.push(self.execute, source, target)

    def pull(self, source: str, target: Path) -> None:
        """Copy out of the machine."""
        transfer.pull(self.execute, source, target)

    @property
    def link(self) -> str:
        """One end of its veth pair."""
        return self._cable.link

    @property
    def _init(self) -> Path:
        return self._directory / INIT

    def _init_pid(self) -> int:
        try:
            return int(self._init.read_text())
        except FileNotFoundError:
            raise HarnessError(f"{self.spec.name}: its system has not started\n{self.console_tail()}".rstrip()) from None

    def _entrances(self) -> Iterator[str]:
        for path in self._group.paths():
            # Where processes are, systemd's own group for itself must be entered: a parent of groups takes none (v2).
            inner = path / "init.scope"
            yield os.fspath((inner if inner.is_dir() else path) / "cgroup.procs")

    def _orders(self) -> Orders:
        spec = self.spec
        source, arguments = ("", ()) if isinstance(spec.boot, FirmwareBoot) else (local_source(spec.boot), spec.boot.arguments)
        return Orders(
            name=spec.name,
            lab=self._lab.id,
            serial=spec.serial,
            uuid=spec.uuid,
            mac=spec.mac,
            architecture=_ARCHITECTURE[spec.firmware],
            memory=spec.memory_mib << 20,
            group=self.network,
            trees=tuple(os.fspath(tree.mount) for tree in self._group.trees),
            network=self.network,
            address=str(spec.address or ""),
            gateway=str(spec.gateway or ""),
            rootfs=os.fspath(self._image.rootfs.absolute()),
            rootfs_sha256=self._image.rootfs_sha256,
            ignition=source,
            arguments=arguments,
        )

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Its network namespace, with the cable in it."""
        run(["ip", "netns", "add", self.network], timeout=_COMMAND_SECONDS)
        with ExitStack() as stack:
            stack.callback(run, ["ip", "netns", "delete", self.network], timeout=_COMMAND_SECONDS)
            self._cable.plug(up=self._plugged_in)
            stack.callback(self._cable.unplug)
            yield

    def _ask_to_power_off(self) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(self._init.read_text()), _POWER_OFF)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _release(self) -> None:
        if self._running is not None:
            self._running.close()
        self._running = self._process = None
        self._paused = False
        self._init.unlink(missing_ok=True)
