"""What the kernel and our capabilities allow, apart from the network."""

import ctypes
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from kubeception_sim.cgroups import Group as ControlGroup
from kubeception_sim.cgroups import hierarchies
from kubeception_sim.doctor.finding import Finding, Group, Part, Status, Thing
from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.run import require, run

_SECONDS = 10.0
_ROOT = "run as root: sudo kubeception doctor"
_IMAGES = frozenset((Part.IMAGE,))
_NAMESPACE = frozenset((Part.NAMESPACE,))
_PRIVATE = ("unshare", "--mount", "--propagation", "private", "sh", "-ec")
_OVERLAY = Thing("overlayfs", Group.KERNEL, "what machines write", "modprobe overlay", _NAMESPACE)
_SQUASHFS = Thing("squashfs on a loop device", Group.KERNEL, "roots of machines", "modprobe -a squashfs loop", _NAMESPACE)
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_FIRST_FREE_PORT = 1024


def try_kernel() -> Iterator[Finding]:
    """Each in mount namespaces and folders of its own."""
    mounts, *others = _capabilities()
    yield mounts
    yield from others
    with TemporaryDirectory(prefix="kubeception-doctor-") as name:
        yield from _mounts(Path(name), may_mount=mounts.status is Status.OK)
    yield _namespaces()
    control = Thing(
        "cgroups", Group.KERNEL, "limits, and the freezer", "mount -t cgroup2 none /sys/fs/cgroup, as root", _NAMESPACE
    )
    yield control.tried(_control_group)
    yield Thing("user namespaces", Group.KERNEL, "nothing here needs them", "sysctl user.max_user_namespaces=15000").tried(
        lambda: _quiet("unshare", "--user", "--map-root-user", "true")
    )
    pidfd = Thing("pidfd", Group.KERNEL, "ends processes surely", "a kernel from 5.3 on", frozenset((Part.FABRIC,)))
    yield pidfd.tried(lambda: os.close(os.pidfd_open(os.getpid())))
    seccomp = Thing(
        "seccomp filters",
        Group.KERNEL,
        "containers of an engine",
        "a kernel with CONFIG_SECCOMP_FILTER",
        frozenset((Part.DOCKER,)),
    )
    yield seccomp.tried(_seccomp)


def _capabilities() -> Iterator[Finding]:
    admin = Thing("CAP_SYS_ADMIN", Group.CAPABILITIES, "mounts and namespaces", _ROOT, _NAMESPACE | _IMAGES)
    yield admin.tried(lambda: _quiet(*_PRIVATE, "mount -t tmpfs none /mnt"))
    yield Thing("CAP_SYS_CHROOT", Group.CAPABILITIES, "programs in machines", _ROOT, _NAMESPACE | _IMAGES).tried(
        lambda: _quiet("chroot", "/", "true")
    )
    yield Thing("CAP_MKNOD", Group.CAPABILITIES, "device nodes of machines", _ROOT, _NAMESPACE | _IMAGES).tried(_node)
    yield Thing("CAP_NET_RAW", Group.CAPABILITIES, "reads and writes frames", _ROOT, frozenset((Part.FABRIC,))).tried(
        lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    )
    low = Thing("CAP_NET_BIND_SERVICE", Group.CAPABILITIES, "DHCP, DNS and TFTP ports", _ROOT, frozenset((Part.FABRIC,)))
    yield low.tried(_low_port)


def _mounts(folder: Path, *, may_mount: bool) -> Iterator[Finding]:
    if not may_mount:
        yield from (thing.untried("nothing can be mounted without CAP_SYS_ADMIN", _ROOT) for thing in (_OVERLAY, _SQUASHFS))
        return
    layers = 'mount -t tmpfs none "$0"; cd "$0"; mkdir l u w m; mount -t overlay none -o lowerdir=l,upperdir=u,workdir=w m'
    yield _OVERLAY.tried(lambda: _quiet(*_PRIVATE, layers, os.fspath(folder)))
    try:
        maker = require("mksquashfs", "squashfs-tools")
    except MissingTool as error:
        yield _SQUASHFS.untried(error.message, error.hint)
        return
    script = 'mkdir "$0/in"; "$1" "$0/in" "$0/image" -quiet >/dev/null; mount -t squashfs -o loop,ro "$0/image" "$0/in"'
    yield _SQUASHFS.tried(lambda: _quiet(*_PRIVATE, script, os.fspath(folder), os.fspath(maker)))


def _namespaces() -> Finding:
    all_kinds = ("unshare", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--net", "--fork", "true")
    return Thing("all namespaces at once", Group.KERNEL, "namespace machines", _ROOT, _NAMESPACE).tried(
        lambda: _quiet(*all_kinds)
    )


def _control_group() -> str:
    trees = hierarchies()
    with Lab.create() as lab:
        group = ControlGroup(lab.namespace("doctor"), trees)
        try:
            group.create(memory=64 << 20, cpus=1)
            given = set().union(*(tree.controllers for tree in trees)) | _unified(group)
            group.freeze()
        finally:
            group.remove()
    versions = {tree.version for tree in trees if tree.version == 2 or tree.controllers}
    lacking = {"cpu", "memory", "pids"} - given
    if lacking:
        raise HarnessError(
            f"a group of its own gets no {', '.join(sorted(lacking))}", hint="enable them in the parent's cgroup.subtree_control"
        )
    kind = "hybrid" if len(versions) == 2 else f"v{versions.pop()}"
    return f"{kind}; a group gets {', '.join(sorted(given & {'cpu', 'memory', 'pids', 'cpuset', 'freezer', 'io', 'blkio'}))}"


def _unified(group: ControlGroup) -> set[str]:
    files = [path / "cgroup.controllers" for path in group.paths()]
    return {word for file in files if file.exists() for word in file.read_text().split()}


def _node() -> None:
    with TemporaryDirectory(prefix="kubeception-doctor-") as name:
        os.mknod(Path(name) / "null", 0o20600, os.makedev(1, 3))


def _low_port() -> None:
    """Whichever is free: somebody may listen at the one that we think of first."""
    for port in range(_FIRST_FREE_PORT - 1, _FIRST_FREE_PORT - 100, -1):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return
    raise HarnessError("no port below 1024 is free to be tried")


def _seccomp() -> None:
    """A filter at a null pointer: EFAULT from a kernel that has filters, EINVAL from others (seccomp(2), NOTES)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, None, 0, 0)
    if (number := ctypes.get_errno()) not in (errno.EFAULT, errno.EACCES):
        raise OSError(number, os.strerror(number))


def _quiet(*argv: str) -> None:
    run(argv, timeout=_SECONDS)
