"""A ruleset as texts for `nft -f`: two transactions that put one generation of it in the place of the one before. Pure.

The chain hangs on the forward hook. Service addresses have been translated there (prerouting), masquerading has not yet been done
(postrouting), so packets carry the addresses of pods; and what a node sends to its own pods, or gets from them, never comes by.
Packets between two pods on one bridge come by as well, because br_netfilter sends them there (`kernel.problem` sees to it).

How long a packet takes does not depend on the number of pods: its addresses are looked up in one map per direction, which jumps
to the chain of the pod's gate; pods with equal gates share one. A chain returns what it allows, and drops the rest.

Each generation has maps, sets and chains of its own name. The first transaction makes those of the new one, beside the old; the
second changes the rules of the base chain, and nothing else. One alone would be atomic for chains, but not for the packet that
is on its way through them: it keeps the rules that it began with, and finds sets as they are by now. Seen on Linux 6.18: a table
that is deleted and made anew lets packets through and drops others, and a set with intervals that is filled in the transaction
that begins to use it may not be found filled.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from kubeception_sim.agents.policy.objects import FIRST_PORT, LAST_PORT, Address
from kubeception_sim.agents.policy.ruleset import Allow, Endpoint, Gate, Networks, Ports, Reach, Ruleset

TABLE = "kubeception_policy"
BASE = "forward"
# Before the filters of others. What they drop stays dropped, what they accept is still judged here: a verdict of accept ends
# one base chain only.
HOOK = "type filter hook forward priority filter - 10; policy accept;"
REMOVAL = f"table inet {TABLE}\ndelete table inet {TABLE}\n"
"""Makes the table before it deletes it: deleting one that does not exist is an error."""
GENERATION = re.compile(r"_g(\d+)$")
PER_LINE = 8

FAMILIES = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}
"""IP version -> what nft calls the header, and the type of an address."""


@dataclass(frozen=True)
class Held:
    """What the kernel has of our table: names, and the generation that the base chain uses (0 for none)."""

    maps: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    used: int = 0

    @property
    def newest(self) -> int:
        """The newest generation. It is not the one in use when an agent ended between the two transactions."""
        return max((generation(name) for name in (*self.maps, *self.chains, *self.sets)), default=self.used)

    def deletions(self) -> Iterator[str]:
        """Lines that delete what no packet looks at any more. Maps name chains, and chains name sets."""
        for kind, names in (("map", self.maps), ("chain", self.chains), ("set", self.sets)):
            yield from (f"delete {kind} inet {TABLE} {name}\n" for name in names if generation(name) not in (0, self.used))


@dataclass(frozen=True)
class Texts:
    """Two transactions, to be loaded in this order."""

    prepare: str
    switch: str


NOTHING = Held()


def render(ruleset: Ruleset, held: Held = NOTHING) -> Texts:
    """What makes the ruleset the next generation of what the kernel holds. Equal rulesets have equal texts."""
    sets = _Sets(f"_g{held.newest + 1}")
    chains: list[str] = []
    maps: list[str] = []
    rules: list[str] = []
    for direction, gates in (("egress", ruleset.egress), ("ingress", ruleset.ingress)):
        distinct = dict.fromkeys(gates[each] for each in _sorted(gates))
        names = {gate: f"{direction}_{number}{sets.suffix}" for number, gate in enumerate(distinct, 1)}
        chains += [_chain(name, _gate(gate, direction, sets)) for gate, name in names.items()]
        for version, addresses in _by_version(gates):
            header, kind = FAMILIES[version]
            name = f"{direction}_{kind}{sets.suffix}"
            verdicts = [f"{address} : jump {names[gates[address]]}" for address in addresses]
            maps.append(_block(f"map {name}", f"type {kind} : verdict", _elements(verdicts)))
            rules.append(f"{header} {_side(direction)} vmap @{name}")
    base = [*_preamble(ruleset, sets), *rules]
    return Texts(
        prepare="".join([_table(_chain(BASE, [], HOOK)), *held.deletions(), _table(*sets.blocks(), *chains, *maps)]),
        switch=f"flush chain inet {TABLE} {BASE}\n{_table(_chain(BASE, base))}",
    )


def generation(name: str) -> int:
    """The generation that a name is of; 0 for what is of all."""
    found = GENERATION.search(name)
    return int(found[1]) if found else 0


def _table(*blocks: str) -> str:
    return f"table inet {TABLE} {{\n{''.join(blocks)}}}\n" if blocks else ""


def _preamble(ruleset: Ruleset, sets: "_Sets") -> Iterator[str]:
    """What is allowed whatever the policies say."""
    yield "ct state related accept"
    # Only answers: what a client sends is judged packet by packet, so that a change is felt by connections that are open.
    yield "ct state established ct direction reply accept"
    for version, addresses in _by_version(ruleset.isolated):
        header, kind = FAMILIES[version]
        if version == 6:
            # As ARP is for IPv4, which this table never sees.
            yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept"
        # A pod that asks a service and is the one to answer.
        name = sets.name("self", f"type {kind} . {kind}", tuple(f"{address} . {address}" for address in addresses))
        yield f"{header} saddr . {header} daddr @{name} accept"


def _gate(gate: Gate, direction: str, sets: "_Sets") -> list[str]:
    """The rules of one gate."""
    allows = sorted((entry for entry in gate if isinstance(entry, Allow)), key=sets.order)
    reaches = sorted((entry for entry in gate if isinstance(entry, Reach)), key=lambda reach: sets.endpoints(reach))
    lines = [
        " ".join(filter(None, [peer, port, "return"]))
        for allow in allows
        for peer in _peers(allow.networks, direction, sets)
        for port in _ports(allow.ports)
    ]
    return [*lines, *(line for reach in reaches for line in _reach(reach, sets)), "counter drop"]


def _peers(networks: Networks | None, direction: str, sets: "_Sets") -> Iterator[str]:
    if networks is None:
        yield ""
        return
    other = "daddr" if direction == "egress" else "saddr"
    for version, (header, kind) in FAMILIES.items():
        if elements := tuple(text for each, _, _, text in sets.listed(networks) if each == version):
            yield f"{header} {other} @{sets.name('peers', f'type {kind}; flags interval', elements)}"


def _ports(ports: frozenset[Ports] | None) -> Iterator[str]:
    if ports is None:
        yield ""
        return
    for protocol, group in groupby(sorted(ports), key=lambda each: each.protocol):
        ranges = list(group)
        if (ranges[0].first, ranges[0].last) == (FIRST_PORT, LAST_PORT):
            yield f"meta l4proto {protocol.lower()}"
        else:
            yield f"{protocol.lower()} dport {{ {', '.join(_range(each) for each in ranges)} }}"


def _range(ports: Ports) -> str:
    return str(ports.first) if ports.first == ports.last else f"{ports.first}-{ports.last}"


def _reach(reach: Reach, sets: "_Sets") -> Iterator[str]:
    for version, (header, kind) in FAMILIES.items():
        if elements := tuple(text for each, _, text in sets.endpoints(reach) if each == version):
            name = sets.name("named", f"type {kind} . inet_proto . inet_service", elements)
            yield f"{header} daddr . meta l4proto . th dport @{name} return"


Listed = tuple[tuple[int, int, int, str], ...]
"""Networks in their order: version, first address, length of the prefix, and what nft calls it."""


Ends = tuple[tuple[int, int, str], ...]
"""Endpoints in their order: version, address, and what nft calls it."""


@dataclass
class _Sets:
    """Named sets by content: gates that speak of the same peers share the set."""

    suffix: str
    names: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)
    orders: dict[Networks, Listed] = field(default_factory=dict)
    ends: dict[frozenset[Endpoint], Ends] = field(default_factory=dict)

    def listed(self, networks: Networks) -> Listed:
        """Networks in order. Many rules have the same ones."""
        if networks not in self.orders:
            each = ((net.version, int(net.network_address), net.prefixlen, _short(str(net))) for net in networks)
            self.orders[networks] = tuple(sorted(each))
        return self.orders[networks]

    def endpoints(self, reach: Reach) -> Ends:
        """Endpoints in order."""
        if reach.endpoints not in self.ends:
            each = (
                (end.address.version, int(end.address), f"{end.address} . {end.protocol.lower()} . {end.port}")
                for end in reach.endpoints
            )
            self.ends[reach.endpoints] = tuple(sorted(each))
        return self.ends[reach.endpoints]

    def order(self, allow: Allow) -> tuple[bool, Listed, bool, list[Ports]]:
        """A key that puts equal gates in the same order: first what has the fewest conditions."""
        networks = () if allow.networks is None else self.listed(allow.networks)
        return allow.networks is not None, networks, allow.ports is not None, sorted(allow.ports or ())

    def name(self, prefix: str, head: str, elements: tuple[str, ...]) -> str:
        return self.names.setdefault((head, elements), f"{prefix}_{len(self.names) + 1}{self.suffix}")

    def blocks(self) -> list[str]:
        return [_block(f"set {name}", head, _elements(elements)) for (head, elements), name in self.names.items()]


def _block(title: str, *lines: str) -> str:
    return f"  {title} {{\n{''.join(f'    {line}{chr(10)}' for line in lines)}  }}\n"


def _chain(name: str, rules: Iterable[str], *head: str) -> str:
    return _block(f"chain {name}", *head, *rules)


def _elements(elements: Iterable[str]) -> str:
    found = list(elements)
    lines = [", ".join(found[start : start + PER_LINE]) for start in range(0, len(found), PER_LINE)]
    return f"elements = {{ {f',{chr(10)}                 '.join(lines)} }}"


def _by_version(addresses: Iterable[Address]) -> Iterator[tuple[int, list[Address]]]:
    for version, group in groupby(_sorted(addresses), key=lambda address: address.version):
        yield version, list(group)


def _sorted(addresses: Iterable[Address]) -> list[Address]:
    return sorted(addresses, key=lambda address: (address.version, int(address)))


def _side(direction: str) -> str:
    return "saddr" if direction == "egress" else "daddr"


def _short(network: str) -> str:
    """An address without the length of a whole address."""
    return network.removesuffix("/32" if "." in network else "/128")
