"""Addresses that are in conflict, chosen beforehand, or another server's: what enrolment makes of them."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from mayu_py.core.enrolment import Newcomer, candidate, enrol, readdress
from mayu_py.core.hosts import ENROLLED, Host, Identity, Mac
from mayu_py.core.inventory import Changes, Inventory, Note, Told, compose
from mayu_py.core.networks import AddressRange, DhcpMode, Network
from mayu_py.core.settings import HostEntry, Settings, UnknownHosts
from mayu_py.core.snapshot import Snapshot
from mayu_py.errors import AddressTaken, RangeExhausted

FIRST, SECOND, THIRD = (IPv4Address(f"10.1.0.{n}") for n in (10, 11, 12))
RACK = Network("rack", IPv4Network("10.1.0.0/24"), interface="br0", range=AddressRange(FIRST, THIRD))
STORAGE = Network(
    "storage", IPv4Network("10.3.0.0/24"), extra=True, range=AddressRange(IPv4Address("10.3.0.10"), IPv4Address("10.3.0.12"))
)
BESIDE = Network("beside", IPv4Network("10.2.0.0/24"), interface="br1", dhcp=DhcpMode.PROXY)
SETTINGS = Settings(networks=(RACK, BESIDE), images={}, profiles=(), unknown_hosts=UnknownHosts.ENROL)
ONE, TWO = Identity(mac=Mac("52:54:00:00:00:01")), Identity(mac=Mac("52:54:00:00:00:02"))
HOST = Host("10-1-0-10", FIRST, (Mac("52:54:00:00:00:09"),), origin=ENROLLED)
EMPTY, SNAPSHOT = Snapshot.of(SETTINGS, ()), Snapshot.of(SETTINGS, (HOST,))


def test_an_address_in_conflict_is_given_to_nobody() -> None:
    assert candidate(RACK, SNAPSHOT, {SECOND}) == THIRD
    (host,) = enrol([Newcomer(ONE, RACK)], EMPTY, {FIRST, SECOND}).new
    assert (host.name, host.address) == ("10-1-0-12", THIRD)
    with pytest.raises(RangeExhausted):
        candidate(RACK, SNAPSHOT, {SECOND, THIRD})


def test_the_address_that_was_asked_about_is_the_one_that_is_given() -> None:
    (host,) = enrol([Newcomer(ONE, RACK, THIRD)], EMPTY).new
    assert host.address == THIRD
    (late,) = enrol([Newcomer(ONE, RACK, FIRST)], SNAPSHOT).results
    assert isinstance(late, AddressTaken)
    assert "10.1.0.10" in late.message


def test_a_machine_beside_another_server_has_its_macs_name_and_no_address() -> None:
    (host,) = enrol([Newcomer(ONE, BESIDE)], EMPTY).new
    assert host == Host("52-54-00-00-00-01", None, (Mac("52:54:00:00:00:01"),), proxied=True, origin=ENROLLED)
    assert host.all_addresses == ()


def test_an_enrolled_host_moves_with_all_that_is_known_of_it() -> None:
    inventory = Inventory(1, (HOST,), told={HOST.name: Told(serial="S")})
    changes = readdress(HOST, RACK, inventory, SNAPSHOT, {FIRST})
    moved = replace(HOST, address=SECOND)
    assert changes == Changes(moved=(moved,), notes=(Note("readdressed", moved, {"from": "10.1.0.10", "to": "10.1.0.11"}),))
    assert readdress(HOST, RACK, inventory, SNAPSHOT, {FIRST}, THIRD).moved == (replace(HOST, address=THIRD),)
    assert readdress(HOST, RACK, Inventory(), SNAPSHOT, {FIRST}) == Changes()


def test_in_an_extra_network_only_that_address_moves() -> None:
    host = replace(HOST, addresses={"storage": IPv4Address("10.3.0.10")})
    settings = replace(SETTINGS, networks=(RACK, STORAGE))
    changes = readdress(host, STORAGE, Inventory(1, (host,)), Snapshot.of(settings, (host,)), ())
    assert changes.moved == (replace(host, addresses={"storage": IPv4Address("10.3.0.11")}),)


def test_a_name_is_never_used_twice() -> None:
    moved = replace(HOST, address=SECOND)
    (host,) = enrol([Newcomer(ONE, RACK)], Snapshot.of(SETTINGS, (moved,))).new
    assert (host.name, host.address) == ("10-1-0-10-2", FIRST)


def test_what_a_machine_told_is_its_address_only_where_another_server_gives_it() -> None:
    entries = (HostEntry("guest", "node", macs=(Mac("52:54:00:00:00:01"),)), HostEntry("own", "node", FIRST))
    told = {"guest": Told(address=IPv4Address("10.2.0.50")), "own": Told(address=IPv4Address("10.2.0.51"))}
    guest, own = compose(replace(SETTINGS, hosts=entries), Inventory(1, told=told))
    assert (guest.address, guest.proxied) == (IPv4Address("10.2.0.50"), True)
    assert (own.address, own.proxied) == (FIRST, False)
    (fresh,) = compose(replace(SETTINGS, hosts=entries[:1]), Inventory())
    assert (fresh.address, SETTINGS.seat(fresh), SETTINGS.seat(own)) == (None, BESIDE, RACK)
