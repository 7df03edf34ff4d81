"""TFTP against dnsmasq, tftpd-hpa and atftpd: the same file, the same clients, the servers' rounds interleaved."""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from benchmarks import lab, unpacked
from benchmarks.results import BEST, Row, publish

FILE_SIZE = 1_000_000
ROUNDS = 5
SECONDS = 0.7
WARM_UP = 0.2


@dataclass(frozen=True)
class Workload:
    """So many clients, each asking for this block and window size."""

    name: str
    clients: int
    block_size: int
    window: int
    goals: Mapping[str, float] = field(default_factory=dict)


LOCKSTEP = {"dnsmasq": 0.5, "tftpd-hpa": 1.5}
WORKLOADS = (
    Workload("64 clients, 1468, lockstep", 64, 1468, 1, LOCKSTEP),
    Workload("64 clients, 1468, window 4", 64, 1468, 4),
    Workload("64 clients, 1468, window 16", 64, 1468, 16, {BEST: 3.0}),
    Workload("1 client, 1468, lockstep", 1, 1468, 1),
)


def dnsmasq(root: Path) -> list[str]:
    """dnsmasq as a TFTP server only."""
    return [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--enable-tftp", f"--tftp-root={root}",
        "--tftp-max=1000", f"--listen-address={lab.SERVER}", "--bind-interfaces", "--user=root", "--pid-file=",
        "--quiet-tftp", "--log-facility=/dev/null",
    ]  # fmt: skip


def tftpd_hpa(root: Path) -> list[str]:
    """tftpd-hpa, standalone."""
    return ["in.tftpd", "--foreground", "--address", f"{lab.SERVER}:69", "--secure", "--user", "root", str(root)]


def atftpd(root: Path) -> list[str]:
    """atftpd, standalone, with a thread for each transfer; the one of them that knows windows."""
    return [
        str(unpacked.atftpd()), "--daemon", "--no-fork", "--user", "root.root", "--bind-address", lab.SERVER, "--no-multicast",
        "--maxthread", "1000", "--logfile", "/dev/null", str(root),
    ]  # fmt: skip


SERVERS: dict[str, Callable[[Path], list[str]]] = {
    "mayu": lab.mayu,
    "dnsmasq": dnsmasq,
    "tftpd-hpa": tftpd_hpa,
    "atftpd": atftpd,
}

UNACCOUNTED = {"tftpd-hpa"}
"""Forks a child for each transfer and lets the kernel reap it, so that its CPU time is lost."""


@dataclass(frozen=True)
class Contender:
    """A running server."""

    ends: lab.Cable
    pid: int

    def measure(self, workload: Workload) -> tuple[float, float]:
        """MB/s over all clients, and microseconds of the server's CPU per MB, over one round."""
        argv = [
            sys.executable, "-m", "benchmarks.tftp_load", "--server", lab.SERVER, "--file", "file", "--size", str(FILE_SIZE),
            "--clients", str(workload.clients), "--block-size", str(workload.block_size), "--window", str(workload.window),
            "--seconds", str(SECONDS), "--warm-up", str(WARM_UP),
        ]  # fmt: skip
        before = lab.cpu_seconds(self.pid)
        ran = lab.load(self.ends, argv, timeout=30)
        cpu = lab.cpu_seconds(self.pid) - before
        if ran.returncode != 0:
            raise RuntimeError(ran.stderr)
        totals = json.loads(ran.stdout)
        if totals["errors"]:
            raise RuntimeError(f"{workload.name}: {totals['errors'][:3]}")
        return totals["received"] / totals["seconds"] / 1e6, cpu * 1e6 / (totals["served"] / 1e6)


@contextlib.contextmanager
def contenders(folder: Path) -> Iterator[dict[str, Contender]]:
    """All servers, each on a cable of its own, serving the same file."""
    with contextlib.ExitStack() as stack:
        running = {}
        for name, argv in SERVERS.items():
            root = folder / name
            root.mkdir()
            (root / "file").write_bytes(os.urandom(FILE_SIZE))
            ends = stack.enter_context(lab.cable())
            running[name] = Contender(ends, stack.enter_context(lab.server(ends, argv(root), 69, folder / f"{name}.log")))
        yield running


def run() -> list[Row]:
    """All workloads, all rounds: per workload one row of rates and one of the server's CPU time."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-tftp-") as folder, contenders(Path(folder)) as servers:
        for workload in WORKLOADS:
            rates, costs = [], []
            for _ in range(ROUNDS):
                measured = {name: contender.measure(workload) for name, contender in servers.items()}
                rates.append({name: rate for name, (rate, _) in measured.items()})
                costs.append({name: cost for name, (_, cost) in measured.items() if name not in UNACCOUNTED})
            rows.append(Row(workload.name, "MB/s", rates, goals=workload.goals))
            rows.append(Row(f"{workload.name}: server CPU", "us/MB", costs, more_is_better=False))
    return rows


def main() -> None:
    """Runs, prints the table, and updates results.json and README.md."""
    click.echo(publish("tftp", run()))


if __name__ == "__main__":
    main()
