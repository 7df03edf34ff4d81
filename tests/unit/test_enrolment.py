"""Enrolment: addresses from the right range, profiles by quota, and nothing twice."""

from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mayu_py.core.enrolment import Newcomer, enrol
from mayu_py.core.hosts import Host, Identity, Mac
from mayu_py.core.networks import AddressRange, Network
from mayu_py.core.settings import Profile, Settings, UnknownHosts
from mayu_py.core.snapshot import Snapshot
from mayu_py.errors import RangeExhausted


def network(name: str, number: int, size: int, *, extra: bool = False) -> Network:
    subnet = IPv4Network(f"10.{number}.0.0/24")
    first = subnet.network_address + 10
    return Network(name, subnet, range=AddressRange(first, first + size - 1), extra=extra)


HOME = Network("home", IPv4Network("10.0.0.0/24"), interface="br0", address=IPv4Address("10.0.0.1"))
A, B, STORAGE = network("a", 1, 4), network("b", 2, 30), network("storage", 3, 40, extra=True)
PROFILES = (
    Profile("master", "os", Path("m.bu"), quantity=3),
    Profile("worker", "os", Path("w.bu"), quantity=2),
    Profile("spare", "os", Path("s.bu")),
)
SETTINGS = Settings(
    networks=(HOME, A, B, STORAGE), images={}, profiles=PROFILES, unknown_hosts=UnknownHosts.ENROL, default_profile="spare"
)


def newcomer(number: int, of: Network = B) -> Newcomer:
    return Newcomer(Identity(mac=Mac(f"52:54:00:00:01:{number:02x}")), of)


def enrolled(newcomers: list[Newcomer], settings: Settings = SETTINGS) -> list[Host | RangeExhausted]:
    return list(enrol(newcomers, Snapshot.of(settings, ())).results)


def test_profiles_are_filled_in_their_order_then_the_default() -> None:
    hosts = enrolled([newcomer(number) for number in range(7)])
    profiles = [host.profile for host in hosts if isinstance(host, Host)]
    assert profiles == ["master", "master", "master", "worker", "worker", "spare", "spare"]


def test_a_quarantined_host_has_an_address_and_no_profile() -> None:
    settings = Settings(
        networks=(HOME, B), images={}, profiles=PROFILES, unknown_hosts=UnknownHosts.QUARANTINE, default_profile="spare"
    )
    assert enrolled([newcomer(1)], settings) == [
        Host("10-2-0-10", IPv4Address("10.2.0.10"), (Mac("52:54:00:00:01:01"),), origin="enrolled")
    ]


def test_a_new_host_gets_an_address_in_each_extra_network_too() -> None:
    (host,) = enrolled([newcomer(1)])
    assert isinstance(host, Host)
    assert (host.address, host.addresses) == (IPv4Address("10.2.0.10"), {"storage": IPv4Address("10.3.0.10")})


def test_an_exhausted_range_refuses_by_its_name_and_the_others_go_on() -> None:
    results = enrolled([*(newcomer(number, A) for number in range(5)), newcomer(5, B)])
    assert [isinstance(result, Host) for result in results] == [True, True, True, True, False, True]
    assert str(results[4]) == "the range of network a at :0 (10.1.0.10 to 10.1.0.13) has no free address: all 4 are taken"


@given(st.lists(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([A, B])), max_size=12), max_size=8))
def test_no_address_name_or_quota_is_overrun_whoever_comes_in_which_order(batches: list[list[tuple[int, Network]]]) -> None:
    known: dict[str, Host] = {}
    for batch in batches:
        outcome = enrol([newcomer(number, of) for number, of in batch], Snapshot.of(SETTINGS, known.values()))
        assert len(outcome.results) == len(batch)
        assert known.keys().isdisjoint(host.name for host in outcome.new)
        known |= {host.name: host for host in outcome.new}
    addresses = [address for host in known.values() for address in host.all_addresses]
    assert len(addresses) == len(set(addresses))
    assert sum(host.profile == "master" for host in known.values()) == min(3, len(known))
    assert sum(host.profile == "worker" for host in known.values()) == min(2, max(0, len(known) - 3))
    for of in (A, B):
        own = sorted(address for host in known.values() for address in host.all_addresses if address in of.subnet)
        assert of.range is not None
        assert own[:1] == [of.range.start][: len(own)]
        assert all(int(right) == int(left) + 1 for left, right in pairwise(own))
