"""Interfaces as files of systemd-networkd (systemd.network(5), systemd.netdev(5))."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address

from mayu_py.core.nics import BondMode
from mayu_py.core.rendering.files import File, Section, ini
from mayu_py.core.rendering.interfaces import Interface, Seat

FOLDER = "/etc/systemd/network"
# Modes that choose the member for a packet by a hash of its headers.
HASHING = (BondMode.LACP, BondMode.BALANCE_XOR, BondMode.BALANCE_TLB)


def networkd(interfaces: Iterable[Interface]) -> tuple[File, ...]:
    """The files for these interfaces, in their order."""
    return tuple(file for interface in interfaces for file in _files(interface))


def _files(interface: Interface) -> Iterator[File]:
    # Of all .network files that match an interface, the first by name counts: an image's own begin with 80 and more.
    stem = f"{FOLDER}/10-{interface.key}"
    if interface.bond is not None or interface.vlan is not None:
        yield File(f"{stem}.netdev", ini(*_netdev(interface)))
    yield File(f"{stem}.network", ini(*_network(interface)))


def _netdev(interface: Interface) -> Iterator[Section]:
    kind = "bond" if interface.bond is not None else "vlan"
    yield "NetDev", [("Name", interface.name), ("Kind", kind), ("MTUBytes", interface.mtu)]
    yield "VLAN", [("Id", interface.vlan)]
    if (bond := interface.bond) is not None:
        yield (
            "Bond",
            [
                ("Mode", bond.mode),
                ("MIIMonitorSec", f"{bond.miimon}ms"),
                ("LACPTransmitRate", bond.lacp_rate if bond.mode is BondMode.LACP else None),
                ("TransmitHashPolicy", "layer3+4" if bond.mode in HASHING else None),
            ],
        )


def _network(interface: Interface) -> Iterator[Section]:
    # A VLAN has the MAC of the NIC below it, and a member's pattern may fit one; `Type` keeps them apart.
    physical = interface.bond is None and interface.vlan is None
    match = [("MACAddress", interface.mac), ("Name", interface.name), ("Type", "ether" if physical else None)]
    yield "Match", [*match]
    yield "Link", [("MTUBytes", interface.mtu)]
    seat = interface.seat
    network: list[tuple[str, object]] = [("Bond", interface.master)]
    if seat is None:
        # It only carries others.
        network += [("LinkLocalAddressing", "no"), ("IPv6AcceptRA", "no")] if not interface.master else []
    elif seat.address is None:
        network += [("DHCP", "ipv4")]
    else:
        network += _static(seat)
    yield "Network", [*network, *(("VLAN", name) for name in interface.vlans)]
    for route in seat.routes if seat is not None and seat.address is not None else ():
        yield "Route", [("Destination", route.to), ("Gateway", route.via)]


def _static(seat: Seat) -> list[tuple[str, object]]:
    domains = dict.fromkeys((*((seat.domain,) if seat.domain else ()), *seat.search))
    return [
        ("Address", seat.address),
        ("Gateway", seat.gateway),
        ("DNS", _spaced(seat.dns)),
        ("Domains", " ".join(domains)),
        ("NTP", _spaced(seat.ntp)),
    ]


def _spaced(addresses: Sequence[IPv4Address]) -> str:
    return " ".join(map(str, addresses))
