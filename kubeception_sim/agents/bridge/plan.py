"""Links, addresses and forwarding entries of a machine's pod: what is wanted, and what there is to change. Pure.

    cable (tap0) --+
                   br-VNI 172.23.0.5/30      the gateway; the machine's neighbour entry is written down
    flannel.VNI ---+                         VXLAN over the pod's own link, to the pods of the peers

No link learns an address: the MAC of a machine follows from its number, so each entry is written, and nobody can move one by
sending frames. What is flooded goes to all peers (an entry for 00:00:00:00:00:00 each), the rest to the one that has it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from kubeception_sim.agents.bridge.flannel import PORT, Peer
from kubeception_sim.agents.bridge.place import BLOCK_PREFIX, Place, machine_mac

OVERHEAD = 50
"""Of VXLAN over IPv4 in bytes: IPv4 20, UDP 8, VXLAN 8, and the Ethernet header inside 14 (RFC 7348, section 5)."""
EVERYBODY = "00:00:00:00:00:00"
USER = 64055
"""Who may open the tap: the machine's user."""
FORWARDING, PROXY_ARP, SEND_REDIRECTS, ARP_IGNORE, ROUTE_LOCALNET = (
    "forwarding", "proxy_arp", "send_redirects", "arp_ignore", "route_localnet"
)  # fmt: skip


@dataclass(frozen=True)
class Uplink:
    """The pod's own link, and its MTU in bytes."""

    name: str
    mtu: int


@dataclass(frozen=True)
class Link:
    """A link as it is to be. `options` are what it is made with and keeps; `port` are those of a bridge's port."""

    name: str
    kind: str
    mtu: int
    mac: str = ""
    master: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    port: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A forwarding entry: frames to `mac` go out of `link`, to `pod` if that is a VXLAN device."""

    link: str
    mac: str
    pod: str = ""


@dataclass(frozen=True)
class Plan:
    """What is wanted. `switches` are IPv4 settings of links, by their names."""

    links: tuple[Link, ...]
    bridge: str
    address: IPv4Interface
    neighbour: tuple[str, str]
    entries: frozenset[Entry]
    switches: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Observed:
    """What there is: links as `ip -details -json link` has them by their names, and addresses and neighbours of the bridge."""

    links: Mapping[str, Mapping[str, Any]]
    addresses: frozenset[IPv4Interface] = frozenset()
    neighbours: frozenset[tuple[str, str]] = frozenset()
    entries: frozenset[Entry] = frozenset()
    switches: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def plan(place: Place, uplink: Uplink, peers: Iterable[Peer]) -> Plan:
    """What is wanted for a machine with these peers."""
    mtu, known = uplink.mtu - OVERHEAD, tuple(peers)
    entries = {Entry(place.cable, place.machine_mac)}
    entries |= {
        Entry(place.vxlan, mac, str(peer.pod)) for peer in known for mac in (EVERYBODY, machine_mac(place.vni, peer.index))
    }
    return Plan(
        (_bridge(place, mtu), _vxlan(place, uplink, mtu), _cable(place, mtu)),
        place.bridge,
        IPv4Interface(f"{place.gateway}/{BLOCK_PREFIX}"),
        (str(place.machine), place.machine_mac),
        frozenset(entries),
        {
            uplink.name: {FORWARDING: 1},
            # The bridge speaks for its own address only: not for the pod's, nor for anybody behind it.
            place.bridge: {FORWARDING: 1, PROXY_ARP: 0, SEND_REDIRECTS: 0, ARP_IGNORE: 1, ROUTE_LOCALNET: 0},
        },
    )


def peers_in(place: Place, entries: Iterable[Entry]) -> tuple[Peer, ...]:
    """The peers that forwarding entries lead to, by their number: `plan` has made the entries of them."""
    found = {_index(place, each.mac): IPv4Address(each.pod) for each in entries if each.pod}
    return tuple(Peer(index, found[index]) for index in sorted(found) if index)


def _index(place: Place, mac: str) -> int:
    """Whose MAC this is; 0 if it is no machine's of the cluster."""
    index = int(mac.replace(":", ""), 16) & 0xFFFF
    return index if index and machine_mac(place.vni, index) == mac else 0


def _bridge(place: Place, mtu: int) -> Link:
    return Link(place.bridge, "bridge", mtu, place.bridge_mac, options={"stp_state": 0, "mcast_snooping": 0})


def _vxlan(place: Place, uplink: Uplink, mtu: int) -> Link:
    options = {"id": place.vni, "local": str(place.pod), "link": uplink.name, "port": PORT, "learning": False}
    return Link(place.vxlan, "vxlan", mtu, place.vtep_mac, place.bridge, options, {"learning": False, "flood": True})


def _cable(place: Place, mtu: int) -> Link:
    # What is not for the machine's MAC is not flooded to it.
    return Link(place.cable, "tun", mtu, "", place.bridge, port={"learning": False, "flood": False})


def link_changes(wanted: Plan, observed: Observed) -> tuple[str, ...]:
    """Lines of `ip -batch` that bring links, addresses and neighbours to the plan; none when they are as wanted."""
    lines = [line for link in wanted.links for line in _of_link(link, observed.links.get(link.name))]
    # A bridge that is made anew has lost what it had.
    made = any(line.startswith(f"link add name {wanted.bridge} ") for line in lines)
    has = frozenset() if made else observed.addresses
    lines += [f"address delete {each} dev {wanted.bridge}" for each in sorted(has - {wanted.address})]
    lines += [f"address add {each} dev {wanted.bridge}" for each in {wanted.address} - has]
    if made or wanted.neighbour not in observed.neighbours:
        address, mac = wanted.neighbour
        lines.append(f"neigh replace {address} lladdr {mac} dev {wanted.bridge} nud permanent")
    return tuple(lines)


def entry_changes(wanted: Plan, observed: Observed) -> tuple[str, ...]:
    """Lines of `bridge -batch` that bring forwarding entries to the plan. Links are there by now."""
    gone = [f"fdb delete {_entry(each)}" for each in _sorted(observed.entries - wanted.entries)]
    return (*gone, *(f"fdb append {_entry(each)}" for each in _sorted(wanted.entries - observed.entries)))


def switch_changes(wanted: Plan, observed: Observed) -> Mapping[str, Mapping[str, int]]:
    """The settings that are different, by their links."""
    found = {
        name: {key: value for key, value in switches.items() if observed.switches.get(name, {}).get(key) != value}
        for name, switches in wanted.switches.items()
    }
    return {name: switches for name, switches in found.items() if switches}


def missing(wanted: Plan, observed: Observed) -> tuple[str, ...]:
    """What is not there of what a machine needs to be reached: why the pod is not healthy, a line each."""
    found = [f"there is no link {link.name}" for link in wanted.links if link.name not in observed.links]
    if not found and wanted.address not in observed.addresses:
        found.append(f"{wanted.bridge} has no address {wanted.address}")
    return tuple(found)


def _of_link(link: Link, there: Mapping[str, Any] | None) -> Iterator[str]:
    if there is not None and _is_other(link, there):
        yield f"link delete dev {link.name}"
        there = None
    if there is None:
        yield _made(link)
    # What was made a moment ago has nothing of this: it is all said once, and then again only where it is different.
    state = there or {}
    if link.mac and state.get("address") != link.mac:
        yield f"link set dev {link.name} address {link.mac}"
    if state.get("inet6_addr_gen_mode") != "none":
        yield f"link set dev {link.name} addrgenmode none"
    if link.master and state.get("master") != link.master:
        yield f"link set dev {link.name} master {link.master}"
    ports = state.get("linkinfo", {}).get("info_slave_data", {})
    for name, value in link.port.items():
        if ports.get(name) is not value:
            yield f"link set dev {link.name} type bridge_slave {name} {'on' if value else 'off'}"
    if state.get("mtu") != link.mtu:
        yield f"link set dev {link.name} mtu {link.mtu}"
    if "UP" not in state.get("flags", ()):
        yield f"link set dev {link.name} up"


def _is_other(link: Link, there: Mapping[str, Any]) -> bool:
    """Whether a link of this name has to be made anew. A cable is taken as it is, of whatever kind: it is in use."""
    if not link.options:
        return False
    info = there.get("linkinfo", {})
    data = info.get("info_data", {})
    return info.get("info_kind") != link.kind or any(data.get(name) != value for name, value in link.options.items())


def _made(link: Link) -> str:
    match link.kind:
        case "bridge":
            options = " ".join(f"{name} {value}" for name, value in link.options.items())
            return f"link add name {link.name} type bridge {options}"
        case "vxlan":
            has = link.options
            way = f"local {has['local']} dev {has['link']} dstport {has['port']}"
            return f"link add name {link.name} type vxlan id {has['id']} {way} nolearning"
        case _:
            return f"tuntap add dev {link.name} mode tap user {USER}"


def _entry(entry: Entry) -> str:
    return f"{entry.mac} dev {entry.link} " + (f"dst {entry.pod} self permanent" if entry.pod else "master static")


def _sorted(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda each: (each.link, each.mac, each.pod))
