"""A whole rack at once, against dnsmasq with nginx: the seconds until the last of 1,000 machines has its Ignition config."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import dhcp, lab, web
from benchmarks.results import US, Row, publish

ROUNDS = 3
MACHINES = 1000
FILE_SIZE = 1_000_000
SUBNETS = ("10.99.1.0/24", "10.99.2.0/23", "10.99.4.0/22")  # Of all machines: lab.address.
PEER = "dnsmasq and nginx"


@dataclass(frozen=True)
class Contender:
    """What serves the rack, and where its answers are."""

    ends: lab.Cable
    pids: tuple[int, ...]
    port: int
    script: str
    ignition: str

    def measure(self) -> tuple[float, float]:
        """Seconds until the last machine is done, and seconds of the servers' CPU."""
        argv = [sys.executable, "-m", "benchmarks.storm_load", "--machines", str(MACHINES), "--size", str(FILE_SIZE)]
        argv += ["--port", str(self.port), "--script", self.script, "--ignition", self.ignition]
        before = sum(map(lab.cpu_seconds, self.pids))
        ran = lab.load(self.ends, argv, timeout=150)
        spent = sum(map(lab.cpu_seconds, self.pids)) - before
        if ran.returncode != 0:
            raise RuntimeError(ran.stderr)
        for pid in self.pids:
            lab.await_idle(pid)
        return float(json.loads(ran.stdout)["seconds"]), spent


def dnsmasq(folder: Path) -> list[str]:
    """dnsmasq for DHCP and TFTP, as it is measured for each of them."""
    own = folder / "dnsmasq"
    own.mkdir()
    argv = dhcp.dnsmasq(own, [lab.mac(number) for number in range(MACHINES)])
    return [*argv, "--enable-tftp", f"--tftp-root={folder}", "--tftp-max=2000", "--quiet-tftp", "--dhcp-boot=file"]


@contextlib.contextmanager
def rack() -> Iterator[lab.Cable]:
    """A cable whose client end is a relay with all machines behind it."""
    with lab.cable() as ends:
        for subnet in SUBNETS:
            for words in (
                ("-n", ends.client, "route", "add", "local", subnet, "dev", "lo"),
                ("-n", ends.server, "route", "add", subnet, "via", lab.CLIENT, "dev", "eth0"),
            ):
                subprocess.run(["ip", *words], check=True, capture_output=True)
        yield ends


@contextlib.contextmanager
def contenders(folder: Path) -> Iterator[dict[str, Contender]]:
    """mayu, and dnsmasq beside nginx with a file for each of mayu's scripts and configs."""
    with contextlib.ExitStack() as stack:
        (folder / "file").write_bytes(os.urandom(FILE_SIZE))
        macs = [lab.mac(number) for number in range(MACHINES)]
        ends = stack.enter_context(rack())
        argv = lab.mayu(folder, macs, web.TEMPLATE.read_text())
        pid = stack.enter_context(lab.server(ends, argv, 4081, folder / "mayu.log", "tcp"))
        ours = Contender(ends, (pid,), 4081, "/script?serial=S{:06d}", "/ignition?serial=S{:06d}")
        web.copy_answers(web.Contender(ends, pid, 4081, folder, MACHINES), folder)
        ends = stack.enter_context(rack())
        pids = (
            stack.enter_context(lab.server(ends, dnsmasq(folder), 67, folder / "dnsmasq.log")),
            stack.enter_context(lab.server(ends, lab.nginx(folder, folder), 80, folder / "nginx.log", "tcp")),
        )
        yield {US: ours, PEER: Contender(ends, pids, 80, "/script/{:06d}", "/ignition/{:06d}")}


def run() -> list[Row]:
    """The stacks' rounds interleaved, after one that is not counted."""
    with tempfile.TemporaryDirectory(prefix="bench-storm-") as name, contenders(Path(name)) as stacks:
        turns = [{who: one.measure() for who, one in stacks.items()} for _ in range(ROUNDS + 1)]
    workload = f"{MACHINES:,} machines at once"
    times = [{who: seconds for who, (seconds, _) in each.items()} for each in turns[1:]]
    costs = [{who: cost for who, (_, cost) in each.items()} for each in turns[1:]]
    return [Row(workload, "s", times, False, goals={PEER: 3.0}), Row(f"{workload}: servers' CPU", "s", costs, False)]


def main() -> None:
    """Runs, prints the table, and updates results.json and README.md."""
    click.echo(publish("storm", run()))


if __name__ == "__main__":
    main()
