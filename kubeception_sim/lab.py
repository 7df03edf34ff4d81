"""The label on everything a run creates on the host, so that what a dead run left behind can be found and removed.

A lab is an id of 8 hex digits and a directory `<root>/<id>`. The id is in three more places: in the environment of
every process (`lab.env`), in the name of every network namespace and cgroup (`lab.namespace`), and in the name of every
link in the host's own namespace (`lab.link`). The directory holds `lab.json`, written before anything else is created, which
names the owner.

**Who lives.** A lab lives as long as the process that owns it. Two witnesses are asked, and either is enough:
the owner's pid together with its start time (a pid alone may have been reused), and an abstract unix socket
`@kubeception/<id>` that the kernel closes with its owner. The socket also speaks for labs under a root that
`kubeception gc` was not told of, and for the instant between the directory and its `lab.json`.
"""

import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kubeception_sim.errors import BadInput, HarnessError

SCHEMA = 1
RECORD = "lab.json"
RECORD_DRAFT = ".lab.json.new"
ENV_LAB = "KUBECEPTION_LAB"
ENV_ROOT = "KUBECEPTION_RUN"
DEFAULT_ROOT = Path("/run/kubeception")

ID = re.compile(r"[0-9a-f]{8}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_LINK_NAME_MAX = 15  # IFNAMSIZ - 1


@dataclass(frozen=True)
class Owner:
    """A process, told apart from a later one with the same pid. `start` is in clock ticks since `boot`, a boot id."""

    pid: int
    start: int
    boot: str

    @classmethod
    def current(cls) -> "Owner":
        """This process."""
        found = process_start(os.getpid())
        assert found is not None
        return cls(os.getpid(), found, _boot_id())

    def alive(self) -> bool:
        """Whether that very process still runs. A zombie does not: nobody will run its clean-up any more."""
        return self.boot == _boot_id() and process_start(self.pid) == self.start


@dataclass(frozen=True)
class Record:
    """What `lab.json` says. `created_at` is UTC, ISO 8601."""

    id: str
    owner: Owner
    created_at: str
    schema: int = SCHEMA

    @classmethod
    def read(cls, directory: Path) -> "Record":
        """The record in a lab's directory. Raises FileNotFoundError when there is none, HarnessError for nonsense."""
        text = (directory / RECORD).read_text()
        try:
            fields = json.loads(text)
            if fields["schema"] != SCHEMA:
                raise ValueError(f"schema {fields['schema']!r}, not {SCHEMA}")
            return cls(fields["id"], Owner(**fields["owner"]), fields["created_at"], fields["schema"])
        except (ValueError, KeyError, TypeError) as error:
            raise HarnessError(f"{directory / RECORD}: not a lab record: {error}") from error

    def write(self, directory: Path) -> None:
        """Write it whole or not at all."""
        draft = directory / RECORD_DRAFT
        with draft.open("w") as file:
            json.dump(asdict(self), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(directory / RECORD)


@dataclass
class Lab:
    """A living lab. Made by `Lab.create`. Set `keep` to leave the directory for a person to look at (and for gc)."""

    id: str
    directory: Path
    keep: bool = False
    env: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.env = {ENV_LAB: self.id}

    @classmethod
    @contextmanager
    def create(cls, root: Path | None = None, *, keep: bool = False) -> Iterator["Lab"]:
        """A new lab under `root` (default: `default_root()`); its directory is removed on the way out.

        Raises HarnessError when the directory cannot be made, or when something is still mounted below it at the end.
        """
        lab_id = secrets.token_hex(4)
        lab = cls(lab_id, (root or default_root()) / lab_id, keep)
        with _announced(lab_id):
            try:
                lab.directory.mkdir(parents=True)
                Record(lab_id, Owner.current(), datetime.now(UTC).isoformat(timespec="seconds")).write(lab.directory)
            except OSError as error:
                raise HarnessError(
                    f"cannot make the lab's directory {lab.directory}: {error.strerror}",
                    hint=f"run as root, or set {ENV_ROOT} to a directory you may write to",
                ) from error
            try:
                yield lab
            finally:
                if not lab.keep:
                    remove_tree(lab.directory)

    def namespace(self, name: str) -> str:
        """The name of a network namespace of this lab. Raises BadInput for a name `ip netns` would not take."""
        return f"kc-{self.id}-{_checked(name)}"

    def link(self, name: str) -> str:
        """The name of a link of this lab in the host's namespace; `name` has at most 5 characters."""
        link = f"kc{self.id}{_checked(name)}"
        if len(link) > _LINK_NAME_MAX:
            raise BadInput(f"{name!r} is too long for a link name: {link!r} has more than {_LINK_NAME_MAX} characters")
        return link

    def subdirectory(self, *parts: str) -> Path:
        """A directory inside the lab's, made if missing."""
        path = self.directory.joinpath(*(_checked(part) for part in parts))
        path.mkdir(parents=True, exist_ok=True)
        return path


def default_root() -> Path:
    """`$KUBECEPTION_RUN`, or /run/kubeception, which a reboot empties just as it ends the processes."""
    return Path(os.environ.get(ENV_ROOT) or DEFAULT_ROOT)


def announced() -> frozenset[str]:
    """The ids of all labs whose owner holds its socket in our network namespace, under whatever root."""
    names = (line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()[1:])
    return frozenset(name.removeprefix("@kubeception/") for name in names if name.startswith("@kubeception/"))


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc(5), field 22); None if there is none, or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets and may itself hold blanks and brackets.
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZXx" else int(rest[18])


def mounts_below(directory: Path) -> tuple[Path, ...]:
    """Mount points at or below `directory` in our mount namespace, the last one mounted first."""
    base = directory.resolve()
    points = [_unescape(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return tuple(point for point in reversed(points) if point == base or base in point.parents)


def remove_tree(directory: Path) -> None:
    """Remove a directory with all it holds, but never through a mount: a bind mount's files belong to somebody else."""
    mounts = mounts_below(directory)
    if mounts:
        listed = ", ".join(map(str, mounts))
        raise HarnessError(f"{directory} is kept, something is mounted there: {listed}", hint="kubeception gc")
    shutil.rmtree(directory)


@contextmanager
def _announced(lab_id: str) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as witness:
        witness.bind(f"\0kubeception/{lab_id}")
        yield


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} is not a name: 1 to 32 lower-case letters, digits and inner dashes")
    return name


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _unescape(path: str) -> Path:
    """Mount points are written with blanks, tabs, newlines and backslashes as octal (proc(5))."""
    return Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path))
