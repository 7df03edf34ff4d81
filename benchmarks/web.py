"""The boot path over HTTP against nginx with static files, with wrk: scripts and Ignition configs of known hosts."""

import contextlib
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from benchmarks import lab
from benchmarks.results import US, Row, publish

ROUNDS = 5
SECONDS = 1
HOSTS = 1000
FEW, MANY = 100, 10_000
FORGOTTEN = 6.0  # seconds after which mayu takes a host's request for one of another boot
CONNECTIONS = 64
TEMPLATE = lab.ROOT / "scenarios" / "performance" / "rack-node.bu"
SMALLER = "mayu, fewer hosts"

# The connections ask for one host after the other, so that nobody serves the same bytes again and again.
WRK_SCRIPT = """\
local next_host = 0
function request()
  next_host = (next_host + 7) % {hosts}
  return wrk.format("GET", string.format("{path}", next_host * {apart} + {first}))
end
"""
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Workload:
    """What is asked for; `paths` are those of mayu and of nginx, with the host's number to be filled in."""

    name: str
    paths: Mapping[str, str]
    keep_alive: bool
    goals: Mapping[str, float] = field(default_factory=dict)
    slowest: float | None = None


CONFIGS = {US: "/ignition?serial=S%06d", "nginx": "/ignition/%06d"}
SCRIPTS = {US: "/script?serial=S%06d", "nginx": "/script/%06d"}
WORKLOADS = (
    Workload("Ignition, keep-alive", CONFIGS, True, {"nginx": 0.35}, 20.0),
    Workload("Ignition, a connection each", CONFIGS, False),
    Workload("iPXE script, keep-alive", SCRIPTS, True),
    Workload("iPXE script, a connection each", SCRIPTS, False),
)


@dataclass(frozen=True)
class Served:
    """What one round of wrk saw. `slowest` is the 99th percentile in ms, `cost` the server's CPU time in us per request."""

    rate: float
    slowest: float
    cost: float


@dataclass(frozen=True)
class Asking:
    """The hosts that ask in a round: so many, so far apart in the config, from this one on."""

    hosts: int
    apart: int = 1
    first: int = 0


@dataclass(frozen=True)
class Contender:
    """A running server."""

    ends: lab.Cable
    pid: int
    port: int
    folder: Path
    hosts: int

    def measure(self, path: str, keep_alive: bool, asking: Asking | None = None) -> Served:
        """One round, in which all hosts ask unless told otherwise. Raises RuntimeError if a single request fails."""
        asking = asking or Asking(self.hosts)
        script = self.folder / "wrk.lua"
        script.write_text(WRK_SCRIPT.format(hosts=asking.hosts, apart=asking.apart, first=asking.first, path=path))
        argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", str(script)]
        argv += [] if keep_alive else ["-H", "Connection: close"]
        before = lab.cpu_seconds(self.pid)
        ran = lab.load(self.ends, [*argv, f"http://{lab.SERVER}:{self.port}/"], timeout=30)
        spent = lab.cpu_seconds(self.pid) - before
        rate = re.search(r"Requests/sec: +([\d.]+)", ran.stdout)
        slowest = re.search(r"99% +([\d.]+)(us|ms|s)", ran.stdout)
        requests = re.search(r"(\d+) requests in", ran.stdout)
        if not rate or not slowest or not requests or "Non-2xx" in ran.stdout or "Socket errors" in ran.stdout:
            raise RuntimeError(f"{ran.args}\n{ran.stdout}{ran.stderr}")
        return Served(float(rate[1]), float(slowest[1]) * _UNITS[slowest[2]], spent * 1e6 / int(requests[1]))


@contextlib.contextmanager
def mayu(folder: Path, hosts: int) -> Iterator[Contender]:
    """The whole server, with so many known hosts."""
    folder.mkdir()
    (folder / "file").write_bytes(b"x")
    argv = lab.mayu(folder, [lab.mac(number) for number in range(hosts)], TEMPLATE.read_text())
    with lab.cable() as ends, lab.server(ends, argv, 4081, folder / "log", "tcp") as pid:
        yield Contender(ends, pid, 4081, folder, hosts)


def copy_answers(source: Contender, root: Path) -> None:
    """Fetches every script and config from mayu, for another to serve the same bytes as files."""
    for kind in ("script", "ignition"):
        url = f"http://{lab.SERVER}:{source.port}/{kind}?serial=S[000000-{source.hosts - 1:06d}]"
        argv = ["curl", "-sSf", "--create-dirs", "-o", str(root / kind / "#1"), url]
        ran = lab.load(source.ends, argv, timeout=60)
        if ran.returncode != 0:
            raise RuntimeError(f"{ran.args}\n{ran.stderr}")


@contextlib.contextmanager
def contenders(folder: Path) -> Iterator[dict[str, Contender]]:
    """mayu, and nginx with a file for each of mayu's answers."""
    with mayu(folder / US, HOSTS) as ours:
        root = folder / "nginx"
        copy_answers(ours, root)
        with lab.cable() as ends, lab.server(ends, lab.nginx(folder, root), 80, folder / "nginx.log", "tcp") as pid:
            yield {US: ours, "nginx": Contender(ends, pid, 80, root, HOSTS)}


def run() -> list[Row]:
    """All workloads, with the servers' rounds interleaved after one that is not counted, and then the growth."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-web-") as name, contenders(Path(name)) as servers:
        for workload in WORKLOADS:
            turns = [
                {who: one.measure(workload.paths[who], workload.keep_alive) for who, one in servers.items()}
                for _ in range(ROUNDS + 1)
            ]
            rows += _rows(workload, turns[1:])
    return [*rows, *growth()]


def _rows(workload: Workload, rounds: list[dict[str, Served]]) -> list[Row]:
    rates = [{who: one.rate for who, one in each.items()} for each in rounds]
    slowest = [{who: one.slowest for who, one in each.items()} for each in rounds]
    costs = [{who: one.cost for who, one in each.items()} for each in rounds]
    return [
        Row(workload.name, "requests/s", rates, goals=workload.goals),
        Row(f"{workload.name}: 99 % answered within", "ms", slowest, False, limit=workload.slowest),
        Row(f"{workload.name}: server CPU", "us/request", costs, False),
    ]


def growth() -> list[Row]:
    """mayu beside itself: MANY known hosts in place of FEW, and what it is when all of the many ask for the first time.

    A host's first request is written down. So that the same number of them is in every round, FEW hosts ask in each, of the
    many others than before, and so long after the last round that none is known to have asked. All of the many have been
    served once by then: the few have, too.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-web-") as name,
        mayu(Path(name) / "many", MANY) as many,
        mayu(Path(name) / "few", FEW) as few,
    ):
        beside, first = [], []
        for _ in range(ROUNDS + 1):
            time.sleep(FORGOTTEN)
            first.append({US: many.measure(CONFIGS[US], True)})
        for number in range(ROUNDS + 1):
            time.sleep(FORGOTTEN)
            some = Asking(FEW, MANY // FEW, number)
            beside.append({US: many.measure(CONFIGS[US], True, some), SMALLER: few.measure(CONFIGS[US], True)})
    return [
        *_rows(Workload(f"Ignition, keep-alive: {MANY:,} hosts beside {FEW}", CONFIGS, True, {SMALLER: 0.9}), beside[1:]),
        *_rows(Workload(f"Ignition, keep-alive: first request of each of {MANY:,} hosts", CONFIGS, True), first[1:]),
    ]


def main() -> None:
    """Runs, prints the table, and updates results.json and README.md."""
    click.echo(publish("web", run()))


if __name__ == "__main__":
    main()
