"""The router between the racks: BIRD, running in the fabric's namespace.

A person looks inside with `birdc -s <lab>/router/bird.ctl`, from any namespace: the socket is a file.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from kubeception_sim.errors import DeadlineExceeded, HarnessError
from kubeception_sim.lab import Lab
from kubeception_sim.network.bird import RouterPlan, bird_config
from kubeception_sim.network.fabric import Fabric
from kubeception_sim.network.rack import Rack
from kubeception_sim.run import Process, require, run, spawn

ONE_SWITCH = "switch"
READY_SECONDS = 10.0
_COMMAND_SECONDS = 10.0
_POLL_SECONDS = 0.02
_ROUTE = re.compile(r"^(?P<net>[\d.]+/\d+)?\s+(?P<kind>unicast|unreachable|blackhole)\s+\[(?P<session>\S+) .*?\](?P<best> \*)?")
_VIA = re.compile(r"^\s+via (?P<hop>[\d.]+) on ")
_SESSION = re.compile(r"^(?P<name>\S+)\s+BGP\s+\S+\s+(?P<state>\S+)\s+\S+\s*(?P<info>.*)$")
_DETAIL = re.compile(r"^\s+Neighbor (?P<what>address|AS):\s+(?P<value>[\d.]+)")


@dataclass(frozen=True)
class Route:
    """A subnet of pods as the router knows it: where it goes, and from which session it came. `best` is the one in use."""

    subnet: IPv4Network
    next_hop: IPv4Address
    session: str
    best: bool = True


@dataclass(frozen=True)
class Neighbour:
    """A host that has called. `state` is BGP's word (RFC 4271, section 8.2.2): Established when it may announce."""

    address: IPv4Address
    asn: int
    session: str
    state: str


class Router:
    """A running router. Made by `Router.start`."""

    def __init__(self, process: Process, socket: Path, config: Path) -> None:
        self.process = process
        self.socket = socket
        self.config = config

    @classmethod
    @contextmanager
    def start(cls, lab: Lab, fabric: Fabric, hosts: Mapping[IPv4Address, IPv4Network]) -> Iterator["Router"]:
        """BIRD as router of all racks of `fabric`, or of its one switch; returns when it serves.

        `hosts` maps the addresses of hosts to the subnets of their pods: what each may announce, and nothing else.
        Raises MissingTool without BIRD, HarnessError with the end of its log when it does not come up.
        """
        require("bird", "bird2")
        folder = lab.subdirectory("router")
        config, socket = folder / "bird.conf", folder / "bird.ctl"
        # On a fabric of one switch the hosts send to each other; which subnet is whose they still learn here.
        switches = fabric.racks or (Rack(ONE_SWITCH, fabric.address),)
        config.write_text(bird_config(RouterPlan(fabric.address.ip, switches, hosts)))
        argv = ("bird", "-f", "-c", config, "-s", socket, "-P", folder / "bird.pid")
        with spawn(argv, log=folder / "bird.log", env=lab.env, namespace=fabric.namespace) as process:
            router = cls(process, socket, config)
            router._await_ready()
            yield router

    def routes(self) -> list[Route]:
        """The subnets of pods that hosts have announced, in the order of their addresses; refused ones are not among them."""
        return parse_routes(self._ask("show route where source = RTS_BGP"))

    def refused(self) -> list[Route]:
        """What hosts have announced and the router has not taken."""
        return parse_routes(self._ask("show route filtered"))

    def neighbours(self) -> list[Neighbour]:
        """The hosts that have called, whatever the state of the session."""
        return parse_neighbours(self._ask("show protocols all"))

    def _ask(self, question: str) -> str:
        return run(["birdc", "-r", "-s", self.socket, *question.split()], timeout=_COMMAND_SECONDS).stdout

    def _await_ready(self) -> None:
        deadline, last = time.monotonic() + READY_SECONDS, ""
        while time.monotonic() < deadline:
            if (code := self.process.poll()) is not None:
                raise HarnessError(f"the router ended with {code}\n{self.process.tail()}".rstrip())
            asked = run(["birdc", "-r", "-s", self.socket, "show", "status"], timeout=_COMMAND_SECONDS, check=False)
            if "Daemon is up and running" in asked.stdout:
                return
            last = (asked.stdout + asked.stderr).strip()
            time.sleep(_POLL_SECONDS)
        raise DeadlineExceeded(f"the router does not serve after {READY_SECONDS:g} s: {last}\n{self.process.tail()}".rstrip())


def parse_routes(text: str) -> list[Route]:
    """What `birdc show route` prints, without routes that have no next hop. A further route to a subnet leaves it out."""
    found: list[Route] = []
    subnet, session, best = "", "", False
    for line in text.splitlines():
        if match := _ROUTE.match(line):
            subnet, session, best = match["net"] or subnet, match["session"], bool(match["best"])
        elif (via := _VIA.match(line)) and subnet:
            found.append(Route(IPv4Network(subnet), IPv4Address(via["hop"]), session, best))
    return sorted(found, key=lambda route: (route.subnet, not route.best, route.next_hop))


def parse_neighbours(text: str) -> list[Neighbour]:
    """What `birdc show protocols all` prints about sessions; listeners, which have no neighbour's address, are left out."""
    found: list[Neighbour] = []
    name, state, details = "", "", dict[str, str]()
    for line in [*text.splitlines(), "end BGP --- end end end"]:
        if match := _SESSION.match(line):
            if details.keys() == {"address", "AS"}:
                found.append(Neighbour(IPv4Address(details["address"]), int(details["AS"]), name, state))
            name, state, details = match["name"], match["info"].partition(" ")[0], {}
        elif detail := _DETAIL.match(line):
            details[detail["what"]] = detail["value"]
    return sorted(found, key=lambda neighbour: neighbour.address)
