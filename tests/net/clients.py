"""Real DHCP clients, each of which gets a lease, renews it and gives it back; and what mayu has counted meanwhile."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubeception_sim.errors import MissingTool
from kubeception_sim.run import require
from mayu_py.store import StoredEvent
from mayu_py.store.sqlite import SqliteStore
from tests.net.lan import Config, Lan

SECONDS = 20.0

SCRIPT = """\
#!/bin/sh
# udhcpc names the event in $1, dhclient and dhcpcd in $reason; dhcpcd sets the address itself.
event="${{reason:-$1}}"
address="${{new_ip_address:-$ip}}"
prefix="${{new_subnet_mask:-$mask}}"
router="${{new_routers:-$router}}"
case "$event" in
    BOUND|RENEW|REBIND|REBOOT|bound|renew)
        [ -n "{configures}" ] || ip address replace "$address/$prefix" dev eth0
        [ -z "$router" ] || ip route replace default via "$router"
        ;;
esac
echo "$event $address" >> {out}
"""
UDHCPC_SCRIPT = """\
#!/bin/sh
env | grep -E '^(ip|subnet|router|siaddr|boot_file|tftp|hostname|lease|serverid)=' > "$OUT.$1"
"""


def tool(name: str, package: str) -> None:
    """Skip the test where a client is not installed."""
    try:
        require(name, package)
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")


def udhcpc(lan: Lan, where: str, folder: Path, *more: str) -> dict[str, str]:
    """What the lease says, as udhcpc hands it to its script."""
    script = folder / "udhcpc.sh"
    script.write_text(UDHCPC_SCRIPT)
    script.chmod(0o755)
    out = folder / f"lease-{where}"
    options = ("-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-s", str(script))
    lan.run(where, "env", f"OUT={out}", "udhcpc", *options, *more)
    return dict(line.split("=", 1) for line in out.with_suffix(".bound").read_text().splitlines())


def eventually(what: Callable[[], Any], why: Callable[[], object]) -> Any:
    """The first true value of `what`."""
    until = time.monotonic() + SECONDS
    while not (found := what()):
        assert time.monotonic() < until, why()
        time.sleep(0.05)
    return found


@dataclass
class Client:
    """A DHCP client that keeps its lease. `events` are what it told its script: (event, address)."""

    process: subprocess.Popen[bytes]
    out: Path
    log: Path
    ask_again: Callable[["Client"], None]
    give_back: Callable[["Client"], None]

    def events(self) -> list[list[str]]:
        return [line.split(" ") for line in self.out.read_text().splitlines()] if self.out.exists() else []

    def _await(self, names: Sequence[str]) -> str:
        def found() -> str | None:
            return next((address for name, address in self.events() if name in names and address), None)

        return str(eventually(found, lambda: f"{self.events()}\n{self.log.read_text()}"))

    def address(self) -> str:
        """Its first address."""
        return self._await(("BOUND", "REBOOT", "bound"))

    def renew(self) -> str:
        """Have it ask again for the address that it has, and return what it was given."""
        self.ask_again(self)
        return self._await(("RENEW", "REBIND", "renew"))

    def release(self) -> None:
        """Have it give the lease back."""
        self.give_back(self)


@contextmanager
def _running(
    lan: Lan,
    where: str,
    folder: Path,
    argv: Callable[[Path], list[str]],
    ask_again: Callable[[Client], None],
    give_back: Callable[[Client], None],
    *,
    configures: bool = False,
) -> Iterator[Client]:
    script, out, log = (folder / f"{where}.{kind}" for kind in ("sh", "events", "log"))
    script.write_text(SCRIPT.format(out=out, configures="yes" if configures else ""))
    script.chmod(0o755)
    # dhclient and dhcpcd keep files in fixed places: each gets an empty /run and /var/lib of its own.
    alone = 'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/dhcp /var/lib/dhcpcd && exec "$@"'
    whole = ["ip", "netns", "exec", where, "unshare", "--mount", "sh", "-c", alone, "sh", *argv(script)]
    with log.open("ab") as output:
        process = subprocess.Popen(whole, stdout=output, stderr=output)
    try:
        yield Client(process, out, log, ask_again, give_back)
    finally:
        process.terminate()
        process.wait(10)


def _signal(number: signal.Signals) -> Callable[[Client], None]:
    return lambda client: client.process.send_signal(number)


def running_udhcpc(lan: Lan, where: str, folder: Path) -> Any:
    """BusyBox's client."""

    def argv(script: Path) -> list[str]:
        return ["udhcpc", "-i", "eth0", "-f", "-t", "5", "-T", "1", "-s", str(script)]

    return _running(lan, where, folder, argv, _signal(signal.SIGUSR1), _signal(signal.SIGUSR2))


def dhclient(lan: Lan, where: str, folder: Path) -> Any:
    """ISC's client. It renews after two seconds by itself, for it cannot be told to."""
    tool("dhclient", "isc-dhcp-client")
    config = folder / f"{where}.conf"
    config.write_text("timeout 10;\nretry 1;\nsupersede dhcp-renewal-time 2;\nsupersede dhcp-rebinding-time 60;\n")
    files = ("-lf", str(folder / f"{where}.leases"), "-pf", str(folder / f"{where}.pid"), "-cf", str(config))

    def argv(script: Path) -> list[str]:
        return ["dhclient", "-4", "-d", "-sf", str(script), *files, "eth0"]

    def release(client: Client) -> None:
        script = str(folder / f"{where}.sh")
        lan.run(where, "dhclient", "-4", "-r", "-sf", script, *files, "eth0")

    return _running(lan, where, folder, argv, lambda _: None, release)


def dhcpcd(lan: Lan, where: str, folder: Path) -> Any:
    """Roy Marples' client. Told to reload, it asks for its address again."""
    tool("dhcpcd", "dhcpcd-base")
    config = folder / f"{where}.conf"
    config.write_text("noarp\nnoipv6rs\nipv4only\nclientid\noption routers\n")

    def argv(script: Path) -> list[str]:
        return ["dhcpcd", "-4", "-B", "-d", "-f", str(config), "--script", str(script), "eth0"]

    return _running(lan, where, folder, argv, _signal(signal.SIGHUP), _signal(signal.SIGALRM), configures=True)


def counted(config: Config) -> Counter[tuple[str, str]]:
    """(name, reason) -> count over all workers, read from mayu's state."""
    with closing(SqliteStore(config.folder / "mayu.db")) as store:
        found: Counter[tuple[str, str]] = Counter()
        for _, name, reason, count in store.counters():
            found[name, reason] += count
        return found


def await_count(config: Config, name: str, reason: str, least: int = 1) -> None:
    """Wait until mayu has counted something that often."""
    eventually(lambda: counted(config)[name, reason] >= least, lambda: counted(config))


def history(config: Config, kind: str) -> list[StoredEvent]:
    """mayu's events of a kind."""
    with closing(SqliteStore(config.folder / "mayu.db")) as store:
        return [event for event in store.events(0, 100_000) if event.kind == kind]
