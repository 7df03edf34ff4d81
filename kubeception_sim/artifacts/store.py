"""A content-addressed cache of folders, safe against concurrent builders, interrupted builds and damaged files.

    CACHE/KIND/KEY/             one entry; present means complete
    CACHE/KIND/KEY/manifest.json  {"files": {name: {"size", "mtime_ns", "sha256"}}}
    CACHE/KIND/lock             held (flock) by whoever builds or removes
    CACHE/KIND/building-*/      being built; garbage when nobody holds the lock

An entry is built beside its final place and renamed when it is whole, so readers need no lock. flock ends with the last
process that holds the open file: no lock file is ever stale.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from kubeception_sim.errors import HarnessError

Progress = Callable[[str, float], None]
"""Called with the name of the step and how much of the whole is done, 0 to 1, never falling within one call."""

Build = Callable[[Path, int], None]
"""Fills the empty folder it is given. The int is the descriptor of the lock: a program that inherits it keeps other
builders away for as long as it lives, even when the harness that started it has been killed."""

MANIFEST = "manifest.json"
BUILDING = "building-"


def default_cache() -> Path:
    """`$KUBECEPTION_CACHE`, else ~/.cache/kubeception."""
    named = os.environ.get("KUBECEPTION_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "kubeception"


@dataclass(frozen=True)
class FileRecord:
    """What a file was when it was built. `size` in bytes, `mtime_ns` since the epoch, `sha256` in hex."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """A complete folder of the cache."""

    key: str
    directory: Path
    files: Mapping[str, FileRecord]

    def path(self, name: str) -> Path:
        """Where the file `name` of this entry is."""
        return self.directory / name

    def damage(self, *, full: bool) -> str:
        """What is wrong with the files; empty when nothing is.

        A file whose size and modification time are the recorded ones is believed, unless `full`; any other is read.
        """
        found = (self._damage_of(name, record, full=full) for name, record in self.files.items())
        return "; ".join(text for text in found if text)

    def _damage_of(self, name: str, record: FileRecord, *, full: bool) -> str:
        path = self.path(name)
        try:
            stat = path.stat()
        except FileNotFoundError:
            return f"{path}: missing"
        if stat.st_size != record.size:
            return f"{path}: {stat.st_size} bytes, not {record.size}"
        if (full or stat.st_mtime_ns != record.mtime_ns) and _sha256(path) != record.sha256:
            return f"{path}: sha256 is not {record.sha256}"
        return ""


class Store:
    """The entries of one kind below a cache folder. Making one touches nothing on disk."""

    def __init__(self, cache: Path, kind: str) -> None:
        self.directory = cache / kind

    def find(self, key: str) -> Entry | None:
        """The entry, unless it is missing or visibly damaged."""
        entry = self._load(key)
        return None if entry is None or entry.damage(full=False) else entry

    def verify(self, key: str) -> None:
        """Read every byte of the entry. Raises HarnessError naming each damaged file."""
        entry = self._load(key)
        problem = f"{self.directory / key}: no such entry" if entry is None else entry.damage(full=True)
        if problem:
            raise HarnessError(problem, hint=f"rm -r {self.directory / key}, it is built again when needed")

    def obtain(self, key: str, build: Build, progress: Progress) -> Entry:
        """The entry, built by `build` when it is missing or visibly damaged.

        One builder at a time: others wait, and then use what it built. Whatever `build` raises is passed on, and
        nothing of the attempt is kept.
        """
        found = self.find(key)
        if found is not None:
            return found
        with self._locked(progress) as lock:
            found = self.find(key)
            return found if found is not None else self._build(key, build, lock)

    def remove(self, name: str) -> None:
        """Remove an entry, damaged or not, or what a killed builder left. Raises HarnessError while somebody builds here."""
        with (self.directory / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HarnessError(f"{self.directory}: being built in", hint="again when it is done") from error
            # Out of the way first: whoever is killed while removing leaves garbage, not half an entry.
            garbage = self.directory / f"{BUILDING}{name.removeprefix(BUILDING)}-removed"
            (self.directory / name).rename(garbage)
            remove_tree(garbage)

    def _load(self, key: str) -> Entry | None:
        directory = self.directory / key
        try:
            document = json.loads((directory / MANIFEST).read_bytes())
            return Entry(key, directory, {name: FileRecord(**record) for name, record in document["files"].items()})
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            # A manifest that cannot be read is damage like any other, and has the same cure.
            return None

    def _build(self, key: str, build: Build, lock: int) -> Entry:
        for garbage in self.directory.glob(f"{BUILDING}*"):
            remove_tree(garbage)
        folder = Path(tempfile.mkdtemp(prefix=BUILDING, dir=self.directory))
        try:
            build(folder, lock)
            records = {path.name: _record(path) for path in sorted(folder.iterdir())}
            (folder / MANIFEST).write_text(
                json.dumps({"files": {name: asdict(record) for name, record in records.items()}}, indent=2) + "\n"
            )
            _sync(folder / MANIFEST)
            folder.chmod(0o755)
            if (self.directory / key).exists():
                # The damaged predecessor. Machines that run from it keep their open files.
                (self.directory / key).rename(folder.with_name(f"{folder.name}-damaged"))
            folder.rename(self.directory / key)
            _sync(self.directory)
        finally:
            for garbage in self.directory.glob(f"{BUILDING}*"):
                remove_tree(garbage)
        return Entry(key, self.directory / key, records)

    @contextmanager
    def _locked(self, progress: Progress) -> Iterator[int]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting for another build", 0.0)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock.fileno()


def remove_tree(tree: Path, *, mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
    """Remove a folder, but refuse while something is mounted in it: the mount may be the host's own /dev."""
    # proc(5): the fifth field is the mount point, blanks written as \040.
    mounts = [line.split()[4].replace(r"\040", " ") for line in mountinfo.read_text().splitlines()]
    below = [mount for mount in mounts if Path(mount).is_relative_to(tree.resolve())]
    if below:
        raise HarnessError(f"{tree}: still mounted: {', '.join(below)}", hint=f"umount {' '.join(reversed(below))}")
    shutil.rmtree(tree)


def _record(path: Path) -> FileRecord:
    _sync(path)
    stat = path.stat()
    return FileRecord(stat.st_size, stat.st_mtime_ns, _sha256(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
