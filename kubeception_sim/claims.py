"""Names that one process at a time holds, each with a few files that tell others about it.

    ROOT/up/NAME.lock   flock(2)ed by the holder; the kernel lets go of it with the holder's last breath
    ROOT/up/NAME.*      what the holder leaves for others to read

A held name is a living one; there are no stale claims. Files of a name are removed by whoever holds its lock, the lock last.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.lab import ENV_ROOT, default_root

# Others look at a lock by holding it for an instant: nobody is refused for that.
_PATIENCE_SECONDS = 1.0
_POLL_SECONDS = 0.02


def folder(root: Path | None = None) -> Path:
    """Where the files of all names are."""
    return (root or default_root()) / "up"


def file(name: str, kind: str, root: Path | None = None) -> Path:
    """The file `kind` of a name, such as `json`; it need not exist."""
    return folder(root) / f"{name}.{kind}"


def names(root: Path | None = None) -> list[str]:
    """All names that are held, or were and have left files; sorted. Raises HarnessError when we may not look."""
    try:
        return sorted({path.name.partition(".")[0] for path in folder(root).iterdir()})
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _refused("look into", folder(root), error) from error


def take(name: str, root: Path | None = None) -> int:
    """Hold `name` for as long as the returned descriptor is open, in this process or in one that inherits it.

    Raises BadInput when somebody holds it, HarnessError when the files cannot be written.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            descriptor = _open(file(name, "lock", root))
        except FileNotFoundError as error:  # The folder went away at this very moment, with the last name in it.
            if time.monotonic() > deadline:
                raise _refused("write", file(name, "lock", root), error) from error
            continue
        if _locked(descriptor, fcntl.LOCK_EX):
            if _is(descriptor, file(name, "lock", root)):
                return descriptor
            os.close(descriptor)  # Its former holder removed it while we waited: this lock guards nothing.
            continue
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise BadInput(f"{name} is held by another process", hint=f"kubeception status {name}")
        time.sleep(_POLL_SECONDS)


def held(name: str, root: Path | None = None) -> bool:
    """Whether somebody holds the name."""
    try:
        descriptor = os.open(file(name, "lock", root), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def forget(name: str, descriptor: int, root: Path | None = None) -> None:
    """Remove all files of a name that is held by `descriptor`, and let go of it."""
    lock = file(name, "lock", root)
    for path in folder(root).glob(f"{name}.*"):
        if path != lock:
            path.unlink(missing_ok=True)
    lock.unlink(missing_ok=True)
    os.close(descriptor)
    with suppress(OSError):  # others may have files there
        folder(root).rmdir()


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refused("write", path, error) from error


def _refused(what: str, path: Path, error: OSError) -> HarnessError:
    hint = f"run as root, or set {ENV_ROOT} to a directory you may write to"
    return HarnessError(f"cannot {what} {path}: {error.strerror}", hint=hint)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
