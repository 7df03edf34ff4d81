"""The inventory: hosts that the config names, hosts that enrolled themselves, and what machines told about themselves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mayu_py.core.hosts import Host, Identity, Uuid
from mayu_py.core.settings import Settings
from mayu_py.errors import RangeExhausted


@dataclass(frozen=True, slots=True)
class Told:
    """What a machine told about itself and its config entry does not say."""

    serial: str | None = None
    uuid: Uuid | None = None


def configured(settings: Settings) -> tuple[Host, ...]:
    """The hosts that the config names, in its order."""
    return tuple(
        Host(
            name=entry.name,
            address=entry.address,
            macs=entry.macs,
            serial=entry.serial,
            uuid=entry.uuid,
            profile=entry.profile,
            values=entry.values,
            origin=str(entry.origin.mark),
        )
        for entry in settings.hosts
    )


def compose(settings: Settings, enrolled: Iterable[Host], told: Mapping[str, Told]) -> tuple[Host, ...]:
    """The whole inventory. The config wins: an enrolled record gives way to an entry with its name, address or MAC."""
    named = configured(settings)
    names = {host.name for host in named}
    addresses = {host.address for host in named}
    macs = {mac for host in named for mac in host.macs}
    rest = (
        replace(host, profile=host.profile or settings.default_profile)
        for host in enrolled
        if host.name not in names and host.address not in addresses and not macs.intersection(host.macs)
    )
    return tuple(_with(host, told.get(host.name)) for host in (*named, *rest))


def _with(host: Host, told: Told | None) -> Host:
    if told is None:
        return host
    return replace(host, serial=host.serial or told.serial, uuid=host.uuid or told.uuid)


def enrol(identity: Identity, hosts: Iterable[Host], settings: Settings) -> Host:
    """A record for a machine nobody knows: the lowest free address, and the address with dashes for a name.

    Raises RangeExhausted when there is no range or no address left in it.
    """
    network = settings.network
    if network.range is None:
        raise RangeExhausted(
            f"network at {network.origin.mark} has no range to enrol {identity} from",
            hint="give `network` a `range`, or set `unknown_hosts: ignore`",
        )
    taken = {network.address, *(host.address for host in hosts)}
    if network.gateway is not None:
        taken.add(network.gateway)
    address = network.range.addresses.first_free(taken)
    return Host(
        name=str(address).replace(".", "-"),
        address=address,
        macs=(identity.mac,) if identity.mac else (),
        serial=identity.serial,
        uuid=identity.uuid,
        origin="enrolled",
    )
