"""The program behind a container that is a machine: its firmware, its initrd, its reboots, its console.

    python -m kubeception_sim.machines.docker_boot ORDERS

It writes to stdout what a machine writes to its serial console. Each boot has a container of its own, made from the image:
the machine is diskless. Its first process waits until the real Ignition has been at its files, then becomes systemd.
"""

import json
import logging
import os
import signal
import sys
import time
import traceback
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kubeception_sim.machines import docker_root, namespace_initrd
from kubeception_sim.machines.cable import Cable
from kubeception_sim.machines.docker_container import COMMAND_LINE, DEVICES, GATE, OWN, Container
from kubeception_sim.machines.docker_engine import engine
from kubeception_sim.machines.namespace_boot import INIT, REBOOT
from kubeception_sim.machines.namespace_initrd import Failure, Kernel, Wiring
from kubeception_sim.machines.namespace_root import OWN_SYSCTLS, write_sysctls
from kubeception_sim.machines.syscalls import Clone, die_with_parent, enter

_log = logging.getLogger("machine")

UNPLUGGED = "unplugged"  # a file in the machine's directory: its cable is not in
_REFUSED = 3  # how the initrd ends when the boot has failed, and that has been told
_SIGNALLED = 128


@dataclass(frozen=True)
class Orders:
    """What the machine is told, as JSON in its directory. `memory` is in bytes, empty strings stand for what is not given.

    `container` is the name of the container and of its network namespace, `host` the URL of the engine,
    `rootfs` the path of the squashfs that `image` was made of.
    """

    name: str
    lab: str
    serial: str
    uuid: str
    mac: str
    architecture: int
    memory: int
    cpus: int
    container: str
    host: str
    image: str
    image_sha256: str
    rootfs: str
    fabric: str
    bridge: str
    address: str
    gateway: str
    ignition: str
    arguments: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Orders":
        fields = json.loads(path.read_text())
        return cls(**{**fields, "arguments": tuple(fields["arguments"])})

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2))

    def request(self, directory: Path) -> dict[str, Any]:
        """What makes its container, with its folder in `directory`, which is made."""
        (directory / OWN).mkdir(mode=0o700, exist_ok=True)
        devices = [path for path in DEVICES if Path(path).exists()]
        return Container(self.name, self.image, self.lab, self.uuid, self.memory, self.cpus, directory, devices).request()

    @property
    def cable(self) -> Cable:
        """Its cable."""
        return Cable(self.name, self.mac, self.container, self.fabric, self.bridge)


def main() -> None:
    """Boot, and boot again as often as the machine reboots; exit 0 when it has powered off."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    path = Path(sys.argv[1]).absolute()
    orders = Orders.read(path)
    os.umask(0o022)
    while (code := _boot(orders, path.parent)) == REBOOT:
        _log.info("machine: reboot")
    sys.exit(code)


def _boot(orders: Orders, directory: Path) -> int:
    """One boot of the container that is there, from power-on to power-off; an exit code. A reboot leaves a new one."""
    _log.info("machine: %s, serial %s, %d MiB", orders.name, orders.serial, orders.memory >> 20)
    own, init = directory / OWN, directory / INIT
    _furnish(own)
    gate = os.open(own / GATE, os.O_RDWR)  # both of its ends, so that nobody waits for the other
    with engine(orders.host or None) as docker:
        output = docker.output(orders.container)
        pid = docker.start(orders.container)
        orders.cable.connect(pid, up=not (directory / UNPLUGGED).exists())
        code = _provisioned(orders, directory, pid)
        if code == 0:
            os.write(gate, f"{_for_systemd((own / COMMAND_LINE).read_text())}\n".encode())
            draft = init.with_suffix(".new")
            draft.write_text(str(pid))
            draft.rename(init)
            for chunk in output:
                os.write(1, chunk.replace(b"\r", b""))
            code = _meaning(docker.wait(orders.container))
        init.unlink(missing_ok=True)
        orders.cable.disconnect()
        docker.remove(orders.container)
        if code == REBOOT:
            docker.create(orders.container, orders.request(directory))
    os.close(gate)
    return 0 if code == _REFUSED else code


def _furnish(own: Path) -> None:
    """The folder that the container sees at /run/kubeception."""
    (own / GATE).unlink(missing_ok=True)
    os.mkfifo(own / GATE, 0o600)
    write_sysctls(own, {**OWN_SYSCTLS, "kernel/random/boot_id": str(uuid.uuid4())})


def _for_systemd(command_line: str) -> str:
    """In a container systemd takes its own arguments for the kernel's command line."""
    return " ".join(word for word in command_line.split() if word.startswith("systemd."))


def _meaning(code: int) -> int:
    """How the first process ended (reboot(2), "Behavior inside PID namespaces")."""
    if code == _SIGNALLED + signal.SIGHUP:
        return REBOOT
    if code < _SIGNALLED:
        return code
    number = code - _SIGNALLED
    _log.info("machine: %s", "power off" if number == signal.SIGINT else f"killed by signal {number}")
    return 0


def _provisioned(orders: Orders, directory: Path, pid: int) -> int:
    """Let a child do what the initrd does: it enters namespaces that we must not be in. Its exit code."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        die_with_parent(signal.SIGKILL)
        code = _initrd(orders, directory, pid)
    except BaseException:  # noqa: BLE001  (a bug is told on the console, and ends the machine)
        traceback.print_exc(file=sys.stdout)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _initrd(orders: Orders, directory: Path, pid: int) -> int:
    began = time.monotonic()
    root = directory / "root"
    root.mkdir(exist_ok=True)
    enter(Path(f"/proc/{pid}/ns/net"), Clone.NET)
    docker_root.show(pid, root)
    docker_root.restore(root, Path(orders.rootfs), directory / "image")
    kernel = _power_on(orders)
    try:
        _check_image(kernel, orders.image_sha256)
        namespace_initrd.provision(kernel, root, orders.name)
    except Failure as failure:
        namespace_initrd.tell_failure(kernel, failure, orders.name, time.monotonic() - began)
        return _REFUSED
    _leave_for_system(kernel, directory / OWN, root)
    namespace_initrd.tell_handover(kernel)
    return 0


def _power_on(orders: Orders) -> Kernel:
    wiring = Wiring(orders.serial, orders.uuid, orders.mac, orders.architecture, orders.address, orders.gateway)
    if orders.ignition:
        return namespace_initrd.direct(wiring, orders.ignition, orders.arguments)
    return namespace_initrd.firmware(wiring)


def _check_image(kernel: Kernel, own: str) -> None:
    """A container has the root that it was made with."""
    wanted = kernel.argument("testbed.sha256")
    if wanted not in ("", own):
        raise Failure(f"the server's root file system has sha256 {wanted}, and this machine's image is of {own}")


def _leave_for_system(kernel: Kernel, own: Path, root: Path) -> None:
    (own / COMMAND_LINE).write_text(f"{' '.join(kernel.words)}\n")
    namespace_initrd.keep_network(kernel, root)
    journald = root / "run" / "systemd" / "journald.conf.d"
    journald.mkdir(parents=True)
    # The kernel's log is the host's: kubelet looks for its own containers in it, a journal would copy it whole.
    (journald / "kubeception.conf").write_text("[Journal]\nReadKMsg=no\n")


if __name__ == "__main__":
    main()
