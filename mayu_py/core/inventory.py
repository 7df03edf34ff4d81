"""The inventory: hosts that the config names, hosts that enrolled themselves, what machines told, what operators set."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Any

from mayu_py.core.exchange import Event
from mayu_py.core.hosts import Facts, Host, Uuid
from mayu_py.core.settings import Settings

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Told:
    """What a machine told about itself and its config entry does not say.

    `installed`: it has run from its disk. `address` is where it was heard of last, if another server gives it its address.
    """

    serial: str | None = None
    uuid: Uuid | None = None
    os_version: str = ""
    installed: bool = False
    address: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Edits:
    """What operators set for one host. `values` lie over those of the config; `facts.os_version` is the machine's to tell."""

    profile: str | None = None
    image: str | None = None
    values: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    facts: Facts = field(default_factory=Facts)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the store adds to the config. `revision` moves with every change of it."""

    revision: int = 0
    enrolled: tuple[Host, ...] = ()
    told: Mapping[str, Told] = field(default_factory=lambda: _EMPTY)
    edits: Mapping[str, Edits] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the history: what was done to a host, by whom."""

    kind: str
    host: Host
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Changes:
    """One step of the inventory.

    `moved` are enrolled hosts that have another address from now on. `gone` are names of hosts to be forgotten; `fresh` of those
    to be installed anew; `settled` of those that boot from their disk from now on; `anew` of those whose state begins anew.
    `events` move hosts: one that is not legal undoes the whole step.
    """

    new: tuple[Host, ...] = ()
    moved: tuple[Host, ...] = ()
    edits: Mapping[str, Edits] = field(default_factory=lambda: _EMPTY)
    gone: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    notes: tuple[Note, ...] = ()


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
            addresses=entry.addresses,
            image=entry.image,
            values=entry.values,
            proxied=entry.address is None,
            origin=str(entry.origin.mark),
        )
        for entry in settings.hosts
    )


def compose(settings: Settings, inventory: Inventory) -> tuple[Host, ...]:
    """All hosts. The config wins: an enrolled record gives way to an entry with its name, an address or a MAC of it."""
    named = configured(settings)
    names = {host.name for host in named}
    addresses = {address for host in named for address in host.all_addresses}
    macs = {mac for host in named for mac in host.macs}
    rest = (
        host
        for host in inventory.enrolled
        if host.name not in names and addresses.isdisjoint(host.all_addresses) and not macs.intersection(host.macs)
    )
    told, edits = inventory.told, inventory.edits
    return tuple(_edited(_with(host, told.get(host.name)), edits.get(host.name)) for host in (*named, *rest))


def _with(host: Host, told: Told | None) -> Host:
    if told is None:
        return host
    return replace(
        host,
        address=told.address if host.proxied else host.address,
        serial=host.serial or told.serial,
        uuid=host.uuid or told.uuid,
        installed=told.installed,
        facts=replace(host.facts, os_version=told.os_version),
    )


def _edited(host: Host, edits: Edits | None) -> Host:
    if edits is None:
        return host
    return replace(
        host,
        profile=host.profile if host.is_configured else edits.profile or host.profile,
        image=host.image or edits.image,
        values={**host.values, **edits.values},
        facts=replace(edits.facts, os_version=host.facts.os_version),
    )
