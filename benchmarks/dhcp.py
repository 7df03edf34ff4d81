"""DHCP against dnsmasq and Kea, with perfdhcp: the highest rate of complete DORA exchanges of which at most 2.5 % are lost."""

import contextlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import lab
from benchmarks.results import Row, publish

ROUNDS = 3
SECONDS = 1
KNOWN, MANY = 500, 10_000
NEW = 60_000
MOST_LOST = 0.025
FIRST_RATE = 400.0
LOWEST_RATE = 10.0
HIGHEST_RATE = 40_000.0
PXE_CLIENT = b"PXEClient:Arch:00007:UNDI:003000".hex()


@dataclass(frozen=True)
class Scenario:
    """`known` hosts are in the servers' configs; if it is 0, each client has never been seen before."""

    name: str
    known: int
    servers: Mapping[str, "Start"]
    goals: Mapping[str, float]

    @property
    def macs(self) -> list[str]:
        """perfdhcp counts its MACs up from this one."""
        return [lab.mac(number) for number in range(self.known)]


def mayu(folder: Path, macs: Sequence[str]) -> list[str]:
    """The whole server."""
    (folder / "file").write_bytes(b"x")
    return lab.mayu(folder, macs)


def dnsmasq(folder: Path, macs: Sequence[str]) -> list[str]:
    """dnsmasq as a DHCP server only, with its lease file; it does not ping addresses before it gives them out."""
    hosts = [f"--dhcp-host={mac},{lab.address(i)}" for i, mac in enumerate(macs)]
    return [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces",
        "--user=root", "--pid-file=", "--log-facility=/dev/null", "--quiet-dhcp", "--no-ping", "--dhcp-authoritative",
        f"--dhcp-leasefile={folder / 'leases'}", "--dhcp-lease-max=1000000",
        f"--dhcp-range={lab.POOL[0]},{lab.POOL[1]},255.0.0.0,1h", *hosts,
    ]  # fmt: skip


def dnsmasq_forgetful(folder: Path, macs: Sequence[str]) -> list[str]:
    """dnsmasq that writes nothing: the fair peer where we have nothing to write, but it forgets when it is restarted."""
    return [*dnsmasq(folder, macs), "--leasefile-ro"]


def kea(folder: Path, macs: Sequence[str]) -> list[str]:
    """Kea with its leases in a file, and its raw sockets: on UDP ones it hears no broadcasts, which perfdhcp sends."""
    reservations = [{"hw-address": mac, "ip-address": lab.address(i)} for i, mac in enumerate(macs)]
    pools = [{"pool": " - ".join(lab.POOL)}]
    subnet = {"subnet": lab.SUBNET, "pools": pools, "reservations": reservations}
    config = {
        "interfaces-config": {"interfaces": ["eth0"]},
        "lease-database": {"type": "memfile", "persist": True, "name": str(folder / "leases.csv")},
        "valid-lifetime": 3600,
        "host-reservation-identifiers": ["hw-address"],
        "subnet4": [subnet],
        "loggers": [{"name": "kea-dhcp4", "severity": "ERROR", "output_options": [{"output": "stderr"}]}],
    }
    (folder / "kea.json").write_text(json.dumps({"Dhcp4": config}))
    where = [f"KEA_PIDFILE_DIR={folder}", f"KEA_LOCKFILE_DIR={folder}"]
    return ["env", *where, "kea-dhcp4", "-c", str(folder / "kea.json")]


Start = Callable[[Path, Sequence[str]], list[str]]
SCENARIOS = (
    Scenario(
        f"{KNOWN} known hosts",
        KNOWN,
        {"mayu": mayu, "Kea": kea, "dnsmasq": dnsmasq, "dnsmasq, read-only": dnsmasq_forgetful},
        {"Kea": 1.5},
    ),
    # More questions than mayu remembers, so it decides about each of them anew.
    Scenario(f"{MANY:,} known hosts", MANY, {"mayu": mayu, "Kea": kea}, {}),
    Scenario("new hosts, kept on disk", 0, {"mayu": mayu, "Kea": kea, "dnsmasq": dnsmasq}, {"Kea": 1.0}),
)


@dataclass(frozen=True)
class Attempt:
    """One second at one rate. `done` is complete exchanges per second, `cost` the server's CPU time in us for each."""

    done: float
    lost: float
    cost: float


class Contender:
    """A running server, and what is known of how fast it is."""

    def __init__(self, name: str, ends: lab.Cable, pid: int, scenario: Scenario) -> None:
        self._name = name
        self._ends = ends
        self._pid = pid
        self._scenario = scenario
        self._next_mac = 0x000C02000000
        self._rate = FIRST_RATE

    def measure(self, step: float, seconds: float) -> Attempt:
        """The highest rate that is served, found from the last one in factors of `step`.

        After `seconds` it is content with what it has found. Raises RuntimeError for a server that serves no rate at all: what
        is wrong then is no matter of speed.
        """
        deadline = time.monotonic() + seconds
        attempt = self._try(self._rate)
        while attempt.lost > MOST_LOST and self._rate > LOWEST_RATE:
            self._rate /= step**2
            attempt = self._try(self._rate)
        if attempt.lost > MOST_LOST:
            raise RuntimeError(f"{self._name} does not serve {self._scenario.name}: {attempt} at {self._rate:.0f} exchanges/s")
        best = attempt
        while self._rate * step < HIGHEST_RATE and time.monotonic() < deadline:
            attempt = self._try(self._rate * step)
            if attempt.lost > MOST_LOST:
                break
            best = attempt
            self._rate *= step
        return best

    def _try(self, rate: float) -> Attempt:
        clients = self._scenario.known or NEW
        argv = ["perfdhcp", "-4", "-l", "eth0", "-r", str(round(rate)), "-R", str(clients), "-p", str(SECONDS), "-W", "200000"]
        argv += ["-o", f"60,{PXE_CLIENT}", "-b", f"mac={self._mac(rate)}"]
        before = lab.cpu_seconds(self._pid)
        ran = lab.load(self._ends, [*argv, "-g", "single"], timeout=30)
        sent = re.findall(r"^sent packets: (\d+)$", ran.stdout, re.MULTILINE)
        received = re.findall(r"^received packets: (\d+)$", ran.stdout, re.MULTILINE)
        if len(sent) != 2:
            raise RuntimeError(f"{ran.args}\n{ran.stdout}{ran.stderr}")
        lab.await_idle(self._pid)
        discovers, acks = int(sent[0]), int(received[1])
        spent = max(lab.cpu_seconds(self._pid) - before, lab.LEAST_CPU_SECONDS)
        return Attempt(acks / SECONDS, 1 - acks / max(discovers, 1), spent * 1e6 / max(acks, 1))

    def _mac(self, rate: float) -> str:
        """Known hosts always have the same MACs; new ones must not have been seen by an earlier attempt."""
        if self._scenario.known:
            return "00:0c:01:02:03:04"
        mac = f"{self._next_mac:012x}"
        self._next_mac += round(rate * SECONDS * 2)
        return ":".join(mac[at : at + 2] for at in range(0, 12, 2))


@contextlib.contextmanager
def contenders(folder: Path, scenario: Scenario) -> Iterator[dict[str, Contender]]:
    """All servers, each on a cable of its own."""
    with contextlib.ExitStack() as stack:
        running = {}
        for name, argv in scenario.servers.items():
            own = folder / name
            own.mkdir()
            ends = stack.enter_context(lab.cable())
            pid = stack.enter_context(lab.server(ends, argv(own, scenario.macs), 67, folder / f"{name}.log"))
            running[name] = Contender(name, ends, pid, scenario)
        yield running


def run() -> list[Row]:
    """All scenarios, with the servers' rounds interleaved. A first, coarse search is not counted."""
    rows = []
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="bench-dhcp-") as folder, contenders(Path(folder), scenario) as servers:
            for contender in servers.values():
                contender.measure(step=2.0, seconds=7.0)
            rounds = [{name: one.measure(step=1.25, seconds=3.5) for name, one in servers.items()} for _ in range(ROUNDS)]
        rates = [{name: one.done for name, one in each.items()} for each in rounds]
        costs = [{name: one.cost for name, one in each.items()} for each in rounds]
        rows.append(Row(scenario.name, "exchanges/s", rates, goals=scenario.goals))
        rows.append(Row(f"{scenario.name}: server CPU", "us/exchange", costs, False))
    return rows


def main() -> None:
    """Runs, prints the table, and updates results.json and README.md."""
    click.echo(publish("dhcp", run()))


if __name__ == "__main__":
    main()
