"""A host's interfaces, from the `nic` keys of its networks: physical NICs, bonds over them, VLANs on either."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from ignition.document import DocumentError
from mayu_py.core.hosts import Host
from mayu_py.core.networks import Network, Route
from mayu_py.core.nics import Addressing, Bond, Nic

# What Ethernet carries unless it is told otherwise (RFC 894), in bytes.
USUAL_MTU = 1500


@dataclass(frozen=True, slots=True)
class Seat:
    """What an interface has in a network. `address` is None where DHCP gives it; then the rest comes from there too."""

    network: str
    address: IPv4Interface | None = None
    gateway: IPv4Address | None = None
    routes: tuple[Route, ...] = ()
    dns: tuple[IPv4Address, ...] = ()
    ntp: tuple[IPv4Address, ...] = ()
    domain: str | None = None
    search: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a host.

    `key` is unique among them, and names its files. `name` may be a pattern for members of a bond. A physical NIC is found by
    `name` or by `mac`. A VLAN has the tag `vlan` on the interface `parent`; a member belongs to the bond `master`; both are keys.
    `vlans` are the names of the VLANs on it. `seat` is None where it has no address of its own.
    """

    key: str
    name: str = ""
    mac: str = ""
    mtu: int | None = None
    bond: Bond | None = None
    vlan: int | None = None
    parent: str = ""
    master: str = ""
    vlans: tuple[str, ...] = ()
    seat: Seat | None = None


def interfaces(host: Host, boot: Network | None, extra: Sequence[Network]) -> tuple[Interface, ...]:
    """The interfaces of a host in the network it boots from and in those extra ones in which it has an address.

    Bonds stand before their members, and both before the VLANs on them. Raises DocumentError for a network that the host is in
    whose `nic` does not say which NIC that is.
    """
    networks = [*([boot] if boot else []), *(network for network in extra if network.name in host.addresses)]
    nics = [(network, _nic(network, host)) for network in networks]
    bonds = {nic.bond.name: nic.bond for _, nic in nics if nic.bond is not None}
    found: list[Interface] = []
    for base in dict.fromkeys(nic.base for _, nic in nics):
        found += _stack(base, bonds.get(base), [(network, nic) for network, nic in nics if nic.base == base], host)
    return tuple(found)


def _nic(network: Network, host: Host) -> Nic:
    nic = network.nic
    if nic is None and network.extra:
        hint = "nic: {name: eth1}"
        raise DocumentError([network.origin.error(f"nothing says which NIC hosts have in {network.name}", hint=hint)])
    nic = nic or Nic()
    if not nic.base and not host.macs:
        hint = f"give {host.name} `macs`, or the network's `nic` a `name`"
        why = f"the NIC of {host.name} in {network.name} is named by its MAC, and it has none"
        raise DocumentError([network.origin.error(why, "nic", hint=hint)])
    return nic


def _stack(base: str, bond: Bond | None, on_it: Sequence[tuple[Network, Nic]], host: Host) -> Iterator[Interface]:
    """A NIC or bond, the bond's members, and the VLANs."""
    tagged = [(network, nic) for network, nic in on_it if nic.vlan is not None]
    seats = [_seat(network, nic, host) for network, nic in on_it if nic.vlan is None]
    key = base or "boot"
    mtu = _mtu([nic for _, nic in on_it])
    yield Interface(
        key=key,
        name=base,
        mac="" if base else host.macs[0],
        mtu=mtu,
        bond=bond,
        vlans=tuple(nic.device for _, nic in tagged),
        seat=seats[0] if seats else None,
    )
    for number, member in enumerate(bond.members if bond else (), 1):
        yield Interface(key=f"{key}-member{number}", name=member, mtu=mtu, master=key)
    for network, nic in tagged:
        yield Interface(key=nic.device, name=nic.device, mtu=nic.mtu, vlan=nic.vlan, parent=key, seat=_seat(network, nic, host))


def _mtu(on_it: Sequence[Nic]) -> int | None:
    """That of the NIC below: its own, or what the frames of its VLANs need."""
    own = next((nic.mtu for nic in on_it if nic.vlan is None), None)
    needed = max((nic.mtu for nic in on_it if nic.mtu is not None), default=0)
    return own if own is not None else needed if needed > USUAL_MTU else None


def _seat(network: Network, nic: Nic, host: Host) -> Seat:
    address = network.address_of(host)
    # An address that another server gives is not the host's to keep.
    is_lent = host.proxied and not network.extra
    if nic.addressing is Addressing.DHCP or is_lent or address is None:
        return Seat(network.name)
    return Seat(
        network.name,
        IPv4Interface((address, network.subnet.prefixlen)),
        # Two default routes would compete: that of the network a host boots from is the one.
        None if network.extra else network.gateway,
        network.routes,
        network.dns,
        network.ntp,
        network.domain,
        network.search,
    )
