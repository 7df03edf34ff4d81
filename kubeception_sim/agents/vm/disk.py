"""The disk that outlives its machine: a raw file with ext4 in it, which the guest finds as /dev/disk/by-id/virtio-etcd."""

import logging
import os
import subprocess
from pathlib import Path

from kubeception_sim.agents.vm.machine import Disk

_log = logging.getLogger(__name__)
_SECONDS = 120.0
_MEBIBYTE = 1 << 20


class DiskFailed(Exception):
    """The disk could not be made."""


def ensure(disk: Disk) -> None:
    """Make the disk when there is none; one that is there is left as it is, whatever its size.

    It takes room on the node as it is written to. It has its name once it is whole: who is ended in between begins again. Raises
    DiskFailed.
    """
    if disk.path.exists():
        return
    draft = disk.path.with_name(f"{disk.path.name}.new")
    try:
        with draft.open("wb") as file:
            file.truncate(disk.size * _MEBIBYTE)
            _make_file_system(draft)
            os.fsync(file.fileno())
        draft.rename(disk.path)
    except OSError as error:
        raise DiskFailed(f"{error.filename or disk.path}: {error.strerror}") from error
    _log.info("%s is new: %d MiB", disk.path, disk.size)


def _make_file_system(path: Path) -> None:
    # The inode tables are left to the kernel, which clears them when they are first used.
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "etcd", "-E", "lazy_itable_init=1,lazy_journal_init=1", str(path)]
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    try:
        subprocess.run(
            argv, check=True, capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise DiskFailed(f"mke2fs {path}: no end after {_SECONDS:g} s") from error
    except subprocess.CalledProcessError as error:
        raise DiskFailed(f"mke2fs {path}: {error.stderr.strip()}") from error
