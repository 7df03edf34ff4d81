"""The root of a namespace machine: what the testbed's initrd makes of the same squashfs, and what a kernel would have added.

    assemble(...)   squashfs, loop-mounted, below a writable layer in memory, with /dev, /run and /sys
    enter(...)      in the machine's first process: its own /proc and cgroups, then pivot_root

As on a machine with a kernel of its own, /run/testbed is the memory below the writable layer: what must not lie on an
overlay goes there. What the machine sets for "its" kernel stays inside, where the kernel keeps only one for all: /proc/sys is
read-only but for /proc/sys/net, and what kubelet sets at its start are files of the machine's own.
"""

import os
import stat
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.cgroups import Hierarchy
from kubeception_sim.machines.syscalls import Clone, Mount, bind, mount, pivot_root, unshare
from kubeception_sim.run import run

_MOUNT_SECONDS = 30.0
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "fuse", "kmsg", "kvm", "net/tun")
_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
# kubelet wants these values, sets them where they differ, and does not start when it cannot (pkg/kubelet/cm, kernel tunables).
OWN_SYSCTLS = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
_CGROUPS = Path("sys/fs/cgroup")


@dataclass(frozen=True)
class Tree:
    """Where the machine's files are, outside: `memory` becomes its /run/testbed, `root` its root."""

    memory: Path
    root: Path

    @classmethod
    def below(cls, directory: Path) -> "Tree":
        """In the machine's own directory."""
        return cls(directory / "memory", directory / "root")


def assemble(tree: Tree, rootfs: Path, memory: int) -> None:
    """Mount everything that needs no process of the machine; in a mount namespace of its own, or it would stay.

    `memory` in bytes is what the machine may fill, as on a diskless machine. Raises CommandFailed and OSError.
    """
    for folder in (tree.memory, tree.root):
        folder.mkdir(exist_ok=True)
    mount("testbed", tree.memory, "tmpfs", data=f"mode=0755,size={memory * 9 // 10}")
    for name in ("lower", "upper", "work"):
        (tree.memory / name).mkdir()
    # mount(8) finds a loop device, which goes with its last mount.
    run(["mount", "-t", "squashfs", "-o", "loop,ro", rootfs, tree.memory / "lower"], timeout=_MOUNT_SECONDS)
    layers = ",".join(f"{name}dir={tree.memory}/{name}" for name in ("lower", "upper", "work"))
    mount("testbed", tree.root, "overlay", data=layers)


def furnish(tree: Tree, command_line: str, memory: int) -> None:
    """Add /dev, /run and /sys, once the root is provisioned; `command_line` is the machine's /proc/cmdline."""
    root = tree.root
    mount("sysfs", root / "sys", "sysfs", Mount.READ_ONLY | Mount.NO_SUID | Mount.NO_DEV | Mount.NO_EXEC)
    mount("tmpfs", root / "run", "tmpfs", Mount.NO_SUID | Mount.NO_DEV, f"mode=0755,size={memory // 5}")
    _devices(root / "dev", memory)
    moved = root / "run" / "testbed"
    moved.mkdir()
    mount(tree.memory, moved, flags=Mount.MOVE)
    own = root / "run" / "kubeception"
    own.mkdir(mode=0o700)
    (own / "cmdline").write_text(f"{command_line}\n")
    (own / "boot_id").write_text(f"{uuid.uuid4()}\n")
    write_sysctls(own, OWN_SYSCTLS)
    journald = root / "run" / "systemd" / "journald.conf.d"
    journald.mkdir(parents=True)
    # The kernel's log is the host's: kubelet looks for its own containers in it, a journal would copy it whole.
    (journald / "kubeception.conf").write_text("[Journal]\nReadKMsg=no\n")


def write_sysctls(own: Path, values: Mapping[str, str]) -> None:
    """A file for each, below `own`/sysctl, to be mounted over the kernel's in the machine."""
    for name, value in values.items():
        file = own / "sysctl" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")


def _devices(dev: Path, memory: int) -> None:
    mount("tmpfs", dev, "tmpfs", Mount.NO_SUID, "mode=0755,size=4m")
    for name in _DEVICES:
        with suppress(FileNotFoundError):
            known = os.stat(f"/dev/{name}")
            node = dev / name
            node.parent.mkdir(exist_ok=True)
            os.mknod(node, known.st_mode, known.st_rdev)
            node.chmod(stat.S_IMODE(known.st_mode))
    for name, target in _LINKS.items():
        (dev / name).symlink_to(target)
    (dev / "console").touch()
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    mount("devpts", dev / "pts", "devpts", Mount.NO_SUID | Mount.NO_EXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    mount("tmpfs", dev / "shm", "tmpfs", Mount.NO_SUID | Mount.NO_DEV, f"mode=1777,size={memory // 2}")


def enter(root: Path, console: Path, group: str, trees: Sequence[Hierarchy]) -> None:
    """Make this process, the first of its PID namespace, the machine's: in its cgroups, its /proc and its root.

    `console` is a terminal, which becomes /dev/console.
    """
    for each in trees:
        (each.mount / group / "cgroup.procs").write_text("0")
    # Mounts of its own as well: pivot_root changes the root of whoever else is in the namespace.
    unshare(Clone.CGROUP | Clone.MOUNT)
    bind(console, root / "dev" / "console")
    mount("proc", root / "proc", "proc", Mount.NO_SUID | Mount.NO_DEV | Mount.NO_EXEC)
    _shield_kernel(root / "proc", root / "run" / "kubeception")
    _cgroups(root, trees)
    pivot_root(root)
    mount("none", Path("/"), flags=Mount.SHARED | Mount.RECURSIVE)  # kubelet passes mounts on to its containers


def _shield_kernel(proc: Path, own: Path) -> None:
    bind(own / "cmdline", proc / "cmdline", read_only=True)
    trigger = proc / "sysrq-trigger"
    if trigger.exists():
        bind(trigger, trigger, read_only=True)
    settings = proc / "sys"
    bind(settings, settings)
    bind(settings / "net", settings / "net")
    mount("none", settings, flags=Mount.BIND | Mount.REMOUNT | Mount.READ_ONLY)
    bind(own / "boot_id", settings / "kernel" / "random" / "boot_id", read_only=True)
    for name in OWN_SYSCTLS:
        if (settings / name).exists():
            bind(own / "sysctl" / name, settings / name)


def _cgroups(root: Path, trees: Sequence[Hierarchy]) -> None:
    """The host's hierarchies at their places, each beginning with the machine's own group."""
    top = root / _CGROUPS
    if any(tree.version == 1 for tree in trees):
        mount("tmpfs", top, "tmpfs", Mount.NO_SUID | Mount.NO_DEV | Mount.NO_EXEC, "mode=0755,size=1m")
        for link in (entry for entry in Path("/sys/fs/cgroup").iterdir() if entry.is_symlink()):
            (top / link.name).symlink_to(link.readlink())
    for tree in trees:
        place = top if len(trees) == 1 and tree.version == 2 else top / tree.mount.name
        place.mkdir(exist_ok=True)
        flags = Mount.NO_SUID | Mount.NO_DEV | Mount.NO_EXEC
        mount("cgroup", place, "cgroup2" if tree.version == 2 else "cgroup", flags, tree.options)
