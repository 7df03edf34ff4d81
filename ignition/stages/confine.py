"""Runs a program that can write to a few directories and to nothing else on this machine.

    python -I -S confine.py [DIRECTORY PLACE]... -- PROGRAM ARGUMENT...

It is a program of its own, started in a child process: a mount namespace is the property of a whole process, and a
library has no business changing that of its caller. In the new namespace every mount is read-only, each directory
named is mounted as it was at its place, the kernel's command line is empty (Ignition would take a config's URL from
that of the host), and systemd's journal is not there (Ignition would write to that of the host).

Without root a user namespace comes first, in which the caller is root and the only user there is. What cannot be done
ends with exit code 126 and one line on stderr. The kernel must be 5.12 or newer: mount_setattr(2).
"""

import ctypes
import os
import sys

REFUSED = 126

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_MOUNT_ATTR_RDONLY = 1
# The numbers of asm-generic/unistd.h, the same on every architecture since Linux 5.1.
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_JOURNAL = "/run/systemd/journal"

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns"))


def confine(writable: list[tuple[str, str]]) -> None:
    """Make everything read-only for this process and its children, but some directories, each at its place. Raises OSError."""
    _enter_namespace()
    trees = [(place, _clone(directory)) for directory, place in writable]
    _call("/proc/cmdline", _libc.mount, os.fsencode(os.devnull), b"/proc/cmdline", None, _MS_BIND, None)
    if os.path.isdir(_JOURNAL):
        _call(_JOURNAL, _libc.mount, b"none", os.fsencode(_JOURNAL), b"tmpfs", 0, None)
    attributes = _MountAttributes(set=_MOUNT_ATTR_RDONLY)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    _system_call("read-only mounts", _MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, ctypes.byref(attributes), size)
    for place, tree in trees:
        _system_call(place, _MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(place), _MOVE_MOUNT_F_EMPTY_PATH)
        os.close(tree)


def _enter_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    _call("new namespaces", _libc.unshare, _CLONE_NEWNS | (_CLONE_NEWUSER if uid else 0))
    if uid:
        # Without privileges the kernel takes a group map only from those who gave up setgroups(2).
        for name, line in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(line)
    _call("private mounts", _libc.mount, None, b"/", None, _MS_REC | _MS_PRIVATE, None)


def _clone(directory: str) -> int:
    """Return a detached copy of the mounts at and below a directory: it keeps its flags when the original's change."""
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    return _system_call(directory, _OPEN_TREE, _AT_FDCWD, os.fsencode(directory), flags)


def _system_call(what: str, number: int, *arguments: object) -> int:
    return _call(what, _libc.syscall, ctypes.c_long(number), *arguments)


def _call(what: str, function: "ctypes._NamedFuncPointer", *arguments: object) -> int:
    result = int(function(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def main() -> None:
    """Confine this process, then become the program."""
    end = sys.argv.index("--")
    try:
        confine(list(zip(sys.argv[1:end:2], sys.argv[2:end:2], strict=True)))
        os.execv(sys.argv[end + 1], sys.argv[end + 1 :])
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        sys.exit(REFUSED)


if __name__ == "__main__":
    main()
