"""Labs that stay: what is known of them from outside.

`kubeception up` starts a keeper: this program again, detached from the terminal, which runs a scenario's steps and then holds
everything until somebody wants it down. It owns the lab as every run does, and the lab's name (`claims`) for as long as it lives.
Whoever kills it with -9 leaves what `kubeception gc` finds.

    ROOT/up/NAME.json   what the lab is and how far it has come (`Kept`)
    ROOT/up/NAME.log    what the keeper has to say
    ROOT/up/NAME.sock   where it answers (wishes.py)
"""

import json
import os
import select
import signal
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from kubeception_sim import claims
from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.lab import Owner


class Phase(StrEnum):
    """How far a lab has come."""

    COMING_UP = "coming up"
    UP = "up"
    FAILED = "failed"  # and kept, for a person to look at
    GOING_DOWN = "going down"
    DEAD = "dead"  # its keeper is gone and has not said goodbye


@dataclass(frozen=True)
class MachineView:
    """One machine of a lab: where it is, the command that opens a shell in it (none in a fake), and its console's file."""

    name: str
    role: str
    rack: str
    address: str
    shell: tuple[str, ...]
    console: str


@dataclass(frozen=True)
class Kept:
    """What is known of a lab. Paths are absolute; what does not exist yet is empty. `sha256` is of the scenario's file."""

    name: str
    owner: Owner
    phase: Phase
    file: str = ""
    sha256: str = ""
    driver: str = ""
    report: str = ""
    lab: str = ""
    directory: str = ""
    namespace: str = ""
    kubectl: str = ""
    kubeconfig: str = ""
    problem: str = ""
    machines: tuple[MachineView, ...] = ()

    @classmethod
    def read(cls, name: str) -> "Kept":
        """Raises FileNotFoundError, or HarnessError for nonsense."""
        path = claims.file(name, "json")
        text = path.read_text()
        try:
            fields = json.loads(text)
            views = tuple(MachineView(**{**view, "shell": tuple(view["shell"])}) for view in fields.pop("machines"))
            owner, phase = Owner(**fields.pop("owner")), Phase(fields.pop("phase"))
            return cls(**fields, owner=owner, phase=phase, machines=views)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HarnessError(f"{path}: not the record of a lab: {error}", hint="kubeception down, then up again") from error

    def write(self) -> None:
        """Whole or not at all. Only the keeper does this. Raises HarnessError."""
        path = claims.file(self.name, "json")
        draft = path.with_suffix(f".json-{os.getpid()}")
        try:
            draft.write_text(json.dumps(self.to_data(), indent=2) + "\n")
            draft.rename(path)
        except OSError as error:
            raise HarnessError(f"cannot write {path}: {error.strerror}") from error

    def to_data(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def machine(self, name: str) -> MachineView | None:
        """The machine of that name."""
        return next((machine for machine in self.machines if machine.name == name), None)

    def advice(self) -> tuple[str, ...]:
        """How a person goes on from here: command lines."""
        lines = [f"kubeception status {self.name}"]
        if self.kubectl:
            lines.append(f"kubeception kubectl --lab {self.name} -- get nodes")
        if with_shell := [machine.name for machine in self.machines if machine.shell]:
            lines.append(f"kubeception shell --lab {self.name} {with_shell[-1]}")
        return (*lines, f"kubeception logs --lab {self.name} mayu", f"kubeception down {self.name}")

    def must_live(self) -> None:
        """Raises BadInput when nobody keeps it any more."""
        if self.phase is Phase.DEAD:
            raise BadInput(f"the keeper of {self.name} was killed", hint=f"kubeception down {self.name}, then up again")

    def kubectl_line(self, inner: str = "") -> tuple[str, ...]:
        """The beginning of a kubectl command for its cluster, or for an inner one. Raises BadInput when there is none yet."""
        self.must_live()
        if not self.kubectl:
            raise BadInput(f"{self.name} has no cluster", hint="a scenario with 'outer' has one, as soon as mayu serves")
        kubeconfig = self._inner(inner) if inner else self.kubeconfig
        return ("ip", "netns", "exec", self.namespace, self.kubectl, "--kubeconfig", kubeconfig)

    def _inner(self, name: str) -> str:
        found = {path.stem: path for path in (Path(self.kubeconfig).parent / INNER).glob("*.kubeconfig")}
        if name not in found:
            known = f"inner clusters that were Ready: {', '.join(sorted(found))}" if found else "none of it was Ready yet"
            raise BadInput(f"{self.name} has no inner cluster {name!r}", hint=known)
        return str(found[name])


INNER = "clusters"
"""In a lab's own folder: NAME.kubeconfig for each inner cluster that was Ready."""
_NOBODY = Owner(0, 0, "")


def log(name: str) -> Path:
    """What the keeper of the lab `name` has to say."""
    return claims.file(name, "log")


def look(name: str) -> Kept | None:
    """What is known of the lab `name`; None when there is none."""
    if name not in claims.names():
        return None
    try:
        kept = Kept.read(name)
    except FileNotFoundError:
        kept = Kept(name, _NOBODY, Phase.COMING_UP)
    except HarnessError as error:
        kept = Kept(name, _NOBODY, Phase.COMING_UP, problem=error.message)
    if kept.owner.alive():
        return kept
    if claims.held(name):
        return replace(kept, phase=Phase.COMING_UP)  # A keeper that has not written anything yet holds its name already.
    # One that has ended well takes its files with it, and may have done so while we looked.
    return replace(kept, phase=Phase.DEAD) if name in claims.names() else None


def labs() -> list[Kept]:
    """All labs that were brought up and not taken down, by name."""
    return [kept for name in claims.names() if (kept := look(name))]


def find(name: str | None) -> Kept:
    """The lab `name`; without a name the only one there is. Raises BadInput."""
    known = labs()
    names = ", ".join(kept.name for kept in known)
    if not known:
        raise BadInput(f"no lab {name!r} is up" if name else "no lab is up", hint="kubeception up FILE")
    if name is None and len(known) > 1:
        raise BadInput(f"several labs are up: {names}", hint="name one")
    for kept in known:
        if name in (None, kept.name):
            return kept
    raise BadInput(f"no lab {name!r} is up", hint=f"labs: {names}")


def find_machine(name: str, lab: str | None) -> tuple[Kept, MachineView]:
    """The machine `name` of a lab, or of whichever lab has one. Raises BadInput."""
    among = [find(lab)] if lab else labs()
    found = [(kept, machine) for kept in among if (machine := kept.machine(name))]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"{name} is in several labs: {', '.join(kept.name for kept, _ in found)}", hint="name one with --lab")
    known = ", ".join(machine.name for kept in among for machine in kept.machines)
    raise BadInput(f"no machine {name!r}", hint=f"machines: {known}" if known else "kubeception status")


def tell(kept: Kept, number: signal.Signals) -> None:
    """Send the keeper a signal; nothing happens when it has ended, even if another process has its pid now."""
    try:
        handle = os.pidfd_open(kept.owner.pid)
    except ProcessLookupError:
        return
    try:
        # The handle pins the process: who is alive after it was opened is who will get the signal.
        if kept.owner.alive() and not select.select([handle], [], [], 0)[0]:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
