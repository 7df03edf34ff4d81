"""A lab that outlives the command that brought it up.

`kubeception up` starts a keeper: this program again, detached from the terminal, which runs the scenario's steps and then waits.
The keeper owns the lab as every run does; `kubeception down` ends it with SIGTERM, and it takes everything down. Whoever kills it
with -9 leaves what `kubeception gc` finds.

    ROOT/up/NAME.lock   held (flock) by the keeper for as long as it lives: one lab of a name at a time, and no stale claims
    ROOT/up/NAME.json   what the lab is and how far it has come
    ROOT/up/NAME.log    what the keeper would have shown on a terminal
"""

import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import FrameType

from kubeception_sim.errors import BadInput, DeadlineExceeded, HarnessError
from kubeception_sim.lab import Owner, default_root

_POLL_SECONDS = 0.1


class Phase(StrEnum):
    """How far a lab has come."""

    COMING_UP = "coming up"
    UP = "up"
    FAILED = "failed"  # and kept, for a person to look at
    GOING_DOWN = "going down"
    DEAD = "dead"  # its keeper is gone and has not said goodbye


@dataclass(frozen=True)
class MachineView:
    """One machine of a lab: where it is, and the command that opens a shell in it."""

    name: str
    role: str
    rack: str
    address: str
    shell: tuple[str, ...] = ()
    console: str = ""


@dataclass(frozen=True)
class Kept:
    """What is known of a lab from outside. Paths are absolute; `lab` is empty until there is one."""

    name: str
    file: str
    owner: Owner
    phase: Phase
    driver: str
    lab: str = ""
    directory: str = ""
    namespace: str = ""
    server: str = ""
    kubectl: str = ""
    kubeconfig: str = ""
    problem: str = ""
    machines: tuple[MachineView, ...] = field(default=())

    @classmethod
    def read(cls, path: Path) -> "Kept":
        """Raises FileNotFoundError, or HarnessError for nonsense."""
        text = path.read_text()
        try:
            fields = json.loads(text)
            views = tuple(MachineView(**{**view, "shell": tuple(view["shell"])}) for view in fields.pop("machines"))
            owner, phase = Owner(**fields.pop("owner")), Phase(fields.pop("phase"))
            found = cls(**fields, owner=owner, phase=phase, machines=views)
        except (ValueError, KeyError, TypeError) as error:
            raise HarnessError(f"{path}: not the record of a lab: {error}", hint=f"rm {path}") from error
        return found if found.owner.alive() else replace(found, phase=Phase.DEAD)

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        draft.rename(path)


def folder() -> Path:
    """Where the records of labs are."""
    return default_root() / "up"


def record(name: str) -> Path:
    """The record of the lab `name`."""
    return folder() / f"{name}.json"


def log(name: str) -> Path:
    """What the keeper of the lab `name` has to say."""
    return folder() / f"{name}.log"


def labs() -> list[Kept]:
    """All labs that were brought up and not taken down, by name."""
    return [Kept.read(path) for path in sorted(folder().glob("*.json"))] if folder().is_dir() else []


def find(name: str | None) -> Kept:
    """The lab `name`; without a name the only one there is. Raises BadInput."""
    known = labs()
    names = ", ".join(kept.name for kept in known) or "none"
    if name is None and len(known) == 1:
        return known[0]
    if name is None:
        why = "there are several labs" if known else "no lab is up"
        raise BadInput(f"{why}: {names}" if known else why, hint="name one" if known else "kubeception up FILE")
    for kept in known:
        if kept.name == name:
            return kept
    raise BadInput(f"no lab {name!r} is up", hint=f"labs: {names}")


@contextmanager
def claim(name: str) -> Iterator[None]:
    """Be the keeper of `name` for the length of the block. Raises BadInput when there is one."""
    folder().mkdir(parents=True, exist_ok=True)
    path = folder() / f"{name}.lock"
    with path.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{name} is up already", hint=f"kubeception status {name}, or kubeception down {name}") from None
        try:
            yield
        finally:
            record(name).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def wait_for(name: str, phases: Sequence[Phase], within: float) -> Kept | None:
    """The lab's record once it is in one of `phases`; None once it has none any more. Raises DeadlineExceeded."""
    deadline = time.monotonic() + within
    while True:
        try:
            kept = Kept.read(record(name))
        except FileNotFoundError:
            return None
        if kept.phase in phases:
            return kept
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{name} is still {kept.phase} after {within:g} s", hint=f"see {log(name)}")
        time.sleep(_POLL_SECONDS)


class Door:
    """What others ask of a keeper, by signals: SIGTERM to take the lab down, SIGUSR1 to mend it."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._mend = False

    def listen(self) -> None:
        """From now on SIGUSR1 means to mend. SIGTERM raises KeyboardInterrupt as in every run."""
        signal.signal(signal.SIGUSR1, self._on_mend)

    def _on_mend(self, signum: int, frame: FrameType | None) -> None:
        self._mend = True
        self._asked.set()

    def wait(self) -> None:
        """Until somebody asks for mending."""
        while not self._asked.wait(1.0):
            continue  # a signal is handled between two waits
        self._asked.clear()
        self._mend = False
