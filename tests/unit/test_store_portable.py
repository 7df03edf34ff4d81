"""The state as text and back, and what `mayu store check` finds."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mayu_py.core.exchange import Became, Learned, Reached
from mayu_py.core.hosts import ENROLLED, Facts, Host, Identity, Mac, Stage, State
from mayu_py.core.inventory import Changes, Edits, Note
from mayu_py.errors import StoreError
from mayu_py.store import Happened, Stamp, Store, audit, portable
from mayu_py.store.sqlite import MemoryStore, SqliteStore

NOW = Stamp("2026-01-01T00:00:00.000+00:00", 5)


def host(number: int) -> Host:
    macs = (Mac(f"52:54:00:00:01:{number:02x}"),)
    extra = {"storage": IPv4Address(f"10.79.0.{number}")}
    return Host(f"10-77-0-{number}", IPv4Address(f"10.77.0.{number}"), macs, addresses=extra, origin=ENROLLED)


def change(store: Store, changes: Changes) -> None:
    store.change(lambda _: changes)


def filled(store: Store) -> None:
    store.change(lambda _: Changes(new=(host(2), host(1)), notes=(Note("enrolled", host(1), {"by": "Zoë \u2028 ☃"}),)))
    store.record([(Reached(host(1), Stage.DHCP), NOW), (Learned(host(1), Identity(serial="KC-1"), "12"), NOW)])
    store.record([(Became(host(2), State.FAILED, "no\ndisk"), NOW), (Happened("worker", {"n": 1}), NOW)])
    edits = Edits(profile="p", values={"a": [1, {"b": None}]}, facts=Facts(cabinet="3", metadata={"rack": "x"}))
    store.change(lambda _: Changes(edits={"named": edits}))
    store.count("dhcp", {("dhcp.sent", "ack"): 3})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def view(store: Store) -> object:
    inventory = store.inventory()
    by_name = tuple(sorted(inventory.enrolled, key=lambda host: host.name))  # Their order says nothing.
    return replace(inventory, enrolled=by_name), store.statuses(), store.events(0, 1000), store.counters()


def test_an_import_of_an_export_is_the_same_state_and_exports_the_same_bytes(tmp_path: Path) -> None:
    one, other = MemoryStore(), MemoryStore()
    filled(one)
    assert portable.export(one, tmp_path / "one") == 3
    assert portable.load(other, tmp_path / "one") == 3
    assert view(other) == view(one)
    portable.export(other, tmp_path / "other")
    assert contents(tmp_path / "other") == contents(tmp_path / "one")
    assert sorted(contents(tmp_path / "one")) == [
        "cluster.json",
        "counters.json",
        "discovery.json",
        "events.jsonl",
        "hosts/10-77-0-1.json",
        "hosts/10-77-0-2.json",
        "hosts/named.json",
    ]
    # The history goes on where it stood.
    other.record([(Happened("worker"), NOW)])
    assert other.events(0, 1000)[-1].id == len(one.events(0, 1000)) + 1


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from(["enrol", "tell", "edit", "forget", "count", "event"]), st.integers(1, 5), st.text()),
        max_size=12,
    )
)
def test_any_state_survives_the_journey(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]) -> None:
    folder = tmp_path_factory.mktemp("export")
    one, other = MemoryStore(), MemoryStore()
    for what, number, text in steps:
        text = text.encode("utf-8", "replace").decode()
        machine = host(number)
        match what:
            case "enrol":
                change(one, Changes(new=(machine,)))
            case "tell":
                one.record([(Learned(machine, Identity(serial=f"KC-{number}"), text), NOW)])
            case "edit":
                change(one, Changes(edits={machine.name: Edits(values={"v": text})}))
            case "forget":
                change(one, Changes(gone=(machine.name,)))
            case "count":
                one.count("dhcp", {("name", text): number})
            case _:
                one.record([(Happened("said", {"text": text}, machine), NOW)])
    portable.export(one, folder)
    portable.load(other, folder)
    assert view(other) == view(one)
    with other.transaction("DEFERRED") as db:
        assert audit.findings(db) == []


def test_an_export_over_an_earlier_one_touches_what_is_different_and_removes_who_is_gone(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store)
    (tmp_path / ".git").mkdir()
    portable.export(store, tmp_path)
    (tmp_path / "README").write_text("kept")
    before = (tmp_path / "hosts/10-77-0-1.json").stat().st_mtime_ns
    store.change(lambda _: Changes(gone=("10-77-0-2",)))
    portable.export(store, tmp_path)
    assert not (tmp_path / "hosts/10-77-0-2.json").exists()
    assert (tmp_path / "README").exists()
    assert (tmp_path / "hosts/10-77-0-1.json").stat().st_mtime_ns == before


def test_an_export_into_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match=r"holds something else: thesis\.tex"):
        portable.export(MemoryStore(), tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"x"}


def test_an_import_into_a_store_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store)
    portable.export(store, tmp_path)
    with pytest.raises(StoreError, match="the store is not empty"):
        portable.load(store, tmp_path)


Damage = Callable[[Path], object]


def replaced(name: str, old: str, new: str) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (replaced("cluster.json", '"format": 1', '"format": 2'), r"cluster\.json: format 2; this mayu reads format 1"),
        (replaced("hosts/10-77-0-2.json", '"10.77.0.2"', '"10.77.0.1"'), r"10-77-0-2\.json: not readable: .*UNIQUE"),
        (replaced("hosts/10-77-0-2.json", '"10.77.0.2"', '"ten"'), r"enrolled 10-77-0-2: not readable"),
        (replaced("hosts/10-77-0-2.json", '"enrolled"', '"enroled"'), r"10-77-0-2\.json: not readable: .*unknown key 'enroled'"),
        (replaced("hosts/10-77-0-2.json", '"failed"', '"fine"'), r"status 10-77-0-2: not readable"),
        (replaced("events.jsonl", '{"id": 2', '{"id": 20'), r"events: \d events are numbered 1 to 20: some are missing"),
        (replaced("events.jsonl", '{"id": 2,', '{"id": 2'), r"events\.jsonl:2: not readable"),
        (lambda folder: (folder / "events.jsonl").unlink(), r"events\.jsonl: No such file"),
    ],
)
def test_an_export_that_was_damaged_is_not_imported_at_all(tmp_path: Path, damage: Damage, said: str) -> None:
    store, empty = MemoryStore(), MemoryStore()
    filled(store)
    portable.export(store, tmp_path)
    damage(tmp_path)
    with pytest.raises(StoreError, match=said):
        portable.load(empty, tmp_path)
    assert view(empty) == view(MemoryStore())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(SqliteStore(tmp_path / "mayu.db")) as store:
        filled(store)
    return tmp_path / "mayu.db"


def test_a_sound_file_has_no_findings(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        assert audit.check(store) == []


RECORD = json.dumps({"address": "10.77.0.1", "addresses": {}, "macs": [], "serial": None, "uuid": None, "profile": None})


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["DROP TRIGGER events_stay"], ["schema: trigger events_stay is missing"]),
        (["UPDATE enrolled SET record = '{}' WHERE name = '10-77-0-1'"], ["enrolled 10-77-0-1: not readable: KeyError"]),
        (["UPDATE status SET state = 'asleep' WHERE name = '10-77-0-1'"], ["status 10-77-0-1: not readable: "]),
        (["UPDATE counters SET count = -1"], ["counters: dhcp dhcp.sent ack is below zero"]),
        (["UPDATE told SET address = 'home'"], ["told 10-77-0-1: not readable: "]),
        (
            [f"INSERT INTO enrolled VALUES ('twin', '{RECORD}')"],
            [
                "enrolled: address 10.77.0.1 is claimed by 10-77-0-1, twin",
                "claims: address 10.77.0.1 of twin is not held",
            ],
        ),
        (
            ["INSERT INTO claims VALUES ('address 10.9.9.9', 'nobody')"],
            ["claims: address 10.9.9.9 is held for nobody, whose record has it not"],
        ),
        (
            ["DROP TRIGGER events_stay", "DELETE FROM events WHERE id = 2",
             "CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END"],
            ["events: 4 events are numbered 1 to 5: some are missing"],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(path: Path, statements: list[str], found: list[str]) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
    with closing(SqliteStore(path)) as store:
        findings = audit.check(store)
    assert len([each for each in findings if any(each.startswith(wanted) for wanted in found)]) == len(found), findings


def test_a_damaged_page_is_found(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"10-77-0-1")
    content[at - 200 : at] = bytes(200)
    path.write_bytes(content)
    with closing(SqliteStore(path)) as store:
        assert audit.check(store)
