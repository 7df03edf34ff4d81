"""A worker's desk: what it knows follows the store, and what it counts and notes arrives there."""

from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from mayu_py.core.enrolment import Newcomer
from mayu_py.core.exchange import IgnitionRequest, Report, TftpRead
from mayu_py.core.hosts import Host, Identity, Mac, Stage, State
from mayu_py.core.networks import AddressRange, Network
from mayu_py.core.settings import HostEntry, Profile, Settings, UnknownHosts
from mayu_py.services.desk import Desk
from mayu_py.services.signs import LastSigns
from mayu_py.store.sqlite import SqliteStore

NETWORK = Network(
    "rack",
    IPv4Network("127.0.0.0/8"),
    interface="lo",
    address=IPv4Address("127.0.0.1"),
    range=AddressRange(IPv4Address("127.0.1.1"), IPv4Address("127.0.1.200")),
)
SETTINGS = Settings(
    networks=(NETWORK,),
    images={},
    profiles=(Profile("node", "testbed", Path("node.bu")),),
    hosts=(HostEntry("node-5", "node", IPv4Address("127.0.0.5"), (Mac("52:54:00:00:00:05"),), serial="KC-5"),),
    unknown_hosts=UnknownHosts.ENROL,
    default_profile="node",
)


def machine(number: int) -> Newcomer:
    return Newcomer(Identity(mac=Mac(f"52:54:00:00:01:{number:02x}")), NETWORK)


def desk_on(path: Path, signs: LastSigns | None = None) -> Desk:
    return Desk("dhcp", SETTINGS, lambda: SqliteStore(path), signs)


def history(path: Path) -> list[str]:
    """The stages and states that were noted."""
    with closing(SqliteStore(path)) as store:
        return [str(event.detail.get("stage") or event.detail["to"]) for event in store.events(0, 100)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mayu.db"


@pytest.fixture
def desk(path: Path) -> Iterator[Desk]:
    with desk_on(path) as opened:
        yield opened


def test_what_grows_batch_by_batch_is_what_a_newcomer_reads(desk: Desk, path: Path) -> None:
    desk.enrol([machine(1), machine(2), machine(1)])
    desk.enrol([machine(3)])
    with desk_on(path) as newcomer:
        grown, read = desk.snapshot(), newcomer.snapshot()
    assert (dict(grown.hosts), grown.revision) == (dict(read.hosts), read.revision)
    assert (grown.by_mac, grown.by_address, grown.by_ident) == (read.by_mac, read.by_address, read.by_ident)
    assert [host.profile for host in grown.hosts.values()] == ["node"] * 4


def test_two_workers_enrolling_by_turns_never_share_an_address(desk: Desk, path: Path) -> None:
    with desk_on(path) as other:
        for number in range(0, 20, 2):
            desk.enrol([machine(number)])
            other.enrol([machine(number + 1), machine(number)])
        ours, theirs = desk.snapshot(), other.snapshot()
    assert dict(ours.hosts) == dict(theirs.hosts)
    assert len({host.address for host in ours.hosts.values()}) == 21


def test_what_was_served_is_written_before_the_answer(desk: Desk, path: Path) -> None:
    desk.write(desk.fresh(desk.consider(IgnitionRequest(Identity(serial="KC-5")))))
    with closing(SqliteStore(path)) as store:
        status = store.statuses()["node-5"]
    assert (status.state, status.stage) == (State.INSTALLING, Stage.IGNITION)


def test_the_tray_is_emptied_when_the_desk_closes_and_repeats_are_left_out(path: Path) -> None:
    with desk_on(path) as desk:
        for _ in range(5):
            desk.answer(TftpRead(IPv4Address("127.0.0.5"), "undionly.kpxe"))
        desk.count("dhcp.drop", "truncated", 3)
    with closing(SqliteStore(path)) as store:
        assert [event.detail for event in store.events(0, 10)] == [{"stage": "tftp"}]
        assert store.counters() == [("dhcp", "dhcp.drop", "truncated", 3)]


NODE_5 = IPv4Address("127.0.0.5")


def boot(desk: Desk, other: Desk) -> None:
    """From the firmware to the system, in no time; the machine talks to both workers by turns."""
    desk.answer(TftpRead(NODE_5, "undionly.kpxe"))
    desk.write(())
    other.write(other.fresh(other.consider(IgnitionRequest(Identity(serial="KC-5")))))
    desk.report(desk.consider(Report(NODE_5, "KC-5", Stage.RUNNING)))


def test_a_machine_that_boots_again_at_once_has_all_of_it_in_its_history(path: Path) -> None:
    signs = LastSigns()
    with desk_on(path, signs) as desk, desk_on(path, signs) as other:
        boot(desk, other)
        once = history(path)
        boot(desk, other)
    assert once == ["tftp", "ignition", "installing", "running", "running"]
    assert history(path)[len(once) :] == once


def test_a_flood_of_events_is_lost_with_a_count_and_not_kept_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mayu_py.services.desk.TRAY_SIZE", 10)
    desk = desk_on(path)  # Not opened: nobody carries anything away.
    host = Host("node-5", IPv4Address("127.0.0.5"))
    for number in range(25):
        desk.happened("something", host, number=number)
    desk.open()
    desk.close()
    with closing(SqliteStore(path)) as store:
        assert len(store.events(0, 100)) == 10
        assert store.counters() == [("dhcp", "events.lost", "tray-full", 15)]
