"""A libvirtd of the lab's own, in the fabric's network namespace, where the tap devices are.

    python -m kubeception_sim.machines.libvirt_daemon FOLDER LIBVIRTD

A privileged libvirtd has fixed places for its state. It gets them to itself: below /run, /etc and /var/{lib,cache,log} it sees
the host's files, and writes into a layer in memory that nobody else sees; its logs and what it finds out about QEMU, which
takes it seconds, are in FOLDER. It listens at FOLDER/libvirt-sock:

    virsh -c 'qemu+unix:///system?socket=FOLDER/libvirt-sock' list
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kubeception_sim.errors import DeadlineExceeded, HarnessError
from kubeception_sim.lab import ENV_ROOT, Lab
from kubeception_sim.machines.syscalls import Clone, Mount, bind, mount, unshare
from kubeception_sim.run import Process, require, spawn

SOCKET = "libvirt-sock"
LOGS = "log"
_LONGEST = "libvirt-admin-sock"
_SOCKET_PATH_MAX = 107  # unix(7), without the null byte
_CACHE = "cache"
_START_SECONDS = 30.0
_POLL_SECONDS = 0.02
_PACKAGE_ROOT = Path(__file__).parents[2]
_PARENTS = ("/run", "/etc", "/var/lib", "/var/cache", "/var/log")
# QEMU may write where root may, is in no cgroup and no mount namespace of libvirt's, and logs to a file without virtlogd.
_QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
# libvirtd wants this user to exist, also where its configuration names another one.
_ACCOUNTS = {"/etc/passwd": "libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin", "/etc/group": "libvirt-qemu:x:64055:"}


def libvirtd() -> Path:
    """Where it is. Raises MissingTool."""
    return require("libvirtd", "libvirt-daemon libvirt-daemon-driver-qemu")


@contextmanager
def daemon(folder: Path, namespace: str, env: Mapping[str, str]) -> Iterator[str]:
    """The URI to connect to, for as long as the block lasts. Its machines live on when it ends: they are to be ended before.

    Raises HarnessError for a path that no socket can have, DeadlineExceeded when it does not come up.
    """
    if len(os.fsencode(folder / _LONGEST)) > _SOCKET_PATH_MAX:
        raise HarnessError(f"{folder} is too long a path for the sockets of libvirtd", hint=f"set {ENV_ROOT} to a shorter one")
    place = folder / SOCKET
    place.unlink(missing_ok=True)
    argv = (sys.executable, "-m", "kubeception_sim.machines.libvirt_daemon", folder, libvirtd())
    environment = {**env, "PYTHONPATH": os.fspath(_PACKAGE_ROOT)}
    with spawn(argv, log=folder / "libvirtd.log", env=environment, namespace=namespace) as process:
        _await(place, process)
        yield f"qemu+unix:///system?socket={place}"
    place.unlink(missing_ok=True)


class Daemons:
    """The lab's libvirtd for each network namespace, running while somebody uses it."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._lock = threading.Lock()
        self._running: dict[str, tuple[ExitStack, str]] = {}
        self._users: dict[str, int] = {}

    def folder(self, namespace: str) -> Path:
        """Where the one of a network namespace has its socket and logs."""
        return self._lab.subdirectory("libvirt", namespace.removeprefix(self._lab.namespace("x")[:-1]))

    @contextmanager
    def used(self, namespace: str) -> Iterator[str]:
        """The URI to connect to."""
        with self._lock:
            if namespace not in self._running:
                stack = ExitStack()
                uri = stack.enter_context(daemon(self.folder(namespace), namespace, self._lab.env))
                self._running[namespace] = stack, uri
            self._users[namespace] = self._users.get(namespace, 0) + 1
        try:
            yield self._running[namespace][1]
        finally:
            with self._lock:
                self._users[namespace] -= 1
                if not self._users[namespace]:
                    self._running.pop(namespace)[0].close()


def _await(place: Path, process: Process) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while why := _unheard(place):
        if process.poll() is not None or time.monotonic() > deadline:
            raise DeadlineExceeded(f"libvirtd does not listen at {place}: {why}\n{process.tail()}", hint="see the log beside it")
        time.sleep(_POLL_SECONDS)


def _unheard(place: Path) -> str:
    """Why nobody answers at a socket, empty when somebody does; it is there a moment before libvirtd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        try:
            caller.connect(os.fspath(place))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def main() -> None:
    """Take the places, then become libvirtd."""
    folder, program = Path(sys.argv[1]), sys.argv[2]
    _own_places(folder)
    Path("/etc/libvirt/qemu.conf").write_text(_QEMU_CONF)
    for file, line in _ACCOUNTS.items():
        text = Path(file).read_text()
        if f"\n{line.partition(':')[0]}:" not in text:
            Path(file).write_text(f"{text}{line}\n")
    config = folder / "libvirtd.conf"
    config.write_text(f'unix_sock_dir = "{folder}"\nauth_unix_rw = "none"\nlog_outputs = "3:stderr"\n')
    os.execv(program, [program, "--config", os.fspath(config), "--pid-file", os.fspath(folder / "libvirtd.pid")])


def _own_places(folder: Path) -> None:
    unshare(Clone.MOUNT)
    mount("none", Path("/"), flags=Mount.PRIVATE | Mount.RECURSIVE)
    top = folder / "layers"
    top.mkdir(exist_ok=True)
    mount("libvirt", top, "tmpfs", data="mode=0700")
    # The lab may lie below one of the parents. Its path then leads into the layer laid there, on which no other can be laid.
    layers = Path(f"/proc/self/fd/{os.open(top, os.O_PATH | os.O_CLOEXEC)}")
    lab, kept = folder.parent, layers / "lab"
    kept.mkdir()
    mount(lab, kept, flags=Mount.BIND | Mount.RECURSIVE)
    for parent in _PARENTS:
        upper, work = (layers / f"{kind}{parent.replace('/', '-')}" for kind in ("upper", "work"))
        upper.mkdir()
        work.mkdir()
        mount("libvirt", Path(parent), "overlay", data=f"lowerdir={parent},upperdir={upper},workdir={work}")
    mount(kept, lab, flags=Mount.BIND | Mount.RECURSIVE)
    for name, place in ((LOGS, "/var/log/libvirt"), (_CACHE, "/var/cache/libvirt"), ("", "/etc/libvirt")):
        Path(place).mkdir(parents=True, exist_ok=True)
        if name:
            (folder / name).mkdir(exist_ok=True)
            bind(folder / name, Path(place))


if __name__ == "__main__":
    main()
