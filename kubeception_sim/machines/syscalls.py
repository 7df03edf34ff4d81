"""The system calls behind a namespace machine that Python 3.11 does not have. All raise OSError with the path or call's name."""

import ctypes
import os
from enum import IntFlag
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}  # <asm/unistd.h>; glibc has no wrapper
_PR_SET_PDEATHSIG = 1


class Clone(IntFlag):
    """Namespaces, <linux/sched.h>."""

    MOUNT = 0x00020000
    CGROUP = 0x02000000
    UTS = 0x04000000
    IPC = 0x08000000
    PID = 0x20000000
    NET = 0x40000000


class Mount(IntFlag):
    """Flags of mount(2), <linux/mount.h>."""

    NONE = 0
    READ_ONLY = 1
    NO_SUID = 2
    NO_DEV = 4
    NO_EXEC = 8
    REMOUNT = 32
    BIND = 4096
    MOVE = 8192
    RECURSIVE = 16384
    PRIVATE = 1 << 18
    SHARED = 1 << 20


def unshare(namespaces: Clone) -> None:
    """Leave these namespaces for new ones; for PID, the next child is the first of the new one."""
    _checked(_libc.unshare(int(namespaces)), f"unshare({namespaces!r})")


def enter(namespace: Path, kind: Clone) -> None:
    """Enter the namespace that a file such as /run/netns/NAME stands for."""
    handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(handle, int(kind)), os.fspath(namespace))
    finally:
        os.close(handle)


def mount(source: str | Path, target: Path, kind: str = "", flags: Mount = Mount.NONE, data: str = "") -> None:
    """mount(2). `source` is "none" where there is none."""
    words = (os.fspath(source).encode(), os.fspath(target).encode(), kind.encode() or None)
    _checked(_libc.mount(*words, ctypes.c_ulong(int(flags)), data.encode() or None), os.fspath(target))


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Show `source`, a file or a folder, at `target` too."""
    mount(source, target, flags=Mount.BIND)
    if read_only:
        mount("none", target, flags=Mount.BIND | Mount.REMOUNT | Mount.READ_ONLY)


def pivot_root(root: Path) -> None:
    """Make the mount point `root` this mount namespace's root, and let go of the old one with all its mounts (pivot_root(2))."""
    os.chdir(root)
    number = ctypes.c_long(_PIVOT_ROOT[os.uname().machine])
    _checked(_libc.syscall(number, b".", b"."), f"pivot_root({root})")
    _checked(_libc.umount2(b".", 2), "umount of the old root")  # MNT_DETACH
    os.chdir("/")


def die_with_parent(signum: int) -> None:
    """Get a signal when the parent ends, also after exec (prctl(2), PR_SET_PDEATHSIG)."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signum), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
