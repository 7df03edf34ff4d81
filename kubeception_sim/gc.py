"""What dead labs left on the host: find it, remove it.

`find` only looks; `collect` removes what it is given, in the order cgroups, containers, processes, mounts, namespaces, links,
directories, records: what is frozen cannot be killed before its cgroup is thawed, a namespace lives on while a process is
inside, and a directory cannot go while something is mounted in it. A machine's own mounts and loop devices end with its last
process. A lab whose owner lives is never touched, nor is anything that does not carry a lab's id. Both may run at any time and
any number of times, also beside running labs.
"""

import json
import os
import re
import select
import shutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kubeception_sim import cgroups, claims
from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.lab import (
    ENV_LAB,
    ID,
    RECORD_DRAFT,
    Record,
    announced,
    default_root,
    mounts_below,
    process_start,
    remove_tree,
)
from kubeception_sim.run import Completed, run

NETNS_DIRECTORY = Path("/run/netns")
KILL_SECONDS = 10.0
COMMAND_SECONDS = 10.0
_NAMESPACE = re.compile(rf"kc-({ID.pattern})-.+")
_LABEL = "kubeception.lab"  # of containers
_LINK = re.compile(rf"kc({ID.pattern}).+")


class Kind(StrEnum):
    """What a leftover is, in the order of removal."""

    CGROUP = "cgroup"
    CONTAINER = "container"
    PROCESS = "process"
    MOUNT = "mount"
    NAMESPACE = "namespace"
    LINK = "link"
    DIRECTORY = "directory"
    RECORD = "record"  # of a lab that was to stay; `lab` is its name


@dataclass(frozen=True)
class Leftover:
    """One thing a dead lab left. `name` is a pid, a path or a name; `start` tells apart two users of a pid."""

    kind: Kind
    name: str
    lab: str
    detail: str = ""
    start: int = 0

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.kind} {self.name}{detail} of lab {self.lab}"


@dataclass(frozen=True)
class Removal:
    """What came of one leftover. `problem` is empty when it is gone, whoever removed it."""

    leftover: Leftover
    problem: str = ""


def find(root: Path | None = None) -> list[Leftover]:
    """Everything on this host that carries the id of a lab without a living owner, in the order of removal."""
    base = root or default_root()
    # The things first, the owners last: what was created in between then belongs to a lab that is seen to live.
    things = [*_cgroups(), *_containers(), *_processes(), *_mounts(base), *_namespaces(), *_links(), *_directories(base)]
    things += _records(base)
    living = _living(base)
    return [thing for thing in things if thing.lab not in living]


def collect(leftovers: Iterable[Leftover]) -> Iterator[Removal]:
    """Remove leftovers one by one and say what came of each. A failure does not stop the rest."""
    for leftover in sorted(leftovers, key=lambda thing: list(Kind).index(thing.kind)):
        try:
            _remove(leftover)
        except HarnessError as error:
            yield Removal(leftover, error.message)
        except OSError as error:
            yield Removal(leftover, error.strerror or str(error))
        else:
            yield Removal(leftover)


def _living(base: Path) -> frozenset[str]:
    return announced() | {path.name for path in _lab_directories(base) if _owner_lives(path)}


def _owner_lives(directory: Path) -> bool:
    """An unreadable record counts as living: what cannot be judged is left alone."""
    try:
        return Record.read(directory).owner.alive()
    except FileNotFoundError:
        return False
    except HarnessError:
        return True


def _lab_directories(base: Path) -> Iterator[Path]:
    if base.is_dir():
        yield from (path for path in sorted(base.iterdir()) if ID.fullmatch(path.name) and _is_lab(path))


def _is_lab(path: Path) -> bool:
    """A lab's directory holds its record; one whose owner died before writing it holds at most the draft."""
    if path.is_symlink() or not path.is_dir():
        return False
    inside = {entry.name for entry in path.iterdir()}
    return "lab.json" in inside or inside <= {RECORD_DRAFT}


def _cgroups() -> Iterator[Leftover]:
    for path, match in cgroups.find(_NAMESPACE):
        yield Leftover(Kind.CGROUP, str(path), match[1])


def _containers() -> Iterator[Leftover]:
    """Of the engine that DOCKER_HOST names, or else the one at its usual place, if there is one."""
    if shutil.which("docker") is None:
        return
    words = ("ps", "--all", "--filter", f"label={_LABEL}", "--format", f'{{{{.Names}}}} {{{{.Label "{_LABEL}"}}}}')
    asked = _docker(*words, check=False)
    for name, lab in (line.split() for line in asked.stdout.splitlines()):
        if ID.fullmatch(lab):
            yield Leftover(Kind.CONTAINER, name, lab)


def _docker(*words: str, check: bool = True) -> Completed:
    engine = {"DOCKER_HOST": host} if (host := os.environ.get("DOCKER_HOST")) else {}
    return run(["docker", *words], timeout=KILL_SECONDS, check=check, env=engine)


def _processes() -> Iterator[Leftover]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            lab, start = _lab_of(int(entry.name)), process_start(int(entry.name))
            if lab and start is not None:
                yield Leftover(Kind.PROCESS, entry.name, lab, _command(entry), start)


def _lab_of(pid: int) -> str:
    """The lab in a process's environment, empty if none."""
    prefix = f"{ENV_LAB}=".encode()
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, a kernel thread, or somebody else's
        return ""
    found = next((entry[len(prefix) :].decode(errors="replace") for entry in environment if entry.startswith(prefix)), "")
    return found if ID.fullmatch(found) else ""


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:80]
    except OSError:
        return ""


def _mounts(base: Path) -> Iterator[Leftover]:
    for directory in _lab_directories(base):
        yield from (Leftover(Kind.MOUNT, str(point), directory.name) for point in mounts_below(directory))


def _namespaces() -> Iterator[Leftover]:
    if NETNS_DIRECTORY.is_dir():
        for entry in sorted(NETNS_DIRECTORY.iterdir()):
            if match := _NAMESPACE.fullmatch(entry.name):
                yield Leftover(Kind.NAMESPACE, entry.name, match[1])


def _links() -> Iterator[Leftover]:
    for link in json.loads(run(["ip", "-json", "link", "show"], timeout=COMMAND_SECONDS).stdout):
        if match := _LINK.fullmatch(link["ifname"]):
            yield Leftover(Kind.LINK, link["ifname"], match[1])


def _directories(base: Path) -> Iterator[Leftover]:
    yield from (Leftover(Kind.DIRECTORY, str(path), path.name) for path in _lab_directories(base))


def _records(base: Path) -> Iterator[Leftover]:
    for name in claims.names(base):
        if not claims.held(name, base):
            yield Leftover(Kind.RECORD, str(claims.file(name, "json", base)), name)


def _remove(leftover: Leftover) -> None:
    match leftover.kind:
        case Kind.CGROUP:
            if Path(leftover.name).exists():
                cgroups.Group(Path(leftover.name).name).remove()
        case Kind.CONTAINER:
            _docker("rm", "--force", "--volumes", leftover.name)
        case Kind.PROCESS:
            _kill(leftover)
        case Kind.MOUNT:
            if Path(leftover.name) in mounts_below(Path(leftover.name)):
                run(["umount", leftover.name], timeout=COMMAND_SECONDS)
        case Kind.NAMESPACE:
            if (NETNS_DIRECTORY / leftover.name).exists():
                run(["ip", "netns", "delete", leftover.name], timeout=COMMAND_SECONDS)
        case Kind.LINK:
            if (Path("/sys/class/net") / leftover.name).exists():
                run(["ip", "link", "delete", leftover.name], timeout=COMMAND_SECONDS)
        case Kind.DIRECTORY:
            with suppress(FileNotFoundError):
                remove_tree(Path(leftover.name))
        case Kind.RECORD:
            base = Path(leftover.name).parents[1]
            with suppress(BadInput):  # somebody has just brought up a lab of this name
                claims.forget(leftover.lab, claims.take(leftover.lab, base), base)


def _kill(leftover: Leftover) -> None:
    """SIGKILL at once: nobody is left who would read what a process says on its way out."""
    pid = int(leftover.name)
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The handle pins the process, so what is checked now is what will be killed.
        if _lab_of(pid) != leftover.lab or process_start(pid) != leftover.start:
            return
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        if not poller.poll(KILL_SECONDS * 1000):
            raise HarnessError(f"still there {KILL_SECONDS:g} s after SIGKILL")
    finally:
        os.close(handle)
