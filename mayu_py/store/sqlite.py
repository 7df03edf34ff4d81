"""The embedded store: one SQLite file in WAL mode, shared by all workers of one server.

`synchronous=FULL` makes a commit durable before it is acknowledged. A connection must not cross a fork: every worker
opens its own.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from mayu_py.core.exchange import Became, Learned, Reached
from mayu_py.core.hosts import Host, Mac, Stage, State, Uuid, progress
from mayu_py.core.inventory import Told
from mayu_py.errors import IllegalTransition, StoreError
from mayu_py.store import Entry, Happened, Inventory, Stamp, Status, StoredEvent, WorkerStatus

SCHEMA = 1
BUSY_SECONDS = 10.0
# Workers write their events a little after they happened, each at its own pace. An event that is older than the one
# that moved its host last, by less than this, is a late one; by more, the machine has booted and its clock begun anew.
LATE_NS = 5_000_000_000

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('schema', 1), ('revision', 0);
CREATE TABLE IF NOT EXISTS enrolled (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (name TEXT PRIMARY KEY, serial TEXT, uuid TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS status (
    name TEXT PRIMARY KEY, state TEXT NOT NULL, since TEXT NOT NULL, stage TEXT, stage_ns INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, monotonic_ns INTEGER NOT NULL,
    serial TEXT, host TEXT, kind TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counters (
    worker TEXT, name TEXT, reason TEXT, count INTEGER NOT NULL, PRIMARY KEY (worker, name, reason)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS workers (
    worker TEXT PRIMARY KEY, pid INTEGER NOT NULL, ready INTEGER NOT NULL, restarts INTEGER NOT NULL) WITHOUT ROWID;
"""


class SqliteStore:
    """`Store` over one file. Raises StoreError with the file's name when SQLite cannot go on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            # A worker's request threads share this connection one after the other, under its own lock.
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
            (schema,) = self._db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        if schema != SCHEMA:
            raise StoreError(
                f"{path} has schema {schema}; this mayu reads schema {SCHEMA}",
                hint="it was written by another version: use that version, or move the file away",
            )
        self._data_version = -1
        self._revision = -1
        self._latest: Inventory | None = None

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}", hint="is the disk full, or the folder not writable?") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing. IMMEDIATE: whoever will write waits its turn before it reads."""
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def revision(self) -> int:
        """The inventory's revision. `data_version` costs no disk access while no other process has committed."""
        with self._translated():
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
            if version != self._data_version or self._revision < 0:
                self._data_version = version
                (self._revision,) = self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
        return self._revision

    def _touch(self) -> None:
        self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")
        self._revision = -1

    def inventory(self) -> Inventory:
        """All enrolled hosts and all that machines told."""
        with self._translated():
            return self._inventory()

    def _inventory(self) -> Inventory:
        (revision,) = self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
        if self._latest is None or self._latest.revision != revision:
            enrolled = tuple(
                _host(name, json.loads(record))
                for name, record in self._db.execute("SELECT name, record FROM enrolled ORDER BY name")
            )
            told = {
                name: Told(serial, Uuid(uuid) if uuid else None)
                for name, serial, uuid in self._db.execute("SELECT name, serial, uuid FROM told")
            }
            self._latest = Inventory(revision, enrolled, told)
        return self._latest

    def enrol(self, choose: Callable[[Inventory], Sequence[Host]]) -> None:
        """Write the hosts that `choose` makes of the inventory, all in one commit."""
        with self._transaction() as db:
            inventory = self._inventory()
            hosts = choose(inventory)
            if not hosts:
                return
            db.executemany("INSERT OR REPLACE INTO enrolled VALUES (?, ?)", [(host.name, _record(host)) for host in hosts])
            for host in hosts:
                _insert(db, Happened("enrolled", {"address": str(host.address)}, host), Stamp.now())
            self._touch()
        # Reading back a thousand records after each new one would make enrolling a rack quadratic.
        self._latest = Inventory(inventory.revision + 1, (*inventory.enrolled, *hosts), inventory.told)

    def record(self, entries: Sequence[Entry]) -> list[IllegalTransition]:
        """Write events down and move hosts by them."""
        refused: list[IllegalTransition] = []
        if not entries:
            return refused
        with self._transaction() as db:
            for event, stamp in entries:
                match event:
                    case Reached():
                        _reach(db, event, stamp)
                    case Became():
                        try:
                            _become(db, event, stamp)
                        except IllegalTransition as error:
                            _insert(db, Happened("refused", {"why": error.message}, event.host), stamp)
                            refused.append(error)
                    case Learned():
                        told = event.identity
                        db.execute("INSERT OR REPLACE INTO told VALUES (?, ?, ?)", (event.host.name, told.serial, told.uuid))
                        self._touch()
                    case Happened():
                        _insert(db, event, stamp)
        return refused

    def statuses(self) -> Mapping[str, Status]:
        """Host name -> where it stands."""
        with self._translated():
            rows = self._db.execute("SELECT name, state, stage, since FROM status").fetchall()
        return {name: Status(State(state), Stage(stage) if stage else None, since) for name, state, stage, since in rows}

    def events(self, after: int, limit: int) -> list[StoredEvent]:
        """The history after event `after`, oldest first, at most `limit` rows."""
        with self._translated():
            rows = self._db.execute(
                "SELECT id, at, monotonic_ns, serial, host, kind, detail FROM events WHERE id > ? ORDER BY id LIMIT ?",
                (after, limit),
            ).fetchall()
        return [
            StoredEvent(number, at, clock, serial, host, kind, json.loads(detail))
            for number, at, clock, serial, host, kind, detail in rows
        ]

    def count(self, worker: str, counts: Mapping[tuple[str, str], int]) -> None:
        """Add to the counters of a worker."""
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO counters VALUES (?, ?, ?, ?)"
                " ON CONFLICT (worker, name, reason) DO UPDATE SET count = count + excluded.count",
                [(worker, name, reason, number) for (name, reason), number in counts.items()],
            )

    def counters(self) -> list[tuple[str, str, str, int]]:
        """(worker, name, reason, count), sorted."""
        with self._translated():
            return self._db.execute("SELECT * FROM counters ORDER BY worker, name, reason").fetchall()

    def set_workers(self, workers: Sequence[WorkerStatus]) -> None:
        """Replace what is known of the worker processes."""
        with self._transaction() as db:
            db.execute("DELETE FROM workers")
            rows = [(worker.worker, worker.pid, worker.ready, worker.restarts) for worker in workers]
            db.executemany("INSERT INTO workers VALUES (?, ?, ?, ?)", rows)

    def workers(self) -> list[WorkerStatus]:
        """The worker processes, by name."""
        with self._translated():
            rows = self._db.execute("SELECT worker, pid, ready, restarts FROM workers ORDER BY worker").fetchall()
        return [WorkerStatus(worker, pid, bool(ready), restarts) for worker, pid, ready, restarts in rows]


def _reach(db: sqlite3.Connection, event: Reached, stamp: Stamp) -> None:
    state, current, reached_ns = _status(db, event.host)
    if 0 < reached_ns - stamp.monotonic_ns < LATE_NS:
        if current is not None and event.stage.position < current.position:
            _insert(db, Happened("stage", {"stage": event.stage}, event.host), stamp)
        return
    stage = progress(current, event.stage, from_ipxe=event.from_ipxe)
    if stage is None:
        return
    # `since` belongs to the state, which a stage does not move.
    db.execute(
        "INSERT INTO status VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET stage = excluded.stage, stage_ns = excluded.stage_ns",
        (event.host.name, state, stamp.at, stage, stamp.monotonic_ns),
    )
    _insert(db, Happened("stage", {"stage": stage}, event.host), stamp)


def _become(db: sqlite3.Connection, event: Became, stamp: Stamp) -> None:
    current, _, _ = _status(db, event.host)
    state = current.become(event.state)
    if state != current:
        db.execute(
            "INSERT INTO status (name, state, since) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET state = excluded.state, since = excluded.since",
            (event.host.name, state, stamp.at),
        )
        _insert(db, Happened("state", {"from": current, "to": state}, event.host), stamp)
    if event.text:
        _insert(db, Happened(state, {"text": event.text}, event.host), stamp)


def _status(db: sqlite3.Connection, host: Host) -> tuple[State, Stage | None, int]:
    """State, stage, and when the stage was reached on the monotonic clock."""
    row = db.execute("SELECT state, stage, stage_ns FROM status WHERE name = ?", (host.name,)).fetchone()
    if row is None:
        return (State.CONFIGURED if host.profile else State.DISCOVERED), None, 0
    state = State(row[0])
    if state is State.DISCOVERED and host.profile:
        state = State.CONFIGURED
    return state, Stage(row[1]) if row[1] else None, row[2]


def _insert(db: sqlite3.Connection, event: Happened, stamp: Stamp) -> None:
    serial, name = (event.host.serial, event.host.name) if event.host else (None, None)
    db.execute(
        "INSERT INTO events (at, monotonic_ns, serial, host, kind, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (stamp.at, stamp.monotonic_ns, serial, name, event.kind, json.dumps(dict(event.detail))),
    )


def _record(host: Host) -> str:
    return json.dumps(
        {
            "address": str(host.address),
            "addresses": {network: str(address) for network, address in host.addresses.items()},
            "macs": host.macs,
            "serial": host.serial,
            "uuid": host.uuid,
            "profile": host.profile,
        }
    )


def _host(name: str, record: dict[str, Any]) -> Host:
    uuid = record["uuid"]
    return Host(
        name=name,
        address=IPv4Address(record["address"]),
        macs=tuple(Mac(mac) for mac in record["macs"]),
        serial=record["serial"],
        uuid=Uuid(uuid) if uuid else None,
        profile=record["profile"],
        addresses={network: IPv4Address(address) for network, address in record["addresses"].items()},
        origin="enrolled",
    )
