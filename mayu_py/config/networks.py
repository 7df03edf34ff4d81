"""Rules for networks: what each says, and what they say of each other."""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

from ignition.document import Problem
from mayu_py.config.findings import LABEL, LABEL_HINT, unique, usable
from mayu_py.core.networks import DhcpMode, Network
from mayu_py.core.settings import Settings

MINIMUM_LEASE_SECONDS = 60.0
LABEL_BYTES = 63


def _set(settings: Settings) -> Iterator[Problem]:
    networks = settings.networks
    if not networks:
        yield settings.origin.error("there is no network to serve", "networks", hint="- {name, subnet, interface, address}")
        return
    if not settings.local:
        hint = "give one of them the `interface` that mayu has there, and mayu's `address`"
        yield settings.origin.error("mayu itself is on none of the networks", "networks", hint=hint)
    if not settings.boot_networks:
        yield settings.origin.error("every network is extra, so nobody can boot", "networks")
    yield from unique(((n.name, n.origin, ("name",)) for n in networks), "the network name")
    yield from unique(((n.interface, n.origin, ("interface",)) for n in networks if n.interface), "the interface")
    relays = ((str(relay), n.origin, ("relays", i)) for n in networks for i, relay in enumerate(n.relays))
    yield from unique(relays, "the relay")
    for one, other in combinations(networks, 2):
        if one.subnet.overlaps(other.subnet):
            hint = f"{one.name} at {one.origin.at('subnet')} has {one.subnet}"
            yield other.origin.error(f"the subnet {other.subnet} overlaps that of network {one.name}", "subnet", hint=hint)


def _each(settings: Settings) -> Iterator[Problem]:
    for network in settings.networks:
        for rule in _EACH:
            yield from rule(network)


def _names(network: Network) -> Iterator[Problem]:
    if not LABEL.fullmatch(network.name):
        yield network.origin.error(f"{network.name!r} cannot name a network", "name", hint=LABEL_HINT)
    names = [] if network.domain is None else [(network.domain, ("domain",))]
    for name, steps in (*names, *((name, ("search", n)) for n, name in enumerate(network.search))):
        if not all(LABEL.fullmatch(label) for label in name.rstrip(".").split(".")):
            yield network.origin.error(f"{name!r} is no domain name", *steps, hint=LABEL_HINT)


def _interface(network: Network) -> Iterator[Problem]:
    if (network.interface is None) != (network.address is None):
        missing, given = ("interface", "address") if network.interface is None else ("address", "interface")
        yield network.origin.error(f"there is no `{missing}` beside `{given}`", given, hint="mayu is on a network with both")
    if network.lease_time.seconds < MINIMUM_LEASE_SECONDS:
        hint = "60s is the least; 1h is usual"
        yield network.origin.error(f"{network.lease_time} is too short for a lease", "lease_time", hint=hint)


def _addresses(network: Network) -> Iterator[Problem]:
    subnet, origin = network.subnet, network.origin
    for key, address in (("address", network.address), ("gateway", network.gateway)):
        if address is None:
            continue
        if address not in subnet:
            yield origin.error(f"{address} is not in the subnet {subnet}", key, hint=usable(subnet))
        elif subnet.prefixlen < 31 and address in (subnet.network_address, subnet.broadcast_address):
            yield origin.error(f"{address} is the subnet's own or its broadcast address", key, hint=usable(subnet))
    for n, route in enumerate(network.routes):
        if route.via not in subnet:
            hint = f"hosts reach only routers in {subnet}"
            yield origin.error(f"{route.via} is not in the subnet {subnet}", "routes", n, "via", hint=hint)


def _range(network: Network) -> Iterator[Problem]:
    if network.range is None:
        return
    start, end, origin, subnet = network.range.start, network.range.end, network.range.origin, network.subnet
    if start > end:
        hint = f"start: {end}, end: {start}"
        yield origin.error(f"the range is reversed: it starts at {start} and ends at {end}", "start", hint=hint)
    for key, address in (("start", start), ("end", end)):
        if address not in subnet:
            yield origin.error(f"{address} is not in the subnet {subnet}", key, hint=usable(subnet))
        elif subnet.prefixlen < 31 and address in (subnet.network_address, subnet.broadcast_address):
            yield origin.error(f"{address} is the subnet's own or its broadcast address", key, hint=usable(subnet))


def _dhcp(network: Network) -> Iterator[Problem]:
    """What cannot be had together."""
    origin, mode = network.origin, network.dhcp
    if mode is DhcpMode.PROXY and network.range is not None:
        hint = "take the range away, or set `dhcp: authoritative`"
        yield origin.error(f"another server hands out the addresses of network {network.name}", "range", hint=hint)
    if mode is DhcpMode.PROXY and network.extra:
        why = f"network {network.name} is extra: nobody boots from it, and boot files are all that a proxy hands out"
        yield origin.error(why, "dhcp", hint="give it `dhcp: authoritative`, or `off`")
    if network.owner is not None and mode is not DhcpMode.PROXY:
        hint = "set `dhcp: proxy` where another server owns the addresses"
        yield origin.error(f"`owner` goes with `dhcp: proxy`; here it is `{mode}`", "owner", hint=hint)
    if network.owner is not None and network.owner == network.address:
        yield origin.error(f"{network.owner} is mayu's own address", "owner", hint="the other DHCP server's address is wanted")
    if network.conflict_check and mode is not DhcpMode.AUTHORITATIVE:
        yield origin.error("mayu hands out no addresses that could be checked", "conflict_check", hint=f"dhcp is `{mode}`")
    elif network.conflict_check and network.extra:
        why = "addresses in an extra network are given out together with those of the network that hosts boot from"
        yield origin.error(why, "conflict_check", hint="it can be set for networks that hosts boot from")
    elif network.conflict_check and network.interface is None:
        why = "ARP does not pass a relay"
        yield origin.error(why, "conflict_check", hint="it can be set for networks that mayu has an `interface` on")


def _room(settings: Settings) -> Iterator[Problem]:
    """Whether the ranges have room for all hosts that the profiles want."""
    wanted = sum(profile.quantity or 0 for profile in settings.profiles)
    ranges = [network.range.of(network.name) for network in settings.boot_networks if network.range is not None]
    taken = {a for host in settings.hosts for a in (host.address, *host.addresses.values()) if a is not None}
    taken |= {address for n in settings.networks for address in (n.address, n.gateway) if address is not None}
    # A host that the config names counts for its profile, too, and so needs no room of a range.
    wanted -= sum(1 for host in settings.hosts if (p := settings.profile(host.profile)) and p.quantity)
    free = sum(len(range_) - sum(address in range_ for address in taken) for range_ in ranges)
    if ranges and wanted > free:
        profile = next(profile for profile in settings.profiles if profile.quantity)
        hint = "widen a range, or lower a quantity"
        why = f"the profiles want {wanted} hosts, but the ranges have {free} free addresses"
        yield profile.origin.error(why, "quantity", hint=hint)


_EACH: tuple[Callable[[Network], Iterable[Problem]], ...] = (_names, _interface, _addresses, _range, _dhcp)
RULES = (_set, _each, _room)
