"""The inventory: hosts that the config names, hosts that enrolled themselves, and what machines told about themselves."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from mayu_py.core.hosts import Host, Identity, Uuid
from mayu_py.core.settings import Settings
from mayu_py.core.snapshot import Snapshot
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
        with_profile(host, settings)
        for host in enrolled
        if host.name not in names and host.address not in addresses and not macs.intersection(host.macs)
    )
    return tuple(_with(host, told.get(host.name)) for host in (*named, *rest))


def with_profile(host: Host, settings: Settings) -> Host:
    """An enrolled host has no profile of its own until somebody gives it one: it has the default, if there is one."""
    return replace(host, profile=host.profile or settings.default_profile)


def _with(host: Host, told: Told | None) -> Host:
    if told is None:
        return host
    return replace(host, serial=host.serial or told.serial, uuid=host.uuid or told.uuid)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The outcome for each machine of a batch, in its order, and those of the hosts that are new."""

    results: tuple[Host | RangeExhausted, ...]
    new: tuple[Host, ...]


def enrol(identities: Iterable[Identity], snapshot: Snapshot) -> Enrolment:
    """A record for each machine: its own if it is known, else the lowest free address with dashes for a name.

    One machine may come several times. A machine for which there is no address gets the error, the others their records.
    """
    network = snapshot.settings.network
    taken = {network.address, *snapshot.by_address}
    if network.gateway is not None:
        taken.add(network.gateway)
    results: list[Host | RangeExhausted] = []
    new: dict[str, Host] = {}
    by_sign: dict[str, Host] = {}
    for identity in identities:
        signs = [sign for sign in (identity.serial, identity.uuid, identity.mac) if sign]
        host = snapshot.find(identity)[0] or next((by_sign[sign] for sign in signs if sign in by_sign), None)
        if host is None:
            try:
                host = _record(identity, taken, snapshot.settings)
            except RangeExhausted as error:
                results.append(error)
                continue
            taken.add(host.address)
            new[host.name] = host
            by_sign |= dict.fromkeys(signs, host)
        results.append(host)
    return Enrolment(tuple(results), tuple(new.values()))


def _record(identity: Identity, taken: Collection[IPv4Address], settings: Settings) -> Host:
    network = settings.network
    if network.range is None:
        raise RangeExhausted(
            f"network at {network.origin.mark} has no range to enrol {identity} from",
            hint="give `network` a `range`, or set `unknown_hosts: ignore`",
        )
    address = network.range.addresses.first_free(taken)
    return Host(
        name=str(address).replace(".", "-"),
        address=address,
        macs=(identity.mac,) if identity.mac else (),
        serial=identity.serial,
        uuid=identity.uuid,
        origin="enrolled",
    )
