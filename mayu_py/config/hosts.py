"""Rules for profiles, and for the hosts that the config names."""

from collections.abc import Iterator

from ignition.document import Problem
from mayu_py.config.findings import LABEL, LABEL_HINT, listed, unique, usable
from mayu_py.core.networks import DhcpMode
from mayu_py.core.settings import HostEntry, Settings


def _profiles(settings: Settings) -> Iterator[Problem]:
    yield from unique(((p.name, p.origin, ("name",)) for p in settings.profiles), "the profile name")
    for profile in settings.profiles:
        if profile.image not in settings.images:
            hint = f"images: {listed(settings.images)}"
            yield profile.origin.error(f"there is no image {profile.image!r}", "image", hint=hint)
        if profile.quantity is not None and profile.quantity < 0:
            yield profile.origin.error(f"{profile.quantity} hosts", "quantity", hint="0 or more; leave it out for no quota")
    names = [profile.name for profile in settings.profiles]
    if settings.default_profile is not None and settings.default_profile not in names:
        hint = f"profiles: {listed(names)}"
        yield settings.origin.error(f"there is no profile {settings.default_profile!r}", "default_profile", hint=hint)


def _identities(settings: Settings) -> Iterator[Problem]:
    hosts = settings.hosts
    yield from unique(((h.name, h.origin, ("name",)) for h in hosts), "the host name")
    yield from unique(((h.serial, h.origin, ("serial",)) for h in hosts if h.serial), "the serial")
    yield from unique(((h.uuid, h.origin, ("uuid",)) for h in hosts if h.uuid), "the uuid")
    yield from unique(((mac, h.origin, ("macs", n)) for h in hosts for n, mac in enumerate(h.macs)), "the MAC")
    for host in hosts:
        if not LABEL.fullmatch(host.name):
            yield host.origin.error(f"{host.name!r} is no host name", "name", hint=LABEL_HINT)
        for n, mac in enumerate(host.macs):
            if mac in settings.ignored_hosts:
                where = settings.origin.at("ignored_hosts", settings.ignored_hosts.index(mac))
                yield host.origin.error(f"{mac} is ignored, so {host.name} can never boot", "macs", n, hint=f"see {where}")
        # A list of MACs that could not be read has its own problem already.
        if not host.macs and not host.uuid and host.origin.at("macs") == host.origin.mark:
            hint = "give it `macs`, or the `uuid` of its board"
            yield host.origin.error("nothing tells this host from others in a DHCP packet", hint=hint)


def _choices(settings: Settings) -> Iterator[Problem]:
    profiles = [profile.name for profile in settings.profiles]
    for host in settings.hosts:
        if host.profile not in profiles:
            yield host.origin.error(f"there is no profile {host.profile!r}", "profile", hint=f"profiles: {listed(profiles)}")
        if host.image is not None and host.image not in settings.images:
            hint = f"images: {listed(settings.images)}"
            yield host.origin.error(f"there is no image {host.image!r}", "image", hint=hint)


def _addresses(settings: Settings) -> Iterator[Problem]:
    own = {address for n in settings.networks for address in (n.address, n.gateway) if address is not None}
    yield from unique(
        (
            (str(address), host.origin, steps)
            for host in settings.hosts
            for steps, address in (
                *(((("address",), host.address),) if host.address is not None else ()),
                *((("addresses", network), address) for network, address in host.addresses.items()),
            )
        ),
        "the address",
    )
    for host in settings.hosts:
        yield from _boot_address(host, settings)
        yield from _extra_addresses(host, settings)
        if host.address in own:
            yield host.origin.error(f"{host.address} is the server's or the gateway's own address", "address")


def _boot_address(host: HostEntry, settings: Settings) -> Iterator[Problem]:
    boot = settings.boot_networks
    if host.address is None:
        if not any(network.dhcp is DhcpMode.PROXY for network in boot):
            hint = "only where another server hands out the addresses (`dhcp: proxy`) can it be left out"
            yield host.origin.error(f"{host.name} has no `address`", hint=hint)
        return
    network = settings.network_of(host.address)
    if network is None and len(boot) == 1:
        hint = usable(boot[0].subnet)
        yield host.origin.error(f"{host.address} is not in the subnet {boot[0].subnet}", "address", hint=hint)
    elif network is None:
        hint = f"the networks have {listed(str(network.subnet) for network in boot)}"
        yield host.origin.error(f"{host.address} is in no network", "address", hint=hint)
    elif network.extra:
        hint = f"write it under `addresses: {{{network.name}: {host.address}}}`"
        yield host.origin.error(
            f"{host.address} is in the extra network {network.name}; hosts boot elsewhere", "address", hint=hint
        )


def _extra_addresses(host: HostEntry, settings: Settings) -> Iterator[Problem]:
    extra = {network.name: network for network in settings.networks if network.extra}
    for name, address in host.addresses.items():
        if name not in extra:
            hint = f"extra networks: {listed(extra)}"
            yield host.origin.error(f"there is no extra network {name!r}", "addresses", name, hint=hint)
        elif address not in extra[name].subnet:
            hint = usable(extra[name].subnet)
            yield host.origin.error(f"{address} is not in the subnet {extra[name].subnet}", "addresses", name, hint=hint)


RULES = (_profiles, _identities, _choices, _addresses)
