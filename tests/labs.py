"""Labs that stay, as a person handles them: the command line, with labs in a folder of the test's own."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.rack import ROOT, Traces, kubeception

DEADLINE = 60.0
BUTANE = ROOT / "scenarios" / "performance" / "rack-node.bu"

SMALL = f"""\
schema: 1
name: NAME
driver: fake
profiles:
  - {{name: node, ignition: {BUTANE}, values: {{motd: hello}}}}
machines:
  - {{name: one, address: 10.77.0.11, profile: node, values: {{position: a, secret: x}}}}
  - {{name: two, address: 10.77.0.12, profile: node, values: {{position: b, secret: y}}}}
"""
# Its steps wait for what never comes.
WAITING = SMALL + "steps: [{do: power-on}, {do: await, state: failed, within: 100s}]\n"
# When it is up, a cable is out.
BROKEN = (
    SMALL
    + """\
steps:
  - {do: power-on}
  - {do: await, state: running, within: 60s}
  - {do: fault, name: torn, kind: cut, machines: [one]}
"""
)
FAILING = SMALL + "steps: [{do: power-on}, {do: await, state: running, within: 60s}, {do: await, state: failed, within: 1s}]\n"

# The smallest cluster with a worker: on one switch, and without OpenBao.
CLUSTER = """\
schema: 1
name: NAME
driver: namespace
outer: {pki: embedded}
machines:
  - {name: master-1, role: master, address: 10.77.0.11, memory: 3G, cpus: 2}
  - {name: worker-1, role: worker, address: 10.77.0.12, memory: 2G, cpus: 2}
"""


def until(condition: Callable[[], bool], what: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Wait for it; `what` tells the last state seen when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


class Labs:
    """A folder for labs, scenario files and reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "labs"
        self.root.mkdir()
        self.env = {**os.environ, "KUBECEPTION_RUN": str(self.root)}

    @contextmanager
    def leaving_nothing(self) -> Iterator[None]:
        """All that the block has brought up is gone after it, or it is cleaned away and the test has failed."""
        before = Traces.now(self.root)
        yield
        left = Traces.now(self.root).since(before)
        if left or self.files():
            self.clean()
        assert not left, "something was left behind"

    def scenario(self, name: str = "small", text: str = SMALL) -> Path:
        """A scenario's file, whose lab has that name."""
        path = self.folder / f"{name}.yaml"
        path.write_text(text.replace("NAME", name))
        return path

    def run(self, *words: str | Path, code: int | None = 0, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """A command to its end; `code` is what it must end with."""
        ran = subprocess.run(
            kubeception(*words), env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert code in (None, ran.returncode), f"{words}: {ran.returncode}\n{ran.stdout[-4000:]}\n{ran.stderr[-4000:]}"
        return ran

    def start(self, *words: str | Path) -> "subprocess.Popen[str]":
        """A command at work, with pipes."""
        return subprocess.Popen(
            kubeception(*words), env=self.env, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def status(self, *names: str, code: int | None = None) -> dict[str, Any]:
        """What `status --json` says."""
        found: dict[str, Any] = json.loads(self.run("status", *names, "--json", code=code).stdout)
        return found

    def phase(self, name: str) -> str:
        """Of the record alone; empty when there is none."""
        try:
            return str(self.record(name)["phase"])
        except FileNotFoundError:
            return ""

    def record(self, name: str) -> dict[str, Any]:
        """What the keeper has noted."""
        found: dict[str, Any] = json.loads((self.root / "up" / f"{name}.json").read_text())
        return found

    def files(self) -> list[str]:
        """All that is in the folder of labs. A lab may be on its way out meanwhile: what goes while we look is not there."""
        found = (Path(folder) / name for folder, folders, files in os.walk(self.root) for name in (*folders, *files))
        return sorted(str(path.relative_to(self.root)) for path in found)

    def kill_keeper(self, name: str) -> None:
        """With -9, and wait until it is gone."""
        pid = int(self.record(name)["owner"]["pid"])
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid), lambda: f"{pid} lives")

    def collect(self) -> str:
        """`kubeception gc`, again until nothing is found: what dies takes a moment. Returns all that it said."""
        said = ""
        deadline = time.monotonic() + DEADLINE
        while "nothing left behind" not in (now := self.run("gc", code=None).stdout):
            said += now
            assert time.monotonic() < deadline, said
        return said

    def clean(self) -> None:
        """After a test, however it went."""
        self.run("down", "--all", code=None)
        self.collect()


def alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_of(lab: str, word: str, root: Path) -> list[int]:
    """The pids of a lab's processes whose command line holds `word`."""
    traces = Traces.now(root).processes
    return [int(line.split()[0]) for line in traces if word in line and line.endswith(f"of lab {lab}")]
