"""The program behind a namespace machine: its firmware, its initrd, and the parent of its first process.

    python -m kubeception_sim.machines.namespace_boot ORDERS

It writes to stdout what a machine writes to its serial console. Three processes in a row: this one, which boots again after
a reboot; the second, one for each boot, in the machine's namespaces; the third, which becomes systemd. Each dies with the one
before it. They are in no cgroup of the machine's but the third, because systemd wants its own for itself.
"""

import json
import logging
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from socket import sethostname

from kubeception_sim.cgroups import hierarchies
from kubeception_sim.lab import ENV_LAB
from kubeception_sim.machines import namespace_initrd, namespace_root
from kubeception_sim.machines.namespace_initrd import Failure, Kernel, Wiring
from kubeception_sim.machines.syscalls import Clone, Mount, die_with_parent, enter, mount, unshare

_log = logging.getLogger("machine")

REBOOT = 64
INIT = "init"
_NETNS_DIRECTORY = Path("/run/netns")
_SYSTEMD = "/usr/lib/systemd/systemd"
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Orders:
    """What the machine is told, as JSON in its directory. `memory` is in bytes, empty strings stand for what is not given.

    `trees` are the mount points of the cgroup hierarchies that have its `group`.
    `ignition` is a URL or an absolute path, or empty for a boot by firmware.
    """

    name: str
    lab: str
    serial: str
    uuid: str
    mac: str
    architecture: int
    memory: int
    group: str
    trees: tuple[str, ...]
    network: str
    address: str
    gateway: str
    rootfs: str
    rootfs_sha256: str
    ignition: str
    arguments: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Orders":
        fields = json.loads(path.read_text())
        return cls(**{**fields, **{name: tuple(fields[name]) for name in ("arguments", "trees")}})

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2))


def main() -> None:
    """Boot, and boot again as often as the machine reboots; exit 0 when it has powered off."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    path = Path(sys.argv[1]).absolute()
    orders = Orders.read(path)
    os.umask(0o022)
    while True:
        code = _ended(_forked(lambda: boot(orders, path.parent)))
        if code != REBOOT:
            sys.exit(code)
        _log.info("machine: reboot")


def boot(orders: Orders, directory: Path) -> int:
    """One boot, from power-on to power-off; an exit code."""
    began = time.monotonic()
    _log.info("machine: %s, serial %s, %d MiB", orders.name, orders.serial, orders.memory >> 20)
    unshare(Clone.MOUNT | Clone.UTS | Clone.IPC)
    mount("none", Path("/"), flags=Mount.PRIVATE | Mount.RECURSIVE)
    enter(_NETNS_DIRECTORY / orders.network, Clone.NET)
    sethostname(orders.name)
    kernel = _power_on(orders)
    tree = namespace_root.Tree.below(directory)
    try:
        rootfs = namespace_initrd.root_image(kernel, Path(orders.rootfs), orders.rootfs_sha256, directory)
        namespace_root.assemble(tree, rootfs, orders.memory)
        namespace_initrd.provision(kernel, tree.root, orders.name)
    except Failure as failure:
        namespace_initrd.tell_failure(kernel, failure, orders.name, time.monotonic() - began)
        return 0
    namespace_root.furnish(tree, " ".join(kernel.words), orders.memory)
    namespace_initrd.keep_network(kernel, tree.root)
    namespace_initrd.tell_handover(kernel)
    return _run_system(orders, kernel, tree.root, directory / INIT)


def _power_on(orders: Orders) -> Kernel:
    wiring = Wiring(orders.serial, orders.uuid, orders.mac, orders.architecture, orders.address, orders.gateway)
    if orders.ignition:
        return namespace_initrd.direct(wiring, orders.ignition, orders.arguments)
    return namespace_initrd.firmware(wiring)


def _run_system(orders: Orders, kernel: Kernel, root: Path, init: Path) -> int:
    terminal, far_end = os.openpty()
    told, telling = os.pipe()
    unshare(Clone.PID)
    pid = _forked(lambda: _become_system(orders, kernel, root, far_end, telling))
    os.close(telling)
    with open(told, "rb") as pipe:
        problem = pipe.read()  # ends when systemd has taken over, because the pipe does not survive exec
    if not problem:
        draft = init.with_suffix(".new")
        draft.write_text(str(pid))
        draft.rename(init)
    _pump(terminal, pid)
    init.unlink(missing_ok=True)
    status = os.waitid(os.P_PID, pid, os.WEXITED)
    assert status is not None
    if problem:
        _log.error("machine: cannot start %s: %s", _SYSTEMD, problem.decode())
        return 1
    return _meaning(status)


def _meaning(status: os.waitid_result) -> int:
    """How the first process ended (reboot(2), "Behavior inside PID namespaces")."""
    if status.si_code == os.CLD_EXITED:
        return status.si_status
    if status.si_status == signal.SIGHUP:
        return REBOOT
    _log.info("machine: %s", "power off" if status.si_status == signal.SIGINT else f"killed by signal {status.si_status}")
    return 0


def _become_system(orders: Orders, kernel: Kernel, root: Path, console: int, telling: int) -> int:
    try:
        trees = [tree for tree in hierarchies() if os.fspath(tree.mount) in orders.trees]
        namespace_root.enter(root, Path(os.ttyname(console)), orders.group, trees)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(console, 1)
        os.dup2(console, 2)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what is ignored is inherited
            signal.signal(number, signal.SIG_DFL)
        os.execve(_SYSTEMD, [_SYSTEMD, *_for_systemd(kernel.words)], environment(orders))
    except OSError as error:
        os.write(telling, f"{error.filename}: {error.strerror}".encode())
    return 1


def environment(orders: Orders) -> Mapping[str, str]:
    """What PID 1 starts with (systemd.io, "Container Interface"): who runs it, its machine id, the label that gc looks for."""
    return {
        "container": "kubeception",
        "container_uuid": orders.uuid,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        "TERM": "dumb",
        **({ENV_LAB: orders.lab} if orders.lab else {}),
    }


def _for_systemd(words: tuple[str, ...]) -> list[str]:
    """In a container systemd takes its own arguments for the kernel's command line."""
    return [word for word in words if word.startswith("systemd.")]


def _pump(terminal: int, pid: int) -> None:
    """Copy what comes from the console to stdout until the process has ended, which stays to be waited for.

    We hold the terminal's other end open as well: it never hangs up.
    """
    handle = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(terminal, select.POLLIN)
    poller.register(handle, select.POLLIN)
    while True:
        ready = [number for number, _ in poller.poll()]
        if terminal in ready:
            os.write(1, os.read(terminal, _CHUNK).replace(b"\r", b""))
        elif handle in ready:
            os.close(handle)
            return


def _forked(body: Callable[[], int]) -> int:
    """Run `body` in a child that dies with us, and return its pid. It never returns into our own code."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        die_with_parent(signal.SIGKILL)
        code = body()
    except BaseException:  # noqa: BLE001  (a bug is told on the console, and ends the machine)
        traceback.print_exc(file=sys.stdout)
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
