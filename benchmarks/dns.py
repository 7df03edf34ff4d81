"""DNS against dnsmasq and NSD, with dnsperf: the queries answered per second, and the server's CPU time for each."""

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import lab
from benchmarks.results import Row, publish

ROUNDS = 3
SECONDS = 2
HOSTS = 1000
MISSING = 400_000
ZONE = "rack.example"
CONNECTIONS = 8
OUTSTANDING = 100
# A full queue loses datagrams anywhere between the two; dnsperf counts them and waits, which costs the server its rate.
MOST_LOST = 0.01


@dataclass(frozen=True)
class Workload:
    """What is asked, how, and of whom. Every one of `questions` is asked once before the first is asked again."""

    name: str
    mode: str
    questions: tuple[str, ...]
    servers: tuple[str, ...] = ("mayu", "dnsmasq", "nsd")


KNOWN = tuple(f"n{number}.{ZONE} A" for number in range(HOSTS))
WORKLOADS = (
    Workload("names of 1000 hosts, UDP", "udp", KNOWN),
    Workload("names of 1000 hosts, TCP", "tcp", KNOWN, ("mayu", "nsd")),
    Workload("names that do not exist, never the same, UDP", "udp", tuple(f"x{n:07d}.{ZONE} A" for n in range(MISSING))),
)


def _address(number: int) -> str:
    return f"10.99.{number // 250 + 1}.{number % 250 + 1}"


def mayu(folder: Path) -> list[str]:
    """The whole server."""
    (folder / "file").write_bytes(b"x")
    argv = lab.mayu(folder, [f"52:54:00:00:{number // 256:02x}:{number % 256:02x}" for number in range(HOSTS)])
    config = folder / "mayu.yaml"
    config.write_text(f"{config.read_text()}\ndns: {{zone: {ZONE}}}\n")
    return argv


def dnsmasq(folder: Path) -> list[str]:
    """dnsmasq with the hosts in a file, and nobody to forward to."""
    hosts = folder / "hosts"
    hosts.write_text("".join(f"{_address(number)} n{number}.{ZONE}\n" for number in range(HOSTS)))
    return [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=53", "--interface=eth0", "--bind-interfaces",
        "--user=root", "--pid-file=", "--log-facility=/dev/null", "--no-resolv", "--no-hosts", f"--addn-hosts={hosts}",
        f"--local=/{ZONE}/", "--local-ttl=60",
    ]  # fmt: skip


def nsd(folder: Path) -> list[str]:
    """NSD with a zone file and one serving process, for each server has one CPU."""
    zone = folder / "zone"
    head = f"$ORIGIN {ZONE}.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 604800 5\n@ NS ns\nns A {lab.SERVER}\n"
    zone.write_text(head + "".join(f"n{number} A {_address(number)}\n" for number in range(HOSTS)))
    config = folder / "nsd.conf"
    server = {
        "ip-address": lab.SERVER,
        "server-count": 1,
        "username": '""',
        "database": '""',
        "rrl-ratelimit": 0,
        "zonesdir": f'"{folder}"',
    }
    server |= {key: f'"{folder}/{key}"' for key in ("pidfile", "xfrdfile", "zonelistfile", "xfrdir")}
    (folder / "xfrdir").mkdir()
    lines = "".join(f"  {key}: {value}\n" for key, value in server.items())
    config.write_text(f"server:\n{lines}remote-control:\n  control-enable: no\nzone:\n  name: {ZONE}\n  zonefile: {zone}\n")
    return ["nsd", "-d", "-c", str(config)]


SERVERS: Mapping[str, Callable[[Path], list[str]]] = {"mayu": mayu, "dnsmasq": dnsmasq, "nsd": nsd}


@dataclass(frozen=True)
class Contender:
    """A running server."""

    ends: lab.Cable
    pid: int
    folder: Path

    def measure(self, workload: Workload, turn: int) -> tuple[float, float]:
        """Queries per second, and microseconds of the server's CPU for each. Raises RuntimeError for wrong or few answers."""
        questions = self.folder / "questions"
        # A turn begins where no other has been, for what was answered before may be remembered.
        at = turn * len(workload.questions) // (ROUNDS + 1)
        questions.write_text("\n".join((*workload.questions[at:], *workload.questions[:at])) + "\n")
        argv = ["dnsperf", "-s", lab.SERVER, "-m", workload.mode, "-d", str(questions), "-l", str(SECONDS)]
        before = lab.cpu_seconds(self.pid)
        ran = lab.load(self.ends, [*argv, "-c", str(CONNECTIONS), "-q", str(OUTSTANDING)], timeout=60)
        spent = lab.cpu_seconds(self.pid) - before
        numbers = {word: float(text) for word, text in re.findall(r"Queries (completed|lost|per second): +([\d.]+)", ran.stdout)}
        wanted = "NXDOMAIN" if workload.questions[0].startswith("x") else "NOERROR"
        is_right = re.search(rf"Response codes: +{wanted} \d+ \(100\.00%\)", ran.stdout)
        if not is_right or numbers["lost"] > MOST_LOST * numbers["completed"]:
            raise RuntimeError(f"{ran.args}\n{ran.stdout}{ran.stderr}")
        return numbers["per second"], spent * 1e6 / numbers["completed"]


@contextlib.contextmanager
def contenders(folder: Path) -> Iterator[dict[str, Contender]]:
    """All servers, each on a cable of its own."""
    with contextlib.ExitStack() as stack:
        running = {}
        for name, argv in SERVERS.items():
            own = folder / name
            own.mkdir()
            ends = stack.enter_context(lab.cable())
            pid = stack.enter_context(lab.server(ends, argv(own), 53, folder / f"{name}.log"))
            running[name] = Contender(ends, pid, own)
        yield running


def run() -> list[Row]:
    """All workloads, with the servers' rounds interleaved, after one that is not counted."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-dns-") as name, contenders(Path(name)) as servers:
        for workload in WORKLOADS:
            turns = [{who: servers[who].measure(workload, turn) for who in workload.servers} for turn in range(ROUNDS + 1)]
            rounds = turns[1:]
            rates = [{who: rate for who, (rate, _) in one.items()} for one in rounds]
            goals = {"dnsmasq": 0.5} if "dnsmasq" in workload.servers else {}
            rows.append(Row(workload.name, "queries/s", rates, goals=goals))
            costs = [{who: cost for who, (_, cost) in one.items()} for one in rounds]
            rows.append(Row(f"{workload.name}: server CPU", "us/query", costs, more_is_better=False))
    return rows


def main() -> None:
    """Runs, prints the table, and updates results.json and README.md."""
    click.echo(publish("dns", run()))


if __name__ == "__main__":
    main()
