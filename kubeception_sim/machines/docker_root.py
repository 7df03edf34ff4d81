"""A container's file system at a place of ours, while its first process waits: what Ignition writes is in the container.

A bind mount does not cross from one mount namespace to another, but a detached copy of a mount does: it is made inside and
attached outside (open_tree(2), move_mount(2); Linux 5.2).
"""

import ctypes
import os
import shutil
from pathlib import Path

from kubeception_sim.machines.syscalls import Clone, Mount, mount, unshare
from kubeception_sim.run import run

_libc = ctypes.CDLL(None, use_errno=True)
_OPEN_TREE, _MOVE_MOUNT = 428, 429  # the same on every architecture
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _AT_FDCWD = 1, 4, -100
# Not what Docker mounts over files in /etc, nor the container's /proc, /sys and /dev.
_PARTS = ("/", "/run")
# The engine lays empty files over these of any image, to have something to mount its own upon.
_HIDDEN = ("etc/hostname", "etc/hosts", "etc/resolv.conf")
_MOUNT_SECONDS = 30.0


def show(pid: int, root: Path) -> None:
    """Mount the root and /run of the process `pid` at `root`, in a new mount namespace that this process enters.

    The process must have one thread only. Raises OSError.
    """
    unshare(Clone.MOUNT)
    mount("none", Path("/"), flags=Mount.PRIVATE | Mount.RECURSIVE)
    own, theirs = (os.open(f"/proc/{whose}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC) for whose in ("self", pid))
    _set_namespace(theirs)
    try:
        trees = [_call("open_tree", _OPEN_TREE, _AT_FDCWD, os.fsencode(part), _OPEN_TREE_CLONE | os.O_CLOEXEC) for part in _PARTS]
    finally:
        _set_namespace(own)
    for part, tree in zip(_PARTS, trees, strict=True):
        target = os.fsencode(root / part.lstrip("/"))
        _call("move_mount", _MOVE_MOUNT, tree, b"", _AT_FDCWD, target, _MOVE_MOUNT_F_EMPTY_PATH)
    for handle in (own, theirs, *trees):
        os.close(handle)


def restore(root: Path, rootfs: Path, place: Path) -> None:
    """Give the container at `root` the files of its image that the engine hides: without hosts nobody knows "localhost".

    `rootfs` is the squashfs that the image was made of, `place` a folder to mount it at: it is gone with this process's
    mount namespace. Raises OSError and CommandFailed.
    """
    place.mkdir(exist_ok=True)
    run(["mount", "-t", "squashfs", "-o", "loop,ro", rootfs, place], timeout=_MOUNT_SECONDS)
    for name in _HIDDEN:
        (root / name).unlink(missing_ok=True)
        if os.path.lexists(place / name):
            shutil.copy2(place / name, root / name, follow_symlinks=False)


def _set_namespace(handle: int) -> None:
    if _libc.setns(handle, int(Clone.MOUNT)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "setns")


def _call(what: str, number: int, *arguments: int | bytes) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)
    return result
