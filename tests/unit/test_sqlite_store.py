"""The store: what it acknowledges is there, moves are legal, and many writers do not collide."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from mayu_py.core.enrolment import Newcomer, enrol
from mayu_py.core.exchange import Became, Event, Learned, Reached
from mayu_py.core.hosts import Facts, Host, Identity, Mac, Stage, State, Uuid
from mayu_py.core.inventory import Changes, Edits, Inventory, Note, Told, compose
from mayu_py.core.networks import AddressRange, Network
from mayu_py.core.settings import HostEntry, Settings, UnknownHosts
from mayu_py.core.snapshot import Snapshot
from mayu_py.errors import RangeExhausted, StoreError
from mayu_py.store import Generation, Happened, ReloadOutcome, Stamp, Store, WorkerStatus, audit
from mayu_py.store.schema import SCHEMA
from mayu_py.store.sqlite import MemoryStore, SqliteStore

NOW = Stamp("2026-01-01T00:00:00.000+00:00", 5)
HOST = Host("node-1", IPv4Address("10.77.0.11"), (Mac("52:54:00:00:00:01"),), serial="KC-1", profile="node")
NETWORK = Network(
    "rack",
    IPv4Network("10.77.0.0/24"),
    interface="br0",
    address=IPv4Address("10.77.0.1"),
    range=AddressRange(IPv4Address("10.77.0.10"), IPv4Address("10.77.0.73")),
)
SETTINGS = Settings(
    networks=(NETWORK,),
    images={},
    profiles=(),
    hosts=(HostEntry("node-1", "node", IPv4Address("10.77.0.11"), macs=HOST.macs),),
    unknown_hosts=UnknownHosts.ENROL,
)


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "mayu.db")
    yield opened
    opened.close()


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest) -> Store:
    """What every store keeps, whatever it keeps it in."""
    found: Store = MemoryStore() if request.param == "memory" else request.getfixturevalue("file_store")
    return found


def machine(number: int) -> Identity:
    return Identity(mac=Mac(f"52:54:00:00:01:{number:02x}"))


def enrol_in(store: Store, *identities: Identity) -> tuple[Host | RangeExhausted, ...]:
    results: list[Host | RangeExhausted] = []

    def choose(inventory: Inventory) -> Changes:
        newcomers = (Newcomer(identity, NETWORK) for identity in identities)
        outcome = enrol(newcomers, Snapshot.of(SETTINGS, compose(SETTINGS, inventory)))
        results[:] = outcome.results
        return outcome.changes

    store.change(choose)
    return tuple(results)


def record(store: Store, *events: Event | Happened) -> None:
    store.record([(event, NOW) for event in events])


def test_a_host_goes_through_its_states_and_the_history_says_so(store: Store) -> None:
    record(store, Reached(HOST, Stage.DHCP), Reached(HOST, Stage.IGNITION), Became(HOST, State.INSTALLING))
    record(store, Reached(HOST, Stage.RUNNING), Became(HOST, State.RUNNING))
    status = store.statuses()["node-1"]
    assert (status.state, status.stage, status.since) == (State.RUNNING, Stage.RUNNING, NOW.at)
    assert [(event.kind, *event.detail.values()) for event in store.events(0, 10)] == [
        ("stage", "dhcp"),
        ("stage", "ignition"),
        ("state", "configured", "installing"),
        ("stage", "running"),
        ("state", "installing", "running"),
    ]


def test_an_illegal_move_is_refused_told_and_written_down(store: Store) -> None:
    refused = store.record([(Became(HOST, State.RUNNING), NOW)])
    assert [error.message for error in refused] == ["a host that is configured cannot become running"]
    assert "node-1" not in store.statuses()
    assert [event.kind for event in store.events(0, 10)] == ["refused"]


def test_a_sign_that_says_nothing_new_is_not_written(store: Store) -> None:
    record(store, Reached(HOST, Stage.TFTP), Reached(HOST, Stage.TFTP), Reached(HOST, Stage.DHCP, from_ipxe=True))
    assert len(store.events(0, 10)) == 1


def test_a_sign_that_is_written_late_does_not_move_a_host_back(store: Store) -> None:
    early, late = Stamp(NOW.at, 1_000), Stamp(NOW.at, 2_000)
    store.record([(Reached(HOST, Stage.IGNITION), late)])
    store.record([(Reached(HOST, Stage.IPXE), early)])
    assert store.statuses()["node-1"].stage is Stage.IGNITION
    assert sorted((event.monotonic_ns, event.detail["stage"]) for event in store.events(0, 10)) == [
        (1_000, "ipxe"),
        (2_000, "ignition"),
    ]


def test_after_a_reboot_of_the_server_the_clock_begins_anew(store: Store) -> None:
    store.record([(Reached(HOST, Stage.RUNNING), Stamp(NOW.at, 10**15))])
    store.record([(Reached(HOST, Stage.DHCP), Stamp(NOW.at, 1_000))])
    assert store.statuses()["node-1"].stage is Stage.DHCP


def test_a_failure_keeps_its_text(store: Store) -> None:
    record(store, Became(HOST, State.FAILED, "ignition: no config"))
    assert [(event.kind, event.detail) for event in store.events(0, 10)] == [
        ("state", {"from": "configured", "to": "failed"}),
        ("failed", {"text": "ignition: no config"}),
    ]


def test_events_are_read_from_where_one_left_off(store: Store) -> None:
    record(store, *(Happened("worker", {"n": n}) for n in range(5)))
    first = store.events(0, 3)
    rest = store.events(first[-1].id, 3)
    assert [event.detail["n"] for event in (*first, *rest)] == [0, 1, 2, 3, 4]


def test_enrolment_is_durable_and_moves_the_revision(file_store: SqliteStore, tmp_path: Path) -> None:
    before = file_store.revision()
    (host,) = enrol_in(file_store, machine(1))
    assert isinstance(host, Host)
    assert (host.name, str(host.address)) == ("10-77-0-10", "10.77.0.10")
    assert file_store.revision() > before
    other = SqliteStore(tmp_path / "mayu.db")
    assert other.inventory().enrolled == (host,)
    other.close()


def test_one_machine_in_many_packets_is_one_host(store: Store) -> None:
    hosts = enrol_in(store, machine(1), machine(1), machine(2))
    assert hosts[0] == hosts[1] != hosts[2]
    assert len(store.inventory().enrolled) == 2


def test_a_machine_that_tells_more_in_its_second_packet_is_still_one_host(store: Store) -> None:
    told_more = replace(machine(1), uuid=Uuid("00112233-4455-6677-8899-aabbccddeeff"))
    first, second = enrol_in(store, machine(1), told_more)
    assert first == second
    assert enrol_in(store, told_more) == (first,)


def test_an_exhausted_range_refuses_by_name_and_the_others_keep_their_records(store: Store) -> None:
    results = enrol_in(store, *(machine(n) for n in range(65)))
    enrolled = [result for result in results if isinstance(result, Host)]
    assert len(enrolled) == 63  # 64 addresses, and one of them is node-1's.
    refusals = [result.message for result in results if isinstance(result, RangeExhausted)]
    assert len(refusals) == 2
    assert "(10.77.0.10 to 10.77.0.73) has no free address" in refusals[0]
    assert len({host.address for host in enrolled}) == 63


def test_another_process_sees_the_revision_move(file_store: SqliteStore, tmp_path: Path) -> None:
    before = file_store.revision()
    other = SqliteStore(tmp_path / "mayu.db")
    enrol_in(other, machine(1))
    other.close()
    assert file_store.revision() == before + 1


def test_concurrent_writers_never_hand_out_an_address_twice(tmp_path: Path) -> None:
    def enrol_some(start: int) -> list[Host | RangeExhausted]:
        mine = SqliteStore(tmp_path / "mayu.db")
        try:
            return [enrol_in(mine, machine(start + n))[0] for n in range(8)]
        finally:
            mine.close()

    with ThreadPoolExecutor(4) as threads:
        results = [host for batch in threads.map(enrol_some, range(0, 32, 8)) for host in batch]
    addresses = [host.address for host in results if isinstance(host, Host)]
    assert len(addresses) == len(set(addresses)) == 32


def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        mine = SqliteStore(tmp_path / "mayu.db")
        for number in range(1000):
            host = enrol_in(mine, machine(number % 60))[0]
            assert isinstance(host, Host)
            os.write(write, f"{host.name}\n".encode())
        os._exit(0)
    os.close(write)
    acknowledged = b""
    while acknowledged.count(b"\n") < 5:
        acknowledged += os.read(read, 4096)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(read, 4096):
        acknowledged += more
    os.close(read)
    after = SqliteStore(tmp_path / "mayu.db")
    names = {host.name for host in after.inventory().enrolled}
    after.close()
    assert names >= set(acknowledged.decode().split())


def test_what_a_machine_told_is_added_to_its_record(store: Store) -> None:
    uuid = Uuid("00112233-4455-6677-8899-aabbccddeeff")
    record(store, Learned(replace(HOST, serial=None), Identity("KC-1", uuid)))
    inventory = store.inventory()
    assert inventory.told == {"node-1": Told("KC-1", uuid)}
    (host,) = compose(SETTINGS, replace(inventory, enrolled=()))
    assert (host.serial, host.uuid) == ("KC-1", uuid)


def test_counters_add_up_over_flushes(store: Store) -> None:
    store.count("dhcp", {("dhcp.drop", "truncated"): 2})
    store.count("dhcp", {("dhcp.drop", "truncated"): 3, ("dhcp.sent", "offer"): 1})
    assert store.counters() == [("dhcp", "dhcp.drop", "truncated", 5), ("dhcp", "dhcp.sent", "offer", 1)]


def test_workers_are_replaced_whole(store: Store) -> None:
    store.set_workers([WorkerStatus("dhcp", 10, True, 0), WorkerStatus("tftp", 11, True, 0)])
    store.set_workers([WorkerStatus("dhcp", 12, False, 1)])
    assert store.workers() == [WorkerStatus("dhcp", 12, False, 1)]


def test_the_config_wins_over_an_enrolled_record() -> None:
    enrolled = Host("10-77-0-11", IPv4Address("10.77.0.11"), (machine(1).mac or Mac(),))
    assert [host.name for host in compose(SETTINGS, Inventory(enrolled=(enrolled,)))] == ["node-1"]


def test_an_address_that_the_config_freed_is_given_to_another_machine_for_good(file_store: SqliteStore, tmp_path: Path) -> None:
    (gone,) = enrol_in(file_store, machine(1))
    assert isinstance(gone, Host)
    # The operator has named the machine in the config meanwhile, at another address: its old record gives way.
    settings = replace(SETTINGS, hosts=(HostEntry("named", "node", IPv4Address("10.77.0.5"), gone.macs),))

    file_store.change(
        lambda inventory: enrol([Newcomer(machine(2), NETWORK)], Snapshot.of(settings, compose(settings, inventory))).changes
    )
    other = SqliteStore(tmp_path / "mayu.db")
    (kept,) = other.inventory().enrolled
    other.close()
    assert (kept.address, kept.macs) == (gone.address, (machine(2).mac,))


def test_a_file_of_another_schema_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mayu.db"
    SqliteStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = 99 WHERE key = 'schema'")
    db.close()
    with pytest.raises(StoreError, match="schema 99"):
        SqliteStore(path)


def test_a_file_that_is_no_database_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mayu.db"
    path.write_text("this is not SQLite" * 100)
    with pytest.raises(StoreError, match=r"mayu\.db"):
        SqliteStore(path)


def test_what_operators_set_is_kept_with_its_line_in_the_history(file_store: SqliteStore, tmp_path: Path) -> None:
    edits = Edits(profile="worker", image="new", values={"disk": ["a", 1]}, facts=Facts(cabinet="3", metadata={"rack": "x"}))
    note = Note("pin", HOST, {"by": "ann", "to": "worker"})
    before = file_store.revision()
    file_store.change(lambda _: Changes(edits={"node-1": edits}, notes=(note,)))
    assert file_store.revision() > before
    other = SqliteStore(tmp_path / "mayu.db")
    assert other.inventory().edits == {"node-1": edits}
    assert [(event.kind, event.host, event.detail) for event in other.events(0, 10, "node-1")] == [
        ("pin", "node-1", {"by": "ann", "to": "worker"})
    ]
    assert other.events(0, 10, "node-2") == []
    other.close()


def test_a_host_that_is_deleted_leaves_its_history_only(store: Store) -> None:
    (host,) = enrol_in(store, machine(1))
    assert isinstance(host, Host)
    record(store, Learned(host, Identity(serial="KC-9")), Became(host, State.CONFIGURED))
    store.change(lambda _: Changes(edits={host.name: Edits(profile="p")}))
    store.change(lambda _: Changes(gone=(host.name,), notes=(Note("deleted", host, {"by": "ann"}),)))
    inventory = store.inventory()
    assert (inventory.enrolled, inventory.told, inventory.edits, store.statuses()) == ((), {}, {}, {})
    assert [event.kind for event in store.events(0, 10)] == ["enrolled", "state", "deleted"]


def test_who_takes_over_a_name_inherits_nothing(store: Store) -> None:
    (first,) = enrol_in(store, machine(1))
    assert isinstance(first, Host)
    record(store, Learned(first, Identity(serial="KC-9")), Became(first, State.CONFIGURED))
    store.change(lambda _: Changes(edits={first.name: Edits(profile="p")}))
    store.change(lambda _: Changes(new=(replace(first, macs=(Mac("52:54:00:00:01:02"),)),)))
    inventory = store.inventory()
    assert (inventory.told, inventory.edits, store.statuses()) == ({}, {}, {})


def test_an_installed_host_is_one_until_it_is_wanted_afresh(store: Store) -> None:
    record(store, Became(HOST, State.CONFIGURED), Became(HOST, State.INSTALLING), Became(HOST, State.RUNNING, installed=True))
    assert store.inventory().told == {"node-1": Told(installed=True)}
    store.change(lambda _: Changes(fresh=("node-1",)))
    assert store.inventory().told == {"node-1": Told()}


def test_a_change_that_decides_nothing_moves_nothing(store: Store) -> None:
    before = store.revision()
    store.change(lambda _: Changes())
    assert store.revision() == before


def test_generations_are_numbered_and_those_who_asked_are_answered(store: Store) -> None:
    assert store.generation() is None
    first = store.load(11, {}, 0)
    early, late = store.ask_reload("ann"), store.ask_reload("bob")
    assert (store.asked(), store.reload_outcome(early)) == (late, None)
    second = store.load(11, {"hosts": {"added": ["node-2"]}}, early)
    store.refuse_reload(["rack.yaml:3: no"], late)
    assert (first.number, second) == (1, Generation(2, second.loaded_at, 11))
    assert store.generation() == second
    assert store.reload_outcome(early) == ReloadOutcome(True, 2, changes={"hosts": {"added": ["node-2"]}})
    assert store.reload_outcome(late) == ReloadOutcome(False, 2, ("rack.yaml:3: no",))
    assert [(event.kind, event.detail) for event in store.events(0, 10)] == [
        ("reloaded", {"generation": 1}),
        ("reloaded", {"generation": 2, "hosts": {"added": ["node-2"]}}),
        ("reload-refused", {"generation": 2, "problems": ["rack.yaml:3: no"]}),
    ]


def test_a_hidden_record_gives_way_whole_to_one_that_shares_an_address_with_it(store: Store) -> None:
    hidden = Host(
        "10-77-0-10", IPv4Address("10.77.0.10"), (Mac("52:54:00:00:01:01"),), addresses={"storage": IPv4Address("10.79.0.9")}
    )
    newer = Host(
        "10-77-0-11", IPv4Address("10.77.0.11"), (Mac("52:54:00:00:01:02"),), addresses={"storage": IPv4Address("10.79.0.9")}
    )
    store.change(lambda _: Changes(new=(hidden,), edits={hidden.name: Edits(profile="p")}))
    store.change(lambda _: Changes(new=(newer,)))
    inventory = store.inventory()
    assert ([host.name for host in inventory.enrolled], inventory.edits) == (["10-77-0-11"], {})


@pytest.mark.parametrize("statement", ["DELETE FROM events", "UPDATE events SET kind = 'nothing'"])
def test_nobody_takes_a_line_out_of_the_history(file_store: SqliteStore, tmp_path: Path, statement: str) -> None:
    record(file_store, Happened("worker"))
    with sqlite3.connect(tmp_path / "mayu.db") as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute(statement)
    db.close()
    assert len(file_store.events(0, 10)) == 1


def test_a_step_that_fails_half_way_leaves_nothing(store: Store) -> None:
    twins = tuple(Host(name, IPv4Address("10.77.0.10"), ()) for name in ("a", "b"))
    before = (store.inventory(), store.revision())
    with pytest.raises(StoreError, match="UNIQUE"):
        store.change(lambda _: Changes(new=twins, notes=(Note("enrolled", HOST, {}),)))
    assert (store.inventory(), store.revision(), store.events(0, 10)) == (*before, [])


SCHEMA_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema', 1), ('revision', 7);
CREATE TABLE enrolled (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO enrolled VALUES (
    '10-77-0-10',
    '{"address": "10.77.0.10", "macs": ["52:54:00:00:01:01"], "serial": "KC-9", "uuid": null, "profile": "node"}');
CREATE TABLE told (name TEXT PRIMARY KEY, serial TEXT, uuid TEXT) WITHOUT ROWID;
INSERT INTO told VALUES ('node-1', 'KC-1', NULL);
CREATE TABLE status (name TEXT PRIMARY KEY, state TEXT NOT NULL, stage TEXT, since TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, monotonic_ns INTEGER NOT NULL,
    serial TEXT, host TEXT, kind TEXT NOT NULL, detail TEXT NOT NULL);
INSERT INTO events (at, monotonic_ns, kind, detail) VALUES ('2026-01-01', 5, 'worker', '{}');
CREATE TABLE counters (
    worker TEXT, name TEXT, reason TEXT, count INTEGER NOT NULL, PRIMARY KEY (worker, name, reason)) WITHOUT ROWID;
CREATE TABLE workers (
    worker TEXT PRIMARY KEY, pid INTEGER NOT NULL, ready INTEGER NOT NULL, restarts INTEGER NOT NULL) WITHOUT ROWID;
"""


def test_a_file_of_an_earlier_release_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "mayu.db"
    with sqlite3.connect(path) as db:
        db.executescript(SCHEMA_1)
    db.close()
    store = SqliteStore(path)
    inventory = store.inventory()
    assert [(host.name, host.serial, host.profile) for host in inventory.enrolled] == [("10-77-0-10", "KC-9", "node")]
    assert (inventory.revision, inventory.told) == (7, {"node-1": Told("KC-1")})
    record(store, Reached(HOST, Stage.DHCP), Learned(HOST, os_version="12"))
    assert (len(store.events(0, 10)), audit.check(store)) == (2, [])
    store.close()
    assert schema_of(path) == SCHEMA


def schema_of(path: Path) -> int:
    with sqlite3.connect(path) as db:
        (found,) = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    db.close()
    return int(found)
