"""Machines as Docker containers: the testbed's root as an image, systemd as their first process.

Like a namespace machine each boots by the real Ignition before systemd starts, from the network or by given files, in half a
second; unlike one it is made by an engine that others may use too, is seen by `docker ps`, and is entered by `docker exec`.

    docker.py             the driver, in the harness          docker_engine.py      the SDK, and images of roots
    docker_boot.py        the process behind a machine        docker_container.py   what a machine is as a container
    cable.py              its network                         docker_root.py        its files, seen from outside
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Self

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
from kubeception_sim.machines.cable import CARD
from kubeception_sim.machines.console import tail
from kubeception_sim.machines.direct import local_source
from kubeception_sim.machines.docker_boot import UNPLUGGED, Orders
from kubeception_sim.machines.docker_engine import engine, ensure_image, environment
from kubeception_sim.machines.namespace_boot import INIT
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.run import Completed, Process, require, run, spawn

_COMMAND_SECONDS = 10.0
_ASK_AGAIN_SECONDS = 1.0
_PACKAGE_ROOT = Path(__file__).parents[2]
_ARCHITECTURE = {Firmware.BIOS: 0, Firmware.UEFI: 7}  # DHCP option 93, RFC 4578 and what x64 firmware sends
_POWER_OFF = signal.SIGRTMIN + 4  # systemd(1), "Signals"


class DockerDriver:
    """Makes container machines for a lab.

    `image` is what machines boot that boot from the network; only its root is used. `host` is the URL of the engine's socket,
    by default that of DOCKER_HOST, or else the engine's usual place.
    """

    name = "docker"
    accelerator = Accelerator.NONE

    def __init__(self, lab: Lab, image: BootImage | None = None, *, host: str | None = None) -> None:
        for tool, package in (("docker", "docker.io"), ("ip", "iproute2")):
            require(tool, package)
        self._lab = lab
        self._image = image
        self._host = host or os.environ.get("DOCKER_HOST")
        self._importing = threading.Lock()

    @property
    def boots(self) -> frozenset[type[Boot]]:
        """From the network too, if the driver has an image to take for what the network offers."""
        return frozenset((DirectBoot, FirmwareBoot) if self._image else (DirectBoot,))

    def create(self, spec: MachineSpec, port: Port, directory: Path) -> "DockerMachine":
        """A machine, still off. The first of an image imports that, which takes seconds; raises HarnessError without engine."""
        match spec.boot:
            case DirectBoot(image=image):
                return self._machine(spec, port, directory, image)
            case FirmwareBoot() if self._image:
                return self._machine(spec, port, directory, self._image)
            case _:
                raise BadInput(f"machine {spec.name}: no image to boot, its firmware has none but the driver's")

    def _machine(self, spec: MachineSpec, port: Port, directory: Path, image: BootImage) -> "DockerMachine":
        folder = directory / "image"
        folder.mkdir(exist_ok=True)
        with self._importing:
            name = ensure_image(image.rootfs, image.rootfs_sha256, folder, self._host)
        folder.rmdir()
        return DockerMachine(spec, directory, self._lab, self._host, _orders(spec, port, self._lab, image, name, self._host))


def _orders(spec: MachineSpec, port: Port, lab: Lab, image: BootImage, name: str, host: str | None) -> Orders:
    source, arguments = ("", ()) if isinstance(spec.boot, FirmwareBoot) else (local_source(spec.boot), spec.boot.arguments)
    return Orders(
        name=spec.name,
        lab=lab.id,
        serial=spec.serial,
        uuid=spec.uuid,
        mac=spec.mac,
        architecture=_ARCHITECTURE[spec.firmware],
        memory=spec.memory_mib << 20,
        cpus=spec.cpus,
        container=lab.namespace(spec.name),
        host=host or "",
        image=name,
        image_sha256=image.rootfs_sha256,
        rootfs=os.fspath(image.rootfs.absolute()),
        fabric=port.namespace,
        bridge=port.bridge,
        address=str(spec.address or ""),
        gateway=str(spec.gateway or ""),
        ignition=source,
        arguments=arguments,
    )


class DockerMachine:
    """One container machine; see `machines.Machine`. `container` is its name in the engine."""

    def __init__(self, spec: MachineSpec, directory: Path, lab: Lab, host: str | None, orders: Orders) -> None:
        self.spec = spec
        self.console = directory / "console.log"
        self.container = orders.container
        self._directory = directory
        self._lab = lab
        self._host = host
        self._orders = orders
        self._running: ExitStack | None = None
        self._process: Process | None = None
        self._paused = False

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
            words = ("ip", "-netns", self.container, "-json", "-4", "address", "show", "dev", CARD)
            asked = run(words, timeout=_COMMAND_SECONDS, check=False)
            for info in (info for link in json.loads(asked.stdout or "[]") for info in link.get("addr_info", ())):
                return IPv4Address(info["local"])
        raise HarnessError(f"{self.spec.name} has no address yet")

    def start(self) -> None:
        """Let it boot, in a new container; returns at once."""
        if self.state().has_power:
            raise HarnessError(f"{self.spec.name} is on already")
        self._release()
        orders = self._directory / "orders.json"
        self._orders.write(orders)
        with engine(self._host) as docker, ExitStack() as stack:
            # Made here and not there, so that it is there for `kill` to find, at whatever moment that comes.
            docker.create(self.container, self._orders.request(self._directory))
            stack.callback(self._remove)
            argv = (sys.executable, "-m", "kubeception_sim.machines.docker_boot", orders)
            env = {**self._lab.env, "PYTHONPATH": os.fspath(_PACKAGE_ROOT)}
            self._process = stack.enter_context(spawn(argv, log=self.console, env=env))
            self._running = stack.pop_all()

    def stop(self, grace: float) -> None:
        """Tell systemd to power off; after `grace` seconds SIGKILL."""
        if self.state() is MachineState.PAUSED:
            self.resume()
        deadline = time.monotonic() + grace
        while self._process is not None and self._process.poll() is None and (left := deadline - time.monotonic()) > 0:
            # A systemd that has just begun does not hear it yet; one that goes down does not mind.
            if self._init.exists():
                with suppress(HarnessError), engine(self._host) as docker:  # it may have gone by now
                    docker.signal(self.container, _POWER_OFF)
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
        if self._init.exists():
            with engine(self._host) as docker:
                docker.pause(self.container)

    def resume(self) -> None:
        """Thaw it."""
        if not self.state().has_power:
            raise HarnessError(f"{self.spec.name} has no power")
        if self._paused and self._init.exists():
            with engine(self._host) as docker:
                docker.unpause(self.container)
        self._signal(signal.SIGCONT)
        self._paused = False

    def set_link(self, up: bool) -> None:
        """Take the fabric's end of the cable down, or up: both ends lose their carrier."""
        mark = self._directory / UNPLUGGED
        if up:
            mark.unlink(missing_ok=True)
        else:
            mark.touch()
        if self.state().has_power and self._init.exists():
            self._orders.cable.set(up=up)

    @property
    def link(self) -> str:
        """One end of its veth pair."""
        return self._orders.cable.link

    def state(self) -> MachineState:
        """BROKEN when the program or the engine has failed, rather than its guest."""
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
        """By docker-exec(1)."""
        if self.state() is not MachineState.RUNNING:
            raise HarnessError(f"{self.spec.name} is {self.state()}")
        if not self._init.exists():
            raise HarnessError(f"{self.spec.name}: its system has not started\n{self.console_tail()}".rstrip())
        line = ("docker", "exec", *(() if stdin is None else ("--interactive",)), self.container, *argv)
        env = {**self._lab.env, **environment(self._host)}
        return run(line, timeout=timeout, stdin=stdin, check=check, env=env)

    @property
    def shell(self) -> tuple[str, ...]:
        """By docker-exec(1) as well."""
        script = 'if [ -t 0 ]; then set -- --tty "$@"; fi; exec docker exec --interactive "$@" bash -l'
        variables = (f"{name}={value}" for name, value in environment(self._host).items())
        return ("env", *variables, "sh", "-c", script, "enter", self.container)

    def push(self, source: Path, target: str) -> None:
        """Copy into the machine."""
        transfer.push(self.execute, source, target)

    def pull(self, source: str, target: Path) -> None:
        """Copy out of the machine."""
        transfer.pull(self.execute, source, target)

    @property
    def _init(self) -> Path:
        """There while its systemd runs."""
        return self._directory / INIT

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _release(self) -> None:
        running, self._running = self._running, None
        self._process, self._paused = None, False
        if running is not None:
            running.close()

    def _remove(self) -> None:
        with engine(self._host) as docker:
            docker.remove(self.container)
        self._orders.cable.disconnect()
        self._init.unlink(missing_ok=True)
