"""What the net, vm and cluster tiers share: running the real command line, and comparing the machine before and after."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

from kubeception_sim.lab import announced

ROOT = Path(__file__).parents[1]

# How things are called that belong to a lab: by its id in their name or path, or in what is written here of them.
_LAB = re.compile(r"\bkc-?([0-9a-f]{8})|(?:/|lab |^)([0-9a-f]{8})(?=[/ ]|$)|^up/([a-z0-9-]+)[.]")


@dataclass(frozen=True)
class Traces:
    """What a run could leave on this machine, and what is compared before and after it."""

    processes: frozenset[str]
    namespaces: frozenset[str]
    links: frozenset[str]
    mounts: frozenset[str]
    labs: frozenset[str]
    cgroups: frozenset[str]
    rules: frozenset[str]
    containers: frozenset[str]
    strangers: frozenset[str] = field(default=frozenset(), compare=False)  # labs that live, in other folders

    @classmethod
    def now(cls, runtime: Path) -> Self:
        """As it is. `runtime` is the folder labs are made in."""
        living = announced()  # asked before and after, or else one that begins or ends meanwhile would be missed
        return cls(
            frozenset(_labelled_processes()),
            frozenset(line.split()[0] for line in _lines("ip", "netns", "list")),
            frozenset(line.split(":")[1].strip().split("@")[0] for line in _lines("ip", "-oneline", "link")),
            frozenset(Path("/proc/self/mounts").read_text().splitlines()),
            frozenset(
                str(path.relative_to(runtime)) for path in (*runtime.glob("*"), *runtime.glob("up/*")) if path.name != "up"
            ),
            frozenset(str(path) for path in Path("/sys/fs/cgroup").glob("**/kc-*")),
            frozenset(_told("nft", "--stateless", "list", "ruleset")),
            frozenset(_told("docker", "ps", "--all", "--format", "{{.Names}}")),
            frozenset(lab for lab in living | announced() if not (runtime / lab).exists()),
        )

    def since(self, before: Self) -> list[str]:
        """What is new (`+`), and what is gone (`-`).

        Labs that were there before, and those that live in other folders, are others': what they do is no difference.
        """
        others = {lab for _, trace in before._all() if (lab := lab_of(trace))} | self.strangers
        told = [f"+ {kind}: {trace}" for kind, trace in self._all() - before._all() if lab_of(trace) not in others]
        told += [f"- {kind}: {trace}" for kind, trace in before._all() - self._all() if not lab_of(trace)]
        return sorted(told)

    def _all(self) -> frozenset[tuple[str, str]]:
        return frozenset((kind.name, trace) for kind in fields(self) if kind.compare for trace in getattr(self, kind.name))


def lab_of(trace: str) -> str:
    """The id of the lab that something belongs to, or the name of one that stays; empty when it is no lab's."""
    found = _LAB.search(trace)
    return next(filter(None, found.groups())) if found else ""


def _labelled_processes() -> Iterator[str]:
    """Every process of any lab, whoever started it."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # It ended while we looked.
        if label := re.search(rb"(?:^|\0)KUBECEPTION_LAB=([0-9a-f]{8})", environment):
            yield f"{folder.name} {command}of lab {label[1].decode()}"


def _told(*argv: str) -> list[str]:
    """What a program says that need not be there, as the engine need not run that it asks: then there is nothing of its kind."""
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout.splitlines() if shutil.which(argv[0]) else []


def _lines(*argv: str) -> list[str]:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()


def kubeception(*words: str | Path) -> list[str]:
    """The command line that runs `kubeception` from this checkout."""
    return [str(Path(sys.executable).with_name("kubeception")), *map(str, words)]
