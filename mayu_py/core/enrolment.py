"""Enrolment: a record, an address and a profile for each machine that nobody has named."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.core.hosts import ENROLLED, Host, Identity
from mayu_py.core.inventory import Changes, Note, all_addresses
from mayu_py.core.settings import Network, UnknownHosts
from mayu_py.core.snapshot import Snapshot
from mayu_py.errors import RangeExhausted


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The outcome for each machine of a batch, in its order, and those of the hosts that are new."""

    results: tuple[Host | RangeExhausted, ...]
    new: tuple[Host, ...]

    @property
    def changes(self) -> Changes:
        """What it does to the inventory."""
        notes = (Note("enrolled", host, {"address": str(host.address), "profile": host.profile}) for host in self.new)
        return Changes(new=self.new, notes=tuple(notes))


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An unknown machine, and the network that it asked from."""

    identity: Identity
    network: Network


def enrol(newcomers: Iterable[Newcomer], snapshot: Snapshot) -> Enrolment:
    """A record for each machine: its own if it is known, else a new one with dashes of its address for a name.

    One machine may come several times. A machine for which there is no address gets the error, the others their records.
    """
    registry = _Registry(snapshot)
    results: list[Host | RangeExhausted] = []
    for newcomer in newcomers:
        try:
            results.append(registry.host(newcomer))
        except RangeExhausted as error:
            results.append(error)
    return Enrolment(tuple(results), tuple(registry.new.values()))


class _Registry:
    """Gives out addresses and profiles to the machines of one batch."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._settings = snapshot.settings
        self.new: dict[str, Host] = {}
        self._by_sign: dict[str, Host] = {}
        self._taken = set(snapshot.by_address)
        for network in self._settings.networks:
            self._taken |= {address for address in (network.address, network.gateway) if address is not None}
        self._members = Counter(host.profile for host in snapshot.hosts.values())

    def host(self, newcomer: Newcomer) -> Host:
        """The machine's record. Raises RangeExhausted."""
        identity = newcomer.identity
        signs = [sign for sign in (identity.serial, identity.uuid, identity.mac) if sign]
        host = self._snapshot.find(identity)[0] or next((self._by_sign[sign] for sign in signs if sign in self._by_sign), None)
        if host is None:
            host = self._record(newcomer)
            self._taken.update(all_addresses(host))
            self._members[host.profile] += 1
            self.new[host.name] = host
            self._by_sign |= dict.fromkeys(signs, host)
        return host

    def _record(self, newcomer: Newcomer) -> Host:
        identity = newcomer.identity
        address = self._address(newcomer.network, identity)
        extra = (network for network in self._settings.networks if network.extra and network.range is not None)
        return Host(
            name=str(address).replace(".", "-"),
            address=address,
            macs=(identity.mac,) if identity.mac else (),
            serial=identity.serial,
            uuid=identity.uuid,
            profile=self._profile(),
            addresses={network.name: self._address(network, identity) for network in extra},
            origin=ENROLLED,
        )

    def _address(self, network: Network, identity: Identity) -> IPv4Address:
        """The lowest free address of a network's range."""
        if network.range is None:
            raise RangeExhausted(
                f"network {network.name} ({network.origin.mark}) has no range to enrol {identity} from",
                hint="give the network a `range`, or set `unknown_hosts: ignore`",
            )
        return network.range.of(network.name).first_free(self._taken)

    def _profile(self) -> str | None:
        """The first profile, in the config's order, that has fewer hosts than its quantity; else the default."""
        if self._settings.unknown_hosts is UnknownHosts.QUARANTINE:
            return None
        wanting = (p for p in self._settings.profiles if p.quantity is not None and self._members[p.name] < p.quantity)
        profile = next(wanting, None)
        return profile.name if profile else self._settings.default_profile
