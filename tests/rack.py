"""What the net and vm tiers share: running the real command line, and comparing the machine before and after."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Traces:
    """What a run could leave on this machine, and what is compared before and after it."""

    processes: frozenset[str]
    namespaces: frozenset[str]
    links: frozenset[str]
    mounts: frozenset[str]
    labs: frozenset[str]
    cgroups: frozenset[str]

    @classmethod
    def now(cls, runtime: Path) -> Self:
        """As it is. `runtime` is the folder labs are made in."""
        return cls(
            frozenset(_labelled_processes()),
            frozenset(line.split()[0] for line in _lines("ip", "netns", "list")),
            frozenset(line.split(":")[1].strip().split("@")[0] for line in _lines("ip", "-oneline", "link")),
            frozenset(Path("/proc/self/mounts").read_text().splitlines()),
            frozenset(path.name for path in runtime.glob("*")),
            frozenset(str(path) for path in Path("/sys/fs/cgroup").glob("**/kc-*")),
        )


def _labelled_processes() -> list[str]:
    """Every process of any lab, whoever started it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # It ended while we looked.
        if b"KUBECEPTION_LAB=" in environment:
            found.append(f"{folder.name} {command}")
    return found


def _lines(*argv: str) -> list[str]:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()


def kubeception(*words: str | Path) -> list[str]:
    """The command line that runs `kubeception` from this checkout."""
    return [str(Path(sys.executable).with_name("kubeception")), *map(str, words)]
