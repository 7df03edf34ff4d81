"""Networks of the config file: what mayu is on, what it hands out there, and who speaks for the others."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from ignition.document import Duration, Origin
from mayu_py.core.addresses import Range
from mayu_py.core.hosts import Host
from mayu_py.core.nics import Nic


class DhcpMode(StrEnum):
    """What mayu's DHCP does in a network."""

    AUTHORITATIVE = "authoritative"  # addresses and boot files
    PROXY = "proxy"  # boot files only, for who boots from the network; another server hands out addresses and knows nothing of it
    OFF = "off"  # nothing: another server hands out addresses and the names of mayu's boot files


@dataclass(frozen=True)
class AddressRange:
    """`start` and `end` are both handed out."""

    start: IPv4Address
    end: IPv4Address
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)

    def of(self, network: str) -> Range:
        """The same as the allocator's value, under the name an error calls it."""
        return Range(self.start, self.end, f"the range of network {network} at {self.origin.mark}")


@dataclass(frozen=True)
class Route:
    """A static route for the hosts of a network (DHCP option 121)."""

    to: IPv4Network
    via: IPv4Address
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)


@dataclass(frozen=True)
class Network:
    """One subnet of hosts.

    `interface` is mayu's own on it, and `address` mayu's address there: the DHCP server identifier, the TFTP server and the
    host part of every URL. A network without them is reached through relays: their giaddr is an address of the subnet, or one
    of `relays`. An `extra` network gives every host a second address, for a further NIC, and boots nobody.
    `lease_time` is what clients are told (60 s at least); a host keeps its address however long it is away. `conflict_check` asks
    the wire before an address is given to a new host. `nic` is the hosts' own NIC in it. `owner` is the DHCP server beside which
    mayu is `dhcp: proxy`.
    """

    name: str
    subnet: IPv4Network
    interface: str | None = None
    address: IPv4Address | None = None
    dhcp: DhcpMode = DhcpMode.AUTHORITATIVE
    relays: tuple[IPv4Address, ...] = ()
    extra: bool = False
    range: AddressRange | None = None
    gateway: IPv4Address | None = None
    routes: tuple[Route, ...] = ()
    dns: tuple[IPv4Address, ...] = ()
    ntp: tuple[IPv4Address, ...] = ()
    domain: str | None = None
    search: tuple[str, ...] = ()
    nic: Nic | None = None
    lease_time: Duration = field(default=Duration(3600.0))
    conflict_check: bool = False
    owner: IPv4Address | None = None
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)

    def address_of(self, host: Host) -> IPv4Address | None:
        """The address that a host has in this network."""
        if host.address is not None and host.address in self.subnet:
            return host.address
        return host.addresses.get(self.name)
