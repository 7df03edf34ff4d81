"""Control groups: what holds a machine's processes together, limits them, freezes them.

A group has one name, and a directory of that name at the top of every hierarchy that the host has mounted: one on a
unified host (cgroup v2), one per controller on others (v1), and both kinds on hybrid ones. It is made at the top because a
v2 group that holds processes, as the harness's own does, cannot give controllers to groups below it.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.errors import DeadlineExceeded, HarnessError

CPU_PERIOD_US = 100_000
WAIT_SECONDS = 10.0
_WANTED = ("cpu", "memory", "pids")  # what a unified host must hand down
_POLL_SECONDS = 0.005
# Directories vanish while they are read: processes come and go, and so do their groups.
_GONE = (FileNotFoundError, ProcessLookupError)
_ENODEV = 19


@dataclass(frozen=True)
class Hierarchy:
    """One mounted tree. `options` are what mount(8) needs to mount it again; `controllers` is empty for v2."""

    mount: Path
    version: int
    options: str = ""
    controllers: frozenset[str] = frozenset()


def hierarchies(mountinfo: str | None = None) -> tuple[Hierarchy, ...]:
    """All trees that are mounted here, in the order of mounting; `mountinfo` is the text of proc(5)'s file of that name."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    return tuple(hierarchy for line in text.splitlines() if (hierarchy := _hierarchy(line)))


def _hierarchy(line: str) -> Hierarchy | None:
    fields, _, rest = line.partition(" - ")
    kind, _, options = rest.split(" ", 2)
    mount = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields.split()[4]))
    if kind == "cgroup2":
        return Hierarchy(mount, 2)
    if kind != "cgroup":
        return None
    words = [word for word in options.split(",") if word not in ("rw", "ro", "xattr", "clone_children")]
    named = [word for word in words if word.startswith(("name=", "release_agent="))]
    controllers = frozenset(words) - frozenset(named)
    name = [word for word in named if word.startswith("name=")]
    return Hierarchy(mount, 1, ",".join((*([] if controllers else ["none"]), *name, *sorted(controllers))), controllers)


def find(name: re.Pattern[str], trees: tuple[Hierarchy, ...] | None = None) -> Iterator[tuple[Path, re.Match[str]]]:
    """The groups at the top whose whole name matches: one for each hierarchy they are in."""
    for tree in hierarchies() if trees is None else trees:
        for entry in sorted(tree.mount.iterdir()):
            if (match := name.fullmatch(entry.name)) and entry.is_dir():
                yield entry, match


class Group:
    """The group `name` in all hierarchies, or in the given ones."""

    def __init__(self, name: str, trees: tuple[Hierarchy, ...] | None = None) -> None:
        self.name = name
        self.trees = hierarchies() if trees is None else trees

    def create(self, *, memory: int, cpus: int) -> None:
        """Make it, with at most `memory` bytes and the time of `cpus` processors. Raises HarnessError."""
        if not self.trees:
            raise HarnessError("no cgroup hierarchy is mounted here", hint="mount -t cgroup2 none /sys/fs/cgroup")
        try:
            for tree in self.trees:
                self._create_in(tree, memory, cpus)
        except OSError as error:
            raise HarnessError(f"cannot make the cgroup {error.filename}: {error.strerror}") from error

    def _create_in(self, tree: Hierarchy, memory: int, cpus: int) -> None:
        group = tree.mount / self.name
        quota = cpus * CPU_PERIOD_US
        if tree.version == 2:
            handed = _hand_down(tree.mount)
            group.mkdir(exist_ok=True)
            limits = {"memory": ("memory.max", memory), "cpu": ("cpu.max", f"{quota} {CPU_PERIOD_US}")}
            for controller in handed & limits.keys():
                file, value = limits[controller]
                (group / file).write_text(str(value))
            return
        group.mkdir(exist_ok=True)
        if "cpuset" in tree.controllers:
            # A new cpuset is empty, and nobody can enter it.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((tree.mount / file).read_text())
        if "memory" in tree.controllers:
            (group / "memory.limit_in_bytes").write_text(str(memory))
        if "cpu" in tree.controllers:
            (group / "cpu.cfs_quota_us").write_text(str(quota))

    def paths(self) -> tuple[Path, ...]:
        """Its directories, those that exist."""
        return tuple(path for tree in self.trees if (path := tree.mount / self.name).is_dir())

    def processes(self) -> frozenset[int]:
        """All processes in it and below."""
        return frozenset(pid for path in self.paths() for pid in _processes(path))

    def freeze(self) -> None:
        """Let none of its processes run. Raises DeadlineExceeded when some go on: in the kernel, waiting for a device."""
        self._set_frozen(True)

    def thaw(self) -> None:
        """Let them run again; nothing happens when it is not frozen, or not there."""
        self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> None:
        # Both kinds of freezer may be there; one is enough, and the old one stops what the new one does not see.
        with_freezer = [tree for tree in self.trees if "freezer" in tree.controllers] or [t for t in self.trees if t.version == 2]
        for tree in with_freezer:
            group = tree.mount / self.name
            if group.is_dir():
                _set_frozen(group, tree.version, frozen)

    def remove(self) -> None:
        """Kill what is in it, and remove it from all hierarchies. Raises HarnessError when something stays."""
        self.thaw()
        _until(self._killed, lambda: f"cgroup {self.name} still holds {sorted(self.processes())} after SIGKILL")
        for path in self.paths():
            _until(lambda path=path: _removed(path), lambda path=path: f"cgroup {path} is busy")  # type: ignore[misc]

    def _killed(self) -> bool:
        pids = self.processes() - {0, os.getpid()}
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids


def _hand_down(mount: Path) -> frozenset[str]:
    """Let groups below the top of a unified tree have the controllers there are; those of `_WANTED` that they now have."""
    there = frozenset((mount / "cgroup.controllers").read_text().split())
    control = mount / "cgroup.subtree_control"
    missing = there & frozenset(_WANTED) - frozenset(control.read_text().split())
    if missing:
        control.write_text(" ".join(f"+{controller}" for controller in sorted(missing)))
    return there & frozenset(_WANTED)


def _processes(group: Path) -> Iterator[int]:
    for folder, _, _ in os.walk(group):
        try:
            text = (Path(folder) / "cgroup.procs").read_text()
        except (*_GONE, OSError) as error:
            if isinstance(error, _GONE) or error.errno == _ENODEV:
                continue
            raise
        yield from map(int, text.split())


def _set_frozen(group: Path, version: int, frozen: bool) -> None:
    if version == 2:
        (group / "cgroup.freeze").write_text(str(int(frozen)))
        _until(lambda: f"frozen {int(frozen)}" in (group / "cgroup.events").read_text(), lambda: f"{group} does not freeze")
        return
    wanted, state = ("FROZEN" if frozen else "THAWED"), group / "freezer.state"
    state.write_text(wanted)
    _until(lambda: state.read_text().strip() == wanted, lambda: f"{group} is {state.read_text().strip()}, not {wanted}")


def _removed(group: Path) -> bool:
    """Remove a directory with those below it, innermost first; whether all are gone. A process may die a moment later."""
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def _until(done: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{what()} after {WAIT_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)
