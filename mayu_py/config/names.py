"""Rules for DNS."""

from collections.abc import Iterator

from ignition.document import Problem
from mayu_py.config.findings import listed
from mayu_py.core.faces import Dns
from mayu_py.core.inventory import configured
from mayu_py.core.records import SERVER_LABEL, qualified, records
from mayu_py.core.settings import Settings
from mayu_py.core.zones import Type, Zones

LONGEST_DNS_TTL = 86400
# A name of 253 characters holds a dot between the two, and for a wildcard "*." before them.
LONGEST_DNS_NAMES = 250
# What fits into one datagram with room to spare: answers that need TCP make a cluster slow, not large.
MOST_ADDRESSES = 32


def _dns(settings: Settings) -> Iterator[Problem]:
    dns = settings.dns
    if dns is None:
        return
    if not 1 <= dns.port <= 65535:
        yield dns.origin.error(f"{dns.port} is no port", "port", hint="1 to 65535; 53 is the default")
    if not 1 <= dns.seconds <= LONGEST_DNS_TTL:
        yield dns.origin.error(f"{dns.ttl} is no TTL for a rack's names", "ttl", hint="1s to 1d; 60s is the default")
    own = [network.address for network in settings.local]
    for number, forwarder in enumerate(dns.forwarders):
        if forwarder.port == dns.port and forwarder.address in own:
            yield dns.origin.error(
                "mayu would ask itself", "forwarders", number, hint="name the servers that mayu itself asks: see /etc/resolv.conf"
            )
    if dns.etcd is not None and settings.profile(dns.etcd.profile) is None:
        hint = f"profiles: {listed(profile.name for profile in settings.profiles)}"
        yield dns.etcd.origin.error(f"there is no profile {dns.etcd.profile!r}", "profile", hint=hint)
    yield from _dns_addresses(dns)
    yield from _dns_names(settings, dns)


def _dns_addresses(dns: Dns) -> Iterator[Problem]:
    for key, section in (("records", dns.records), ("wildcards", dns.wildcards)):
        for name, addresses in section.items():
            if not 1 <= len(addresses) <= MOST_ADDRESSES:
                yield dns.origin.error(f"{name} has {len(addresses)} addresses", key, name, hint=f"1 to {MOST_ADDRESSES}")


def _dns_names(settings: Settings, dns: Dns) -> Iterator[Problem]:
    """Every name is used once, is not too long, and every alias leads to an address."""
    taken = {SERVER_LABEL: "mayu's own name"}
    for host in settings.hosts:
        if host.name == SERVER_LABEL:
            yield host.origin.error(f"{SERVER_LABEL!r} is mayu's own name in the zone {dns.zone}", "name", hint="choose another")
        taken.setdefault(host.name, f"a host, at {host.origin.mark}")
    for key, section in (("records", dns.records), ("aliases", dns.aliases)):
        for name in section:
            if name in taken:
                yield dns.origin.error(f"{name} is used twice", key, name, hint=f"it is {taken[name]}")
            taken.setdefault(name, f"in {key}, at {dns.origin.at(key, name)}")
    for key, names in (("records", dns.records), ("aliases", dns.aliases), ("wildcards", dns.wildcards)):
        for name in names:
            if len(name) + len(dns.zone) > LONGEST_DNS_NAMES:
                yield dns.origin.error(f"{name}.{dns.zone} is too long for a name", key, name, hint="253 characters at most")
    zones = Zones.of(records(dns, settings, configured(settings), 1))
    for name, target in dns.aliases.items():
        found = zones.answer(qualified(dns, name), Type.A)
        if found is None or not any(record.type is Type.A for record in found.answer):
            hint = f"the target is a name below {dns.zone}, such as a host's"
            yield dns.origin.error(f"the alias leads to {target}.{dns.zone}, which has no address", "aliases", name, hint=hint)


RULES = (_dns,)
