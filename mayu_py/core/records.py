"""The rack's DNS records: what the inventory and the `dns` section of the config say, as records of whole zones."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from mayu_py.core.faces import Dns
from mayu_py.core.hosts import Host
from mayu_py.core.settings import Settings
from mayu_py.core.zones import WILDCARD, Data, Name, Record, Type

# The server's own name below the zone.
SERVER_LABEL = "ns"
# Nobody transfers these zones, so what a secondary would do only has to be sensible (RIPE-203).
REFRESH, RETRY, EXPIRE = 3600, 600, 604800
# How long others may remember that a name does not exist: a machine that enrols has one the moment after.
NEGATIVE_TTL = 5

ETCD_SERVER_PORT = 2380
ETCD_CLIENT_PORT = 2379


def records(dns: Dns, settings: Settings, hosts: Iterable[Host], serial: int) -> list[Record]:
    """Every record of the forward zone and of the reverse zones, hosts in the order they come.

    A host's name wins over a static record of the same name, and either over an alias.
    """
    hosts = tuple(hosts)
    return [*_forward(dns, settings, hosts, serial), *_reverse(dns, settings, hosts, serial)]


def qualified(dns: Dns, relative: str) -> Name:
    """A name below the zone."""
    return (*_labels(relative), *dns.zone.labels)


def _labels(text: str) -> Name:
    return tuple(text.encode().split(b"."))


def _forward(dns: Dns, settings: Settings, hosts: tuple[Host, ...], serial: int) -> Iterator[Record]:
    ttl = dns.seconds
    server = qualified(dns, SERVER_LABEL)
    yield from _apex(dns, dns.zone.labels, serial)
    taken = {server}
    yield Record(server, Type.A, ttl, (settings.address().packed,))
    for host in hosts:
        taken.add(qualified(dns, host.name))
        if host.address is not None:
            yield Record(qualified(dns, host.name), Type.A, ttl, (host.address.packed,))
    static = [(qualified(dns, relative), addresses) for relative, addresses in dns.records.items()]
    static = [(name, addresses) for name, addresses in static if name not in taken]
    clusters = [((WILDCARD, *qualified(dns, relative)), addresses) for relative, addresses in dns.wildcards.items()]
    for name, addresses in (*static, *clusters):
        taken.add(name)
        for address in dict.fromkeys(addresses):
            yield Record(name, Type.A, ttl, (address.packed,))
    services = list(_etcd(dns, hosts))
    taken.update(record.owner for record in services)
    yield from services
    for relative, target in dns.aliases.items():
        if (name := qualified(dns, relative)) not in taken:
            yield Record(name, Type.CNAME, ttl, (qualified(dns, target),))


def _etcd(dns: Dns, hosts: Iterable[Host]) -> Iterator[Record]:
    """What etcd's discovery asks for: its members' addresses for each other and for their clients."""
    if dns.etcd is None:
        return
    members = [qualified(dns, host.name) for host in hosts if host.profile == dns.etcd.profile]
    suffix = "-ssl" if dns.etcd.tls else ""
    for service, port in (("server", ETCD_SERVER_PORT), ("client", ETCD_CLIENT_PORT)):
        owner = qualified(dns, f"_etcd-{service}{suffix}._tcp")
        for member in members:
            yield Record(owner, Type.SRV, dns.seconds, (0, 0, port, member))


def _reverse(dns: Dns, settings: Settings, hosts: Iterable[Host], serial: int) -> Iterator[Record]:
    subnets = [network.subnet for network in settings.networks]
    for zone in dict.fromkeys(zone for subnet in subnets for zone in reverse_zones(subnet)):
        yield from _apex(dns, zone, serial)
    names = {network.address: qualified(dns, SERVER_LABEL) for network in settings.local if network.address is not None}
    for host in hosts:
        for address in host.all_addresses:
            names.setdefault(address, qualified(dns, host.name))
    for relative, addresses in dns.records.items():
        for address in addresses:
            names.setdefault(address, qualified(dns, relative))
    for address, name in names.items():
        if any(address in subnet for subnet in subnets):
            yield Record(reverse_name(address), Type.PTR, dns.seconds, (name,))


def reverse_name(address: IPv4Address) -> Name:
    """Where an address's PTR stands (RFC 1035, section 3.5)."""
    return _labels(address.reverse_pointer)


def reverse_zones(subnet: IPv4Network) -> Iterator[Name]:
    """The zones that hold the subnet's addresses and no other: in-addr.arpa divides at whole octets only."""
    octets = -(-subnet.prefixlen // 8)
    for part in subnet.subnets(new_prefix=octets * 8):
        yield reverse_name(part.network_address)[4 - octets :]


def _apex(dns: Dns, apex: Name, serial: int) -> Iterator[Record]:
    server = qualified(dns, SERVER_LABEL)
    times: Data = (serial % 2**32, REFRESH, RETRY, EXPIRE, NEGATIVE_TTL)
    yield Record(apex, Type.SOA, dns.seconds, (server, (b"hostmaster", *dns.zone.labels), *times))
    yield Record(apex, Type.NS, dns.seconds, (server,))
