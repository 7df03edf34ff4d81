"""Files into and out of a machine, through whatever can run a program inside: as a tar archive on its stdin and stdout."""

import base64
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.run import Completed

TRANSFER_SECONDS = 300.0


class Execute(Protocol):
    """`Machine.execute`."""

    def __call__(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None, check: bool = True) -> Completed: ...


def push(execute: Execute, source: Path, target: str) -> None:
    """Copy `source` to the absolute path `target`; folders above it are made. Raises as `execute` does, OSError for `source`."""
    place = _absolute(target)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(source, arcname=place.name, filter=_owned_by_root)
    script = 'mkdir -p "$1" && exec tar -x -p -C "$1"'
    execute(("sh", "-c", script, "push", str(place.parent)), stdin=archive.getvalue(), timeout=TRANSFER_SECONDS)


def pull(execute: Execute, source: str, target: Path) -> None:
    """Copy the absolute path `source` to `target`, whose folder exists. Raises as `execute` does."""
    place = _absolute(source)
    # What comes back is text: a terminal or a log may be in between.
    script = 'set -o pipefail; tar -c --hard-dereference -C "$1" -- "$2" | base64'
    done = execute(("bash", "-c", script, "pull", str(place.parent), place.name), timeout=TRANSFER_SECONDS)
    try:
        archive = io.BytesIO(base64.b64decode(done.stdout))
        with tarfile.open(fileobj=archive, mode="r") as tar:
            members = [_renamed(member, place.name, target.name) for member in tar.getmembers()]
            tar.extractall(target.parent, members=members, filter=_with_mode)
    except (tarfile.TarError, ValueError) as error:
        raise HarnessError(f"{source}: what came out of the machine is no archive: {error}") from error


def _absolute(path: str) -> PurePosixPath:
    place = PurePosixPath(path)
    if not place.is_absolute() or not place.name:
        raise BadInput(f"{path!r} is not the absolute path of a file or folder in a machine")
    return place


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _renamed(member: tarfile.TarInfo, old: str, new: str) -> tarfile.TarInfo:
    member.name = str(PurePosixPath(new, *PurePosixPath(member.name).parts[1:])) if member.name != old else new
    return member


def _with_mode(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Refuse what would leave the folder, but keep the mode as it is: the filter `data` would change it."""
    tarfile.data_filter(member, folder)
    return member
