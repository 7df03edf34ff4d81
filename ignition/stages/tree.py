"""The few files that a directory needs before Ignition can work on it.

Everything is opened relative to the directory and no symlink is followed, so that nothing outside of it is touched.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ignition.stages.errors import ApplyError

_ACCOUNTS = {
    "passwd": (0o644, "root:x:0:0:root:/root:/bin/bash\n"),
    "group": (0o644, "root:x:0:\nusers:x:100:\n"),
    "shadow": (0o600, "root:*:19000:0:99999:7:::\n"),
    "gshadow": (0o600, "root:*::\nusers:!::\n"),
    # What every distribution ships, and what useradd compiled without it would do otherwise: no group of one's own.
    "login.defs": (0o644, "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\nUMASK 022\n"),
}
_SELINUX = "SELINUX=disabled\nSELINUXTYPE=none\n"


def make_accounts(root: Path) -> None:
    """Write the account files of a system with root alone, unless the directory has an /etc/passwd. They stay."""
    with _folder(root, "etc") as etc:
        if _exists("passwd", etc):
            return
        for name, (mode, text) in _ACCOUNTS.items():
            if not _exists(name, etc):
                _write(name, etc, mode, text)


@contextmanager
def selinux_config(root: Path) -> Iterator[None]:
    """Have an /etc/selinux/config for the length of the block, which Debian's Ignition wants to read in any root."""
    with _folder(root, "etc") as etc:
        made_folder = not _exists("selinux", etc)
        with _folder(root, "etc", "selinux") as selinux:
            made_file = not _exists("config", selinux)
            if made_file:
                _write("config", selinux, 0o644, _SELINUX)
            try:
                yield
            finally:
                if made_file:
                    os.unlink("config", dir_fd=selinux)
                if made_folder:
                    # Ignition may have put something of the config's into it.
                    with suppress(OSError):
                        os.rmdir("selinux", dir_fd=etc)


@contextmanager
def _folder(root: Path, *names: str) -> Iterator[int]:
    """Open a folder below the root, made where it is missing."""
    opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        for depth, name in enumerate(names, 1):
            made = not _exists(name, opened[-1])
            try:
                if made:
                    os.mkdir(name, dir_fd=opened[-1])
                opened.append(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
            except OSError as error:
                raise ApplyError(f"{root.joinpath(*names[:depth])}: no folder to write to: {error.strerror}") from error
            if made:
                os.fchmod(opened[-1], 0o755)
        yield opened[-1]
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _write(name: str, folder: int, mode: int, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    with open(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
