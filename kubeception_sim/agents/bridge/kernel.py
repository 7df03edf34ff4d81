"""The network namespace that this runs in: observed, and brought to the plan. Only differences are touched.

Agents stand alone, so this is their own door to programs: `ip`, `bridge` and `nft`, with argument lists and never a shell.
"""

import json
import logging
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from kubeception_sim.agents.bridge import devconf, ruleset
from kubeception_sim.agents.bridge.flannel import Peer, pods
from kubeception_sim.agents.bridge.place import Place
from kubeception_sim.agents.bridge.plan import (
    OVERHEAD,
    Entry,
    Observed,
    Plan,
    Uplink,
    entry_changes,
    link_changes,
    missing,
    peers_in,
    plan,
    switch_changes,
)

_log = logging.getLogger(__name__)

SECONDS = 30.0
_LEAST_MTU = 576 + OVERHEAD
_UP = "LOWER_UP"


class Refused(Exception):
    """The kernel, or a program that speaks with it, did not do it: what it says of it."""


class Network:
    """The network of one machine's pod. One thread at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        # As nft writes them: what the kernel has is compared with what it had when the rules were loaded.
        self._rules: str | None = None
        self.changes = 0
        """How often something was brought to the plan."""

    def apply(self, peers: Sequence[Peer]) -> None:
        """Bring links, addresses, entries and rules to the plan. Raises Refused; what was done until then stays.

        The rules first, and the links without an address that anybody could use until they are there.
        """
        links = _links()
        uplink = _uplink(self._place, links)
        self._have_rules(uplink, pods(peers))
        wanted = plan(self._place, uplink, peers)
        lines = link_changes(wanted, observe(wanted, links))
        self._change("ip", lines)
        found = observe(wanted, _links() if lines else links)
        self._change("bridge", entry_changes(wanted, found))
        for name, settings in switch_changes(wanted, found).items():
            _log.info("%s: %s", name, settings)
            self.changes += 1
            try:
                devconf.write(name, settings)
            except OSError as error:
                raise Refused(f"{name}: {settings}: {error}") from error
        if problems := missing(wanted, observe(wanted, _links())):
            raise Refused("\n".join(problems))

    def peers(self) -> tuple[Peer, ...]:
        """The peers that the network has, whoever has brought it there; none before it was set up. Raises Refused."""
        vxlan = self._place.vxlan
        return peers_in(self._place, _entries_of(vxlan)) if vxlan in _links() else ()

    def connected(self) -> bool:
        """Whether somebody is at the other end of the cable. Raises Refused."""
        return _UP in _links().get(self._place.cable, {}).get("flags", ())

    def counters(self) -> Mapping[str, int]:
        """Packets that were dropped, by the names of `ruleset.COUNTERS`. Raises Refused."""
        found: dict[str, int] = {}
        for family in ruleset.COUNTERS:
            entries = json.loads(_run("nft", "--json", "list", "counters", "table", family, ruleset.TABLE))["nftables"]
            found |= {entry["counter"]["name"]: int(entry["counter"]["packets"]) for entry in entries if "counter" in entry}
        return found

    def _have_rules(self, uplink: Uplink, peers: frozenset[IPv4Address]) -> None:
        listed = _listed()
        if listed is None or listed != self._rules:
            _log.info("rules: loaded, %d peers", len(peers))
            self.changes += 1
            _run("nft", "-f", "-", given=ruleset.render(self._place, uplink.name, peers))
            self._rules = _listed()
            return
        has = _peers()
        if change := ruleset.change_peers(peers - has, has - peers):
            _log.info("rules: %s", change.strip().replace("\n", "; "))
            self.changes += 1
            _run("nft", "-f", "-", given=change)

    def _change(self, program: str, lines: Sequence[str]) -> None:
        if not lines:
            return
        for line in lines:
            _log.info("%s %s", program, line)
        self.changes += 1
        _run(program, "-batch", "-", given="\n".join(lines) + "\n")


def observe(wanted: Plan, links: Mapping[str, Mapping[str, Any]]) -> Observed:
    """What there is of the plan, among these links. Raises Refused."""
    if wanted.bridge not in links:
        return Observed(links)
    addresses, neighbours = _asked("-4", "address", wanted.bridge), _asked("-4", "neigh", wanted.bridge)
    found = (each for entry in addresses for each in entry.get("addr_info", ()))
    return Observed(
        links,
        frozenset(IPv4Interface(f"{each['local']}/{each['prefixlen']}") for each in found),
        frozenset((each["dst"], each["lladdr"]) for each in neighbours if "PERMANENT" in each["state"]),
        frozenset(_entries(wanted, links)),
        {name: _switches(name) for name in wanted.switches},
    )


def _switches(link: str) -> Mapping[str, int]:
    try:
        return devconf.read(link)
    except OSError as error:
        raise Refused(str(error)) from error


def _entries(wanted: Plan, links: Mapping[str, Mapping[str, Any]]) -> Iterable[Entry]:
    """Of VXLAN devices what they send, of the other ports what is theirs; not what a link has of itself."""
    for link in (each for each in wanted.links if each.master and each.name in links):
        yield from _entries_of(link.name)


def _entries_of(link: str) -> Iterable[Entry]:
    for each in json.loads(_run("bridge", "-json", "fdb", "show", "dev", link) or "[]"):
        if "dst" in each:
            yield Entry(link, each["mac"], each["dst"])
        elif each.get("state") == "static":
            yield Entry(link, each["mac"])


def _uplink(place: Place, links: Mapping[str, Mapping[str, Any]]) -> Uplink:
    for each in _asked("-4", "address"):
        if any(address["local"] == str(place.pod) for address in each.get("addr_info", ())):
            mtu = int(links[each["ifname"]]["mtu"])
            if mtu < _LEAST_MTU:
                raise Refused(f"{each['ifname']} has an MTU of {mtu}: VXLAN over it leaves less than {_LEAST_MTU - OVERHEAD}")
            return Uplink(each["ifname"], mtu)
    raise Refused(f"no link has the pod's address {place.pod}")


def _links() -> Mapping[str, Mapping[str, Any]]:
    return {each["ifname"]: each for each in json.loads(_run("ip", "-details", "-json", "link", "show"))}


def _asked(family: str, what: str, link: str = "") -> list[dict[str, Any]]:
    about = ("dev", link) if link else ()
    # Of nothing, iproute2 says nothing; and of a namespace without addresses an empty object for each link.
    answer: list[dict[str, Any]] = json.loads(_run("ip", family, "-json", what, "show", *about) or "[]")
    return [each for each in answer if each]


def _listed() -> str | None:
    """Both tables without counts and elements; None when one of them is not there."""
    tables = _run("nft", "list", "tables").splitlines()
    if any(f"table {family} {ruleset.TABLE}" not in tables for family in ruleset.COUNTERS):
        return None
    return "".join(_run("nft", "--stateless", "--terse", "list", "table", family, ruleset.TABLE) for family in ruleset.COUNTERS)


def _peers() -> frozenset[IPv4Address]:
    entries = json.loads(_run("nft", "--json", "list", "set", "inet", ruleset.TABLE, ruleset.PEERS))["nftables"]
    return frozenset(IPv4Address(each) for entry in entries for each in entry.get("set", {}).get("elem", ()))


def _run(program: str, *arguments: str, given: str = "") -> str:
    try:
        done = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{program}: {error}") from error
    if done.returncode:
        raise Refused(f"{program} {' '.join(arguments)}: {' '.join(done.stderr.split())[:500]}")
    return done.stdout
