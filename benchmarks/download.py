"""Images against nginx, with wrk: 16 clients that fetch, beside 40 that have asked and never read."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import lab
from benchmarks.results import US, Row, publish

ROUNDS = 5
SECONDS = 2
SIZE = 40_000_000
CLIENTS = 16
STALLED = 40
_UNITS = {"KB": 1e-3 * 1.024, "MB": 1.024**2, "GB": 1e3 * 1.024**3}


@dataclass(frozen=True)
class Contender:
    """A running server."""

    ends: lab.Cable
    pid: int
    port: int
    path: str

    def measure(self) -> tuple[float, float]:
        """MB/s over all clients, and microseconds of the server's CPU per MB, over one round."""
        argv = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", "--timeout", "30s"]
        before = lab.cpu_seconds(self.pid)
        ran = lab.load(self.ends, [*argv, f"http://{lab.SERVER}:{self.port}{self.path}"], timeout=60)
        spent = lab.cpu_seconds(self.pid) - before
        rate = re.search(r"Transfer/sec: +([\d.]+)(KB|MB|GB)", ran.stdout)
        took = re.search(r"requests in ([\d.]+)s", ran.stdout)
        if not rate or not took or "Non-2xx" in ran.stdout or "Socket errors" in ran.stdout:
            raise RuntimeError(f"{ran.args}\n{ran.stdout}{ran.stderr}")
        speed = float(rate[1]) * _UNITS[rate[2]]
        return speed, spent * 1e6 / (speed * float(took[1]))


@contextlib.contextmanager
def stalled(one: Contender) -> Iterator[None]:
    """STALLED clients that have begun a download and do not go on."""
    argv = [sys.executable, "-m", "benchmarks.stalled", lab.SERVER, str(one.port), one.path, str(STALLED)]
    command = lab.pinned(one.ends.client, lab.LOAD_CPU, argv)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=lab.ROOT) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        if process.stdout.readline() != b"stalled\n":
            raise RuntimeError(f"{command} has not stalled")
        yield
        process.stdin.close()


@contextlib.contextmanager
def contenders(folder: Path) -> Iterator[dict[str, Contender]]:
    """mayu and nginx with the same image, each with stalled clients of its own."""
    image = folder / "file"
    image.write_bytes(os.urandom(SIZE))
    starts = {
        US: (lab.mayu(folder), 4081, "/images/node/kernel"),
        "nginx": (lab.nginx(folder, folder), 80, "/file"),
    }
    with contextlib.ExitStack() as stack:
        running = {}
        for name, (argv, port, path) in starts.items():
            ends = stack.enter_context(lab.cable())
            pid = stack.enter_context(lab.server(ends, argv, port, folder / f"{name}.log", "tcp"))
            running[name] = Contender(ends, pid, port, path)
            stack.enter_context(stalled(running[name]))
        yield running


def run() -> list[Row]:
    """The servers' rounds interleaved, after one that is not counted."""
    with tempfile.TemporaryDirectory(prefix="bench-download-") as name, contenders(Path(name)) as servers:
        turns = [{who: one.measure() for who, one in servers.items()} for _ in range(ROUNDS + 1)]
    workload = f"{SIZE / 1e6:,.0f} MB, {CLIENTS} clients, {STALLED} stalled ones beside"
    rates = [{who: rate for who, (rate, _) in each.items()} for each in turns[1:]]
    costs = [{who: cost for who, (_, cost) in each.items()} for each in turns[1:]]
    return [
        Row(workload, "MB/s", rates, goals={"nginx": 0.9}),
        Row(f"{workload}: server CPU", "us/MB", costs, False),
    ]


def main() -> None:
    """Runs, prints the table, and updates results.json and README.md."""
    click.echo(publish("download", run()))


if __name__ == "__main__":
    main()
