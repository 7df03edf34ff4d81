"""Enrolment: a record, an address and a profile for each machine that nobody has named."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from itertools import chain, count

from mayu_py.core.hosts import ENROLLED, Host, Identity
from mayu_py.core.inventory import Changes, Inventory, Note
from mayu_py.core.networks import DhcpMode, Network
from mayu_py.core.settings import UnknownHosts
from mayu_py.core.snapshot import Snapshot
from mayu_py.errors import AddressTaken, RangeExhausted


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The outcome for each machine of a batch, in its order, and those of the hosts that are new."""

    results: tuple[Host | RangeExhausted, ...]
    new: tuple[Host, ...]

    @property
    def changes(self) -> Changes:
        """What it does to the inventory."""
        notes = (Note("enrolled", host, {"address": _text(host.address), "profile": host.profile}) for host in self.new)
        return Changes(new=self.new, notes=tuple(notes))


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An unknown machine, and the network that it asked from. `address` is one that nobody was found at."""

    identity: Identity
    network: Network
    address: IPv4Address | None = None


def enrol(newcomers: Iterable[Newcomer], snapshot: Snapshot, avoid: Collection[IPv4Address] = ()) -> Enrolment:
    """A record for each machine: its own if it is known, else a new one with dashes of its address for a name.

    Where another server gives out the addresses it has none, and the name is of its MAC. Addresses in `avoid` are somebody
    else's. One machine may come several times. A machine for which there is no address gets the error, the others their records.
    """
    return Registry(snapshot).enrol(newcomers, avoid)


def candidate(network: Network, snapshot: Snapshot, avoid: Collection[IPv4Address]) -> IPv4Address:
    """The address that the next machine of a network would be given. Raises RangeExhausted."""
    return Registry(snapshot, avoid).address(network)


def readdress(
    host: Host,
    network: Network,
    inventory: Inventory,
    snapshot: Snapshot,
    avoid: Collection[IPv4Address],
    chosen: IPv4Address | None = None,
) -> Changes:
    """Another address in `network` for an enrolled host; none if it is not enrolled any more. Raises RangeExhausted."""
    record = next((record for record in inventory.enrolled if record.name == host.name), None)
    if record is None:
        return Changes()
    address = Registry(snapshot, avoid).address(network, chosen, host.name)
    addresses = {**record.addresses, network.name: address} if network.extra else record.addresses
    moved = replace(record, address=record.address if network.extra else address, addresses=addresses)
    before = _text(network.address_of(record))
    return Changes(moved=(moved,), notes=(Note("readdressed", moved, {"from": before, "to": str(address)}),))


def _text(address: IPv4Address | None) -> str | None:
    return None if address is None else str(address)


class Registry:
    """Gives out addresses and profiles, to one batch of machines after the other.

    What is taken is looked up in all hosts once. `snapshot` is the one that it agrees with.
    """

    def __init__(self, snapshot: Snapshot, avoid: Collection[IPv4Address] = ()) -> None:
        self.snapshot = snapshot
        self._settings = snapshot.settings
        self._avoid = set(map(int, avoid))
        self._new: dict[str, Host] = {}
        self._by_sign: dict[str, Host] = {}
        self._taken = set(map(int, snapshot.by_address))
        for network in self._settings.networks:
            self._taken |= {int(address) for address in (network.address, network.gateway) if address is not None}
        self._last: dict[str, int] = {}  # In each network all addresses of the range up to this one are taken.
        self._members = Counter(host.profile for host in snapshot.hosts.values())

    def enrol(self, newcomers: Iterable[Newcomer], avoid: Collection[IPv4Address] = ()) -> Enrolment:
        """As the function does. If it is kept, `follow` must be called before the next batch."""
        self._avoid = set(map(int, avoid))
        results: list[Host | RangeExhausted] = []
        for newcomer in newcomers:
            try:
                results.append(self._host(newcomer))
            except RangeExhausted as error:
                results.append(error)
        return Enrolment(tuple(results), tuple(self._new.values()))

    def follow(self, snapshot: Snapshot) -> None:
        """What was given out is in this snapshot, which has no other news."""
        self.snapshot = snapshot
        self._new.clear()
        self._by_sign.clear()

    def _host(self, newcomer: Newcomer) -> Host:
        """The machine's record. Raises RangeExhausted."""
        identity = newcomer.identity
        signs = [sign for sign in (identity.serial, identity.uuid, identity.mac) if sign]
        host = self.snapshot.find(identity)[0] or next((self._by_sign[sign] for sign in signs if sign in self._by_sign), None)
        if host is None:
            host = self._record(newcomer)
            self._taken.update(map(int, host.all_addresses))
            self._members[host.profile] += 1
            self._new[host.name] = host
            self._by_sign |= dict.fromkeys(signs, host)
        return host

    def _record(self, newcomer: Newcomer) -> Host:
        identity = newcomer.identity
        proxied = newcomer.network.dhcp is DhcpMode.PROXY
        address = None if proxied else self.address(newcomer.network, newcomer.address, str(identity))
        extra = (network for network in self._settings.networks if network.extra and network.range is not None)
        return Host(
            name=self._name(str(address or identity.mac).replace(".", "-").replace(":", "-")),
            address=address,
            macs=(identity.mac,) if identity.mac else (),
            serial=identity.serial,
            uuid=identity.uuid,
            profile=self._profile(),
            addresses={network.name: self.address(network, None, str(identity)) for network in extra},
            proxied=proxied,
            origin=ENROLLED,
        )

    def _name(self, wanted: str) -> str:
        """A name that is free: a host whose address was changed keeps the name that it was enrolled under."""
        names = chain((wanted,), (f"{wanted}-{number}" for number in count(2)))
        return next(name for name in names if name not in self.snapshot.hosts and name not in self._new)

    def address(self, network: Network, chosen: IPv4Address | None = None, who: str = "a host") -> IPv4Address:
        """The address that was chosen for the machine, or the lowest free one of a network's range."""
        if network.range is None:
            raise RangeExhausted(
                f"network {network.name} ({network.origin.mark}) has no range to enrol {who} from",
                hint="give the network a `range`, or set `unknown_hosts: ignore`",
            )
        if chosen is not None:
            if int(chosen) in self._taken or int(chosen) in self._avoid:
                raise AddressTaken(f"{chosen}, chosen for {who}, was given to another meanwhile", hint="it asks again")
            return chosen
        free = network.range.of(network.name)
        address = free.first_free(self._taken, self._last.get(network.name, 0))
        # Not an address that is only avoided: who is there now may be gone by the next batch.
        self._last[network.name] = int(address) - 1
        while int(address) in self._avoid:
            address = free.first_free(self._taken, int(address))
        return address

    def _profile(self) -> str | None:
        """The first profile, in the config's order, that has fewer hosts than its quantity; else the default."""
        if self._settings.unknown_hosts is UnknownHosts.QUARANTINE:
            return None
        wanting = (p for p in self._settings.profiles if p.quantity is not None and self._members[p.name] < p.quantity)
        profile = next(wanting, None)
        return profile.name if profile else self._settings.default_profile
