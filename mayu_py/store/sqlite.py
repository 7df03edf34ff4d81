"""The embedded store: one SQLite file in WAL mode, shared by all workers of one server.

`synchronous=FULL` makes a commit durable before it is acknowledged. A connection must not cross a fork: every worker
opens its own.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mayu_py.core.exchange import Became, Learned, Reached
from mayu_py.core.hosts import Host, Stage, State, Uuid, progress
from mayu_py.core.inventory import Changes, Inventory, Told
from mayu_py.errors import IllegalTransition, StoreError
from mayu_py.store import Entry, Happened, Stamp, Status, StoredEvent, WorkerStatus, records

SCHEMA = 2
BUSY_SECONDS = 10.0
# Workers write their events a little after they happened, each at its own pace. An event that is older than the one
# that moved its host last, by less than this, is a late one; by more, the machine has booted and its clock begun anew.
LATE_NS = 5_000_000_000

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('schema', 2), ('revision', 0);
CREATE TABLE IF NOT EXISTS enrolled (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (
    name TEXT PRIMARY KEY, serial TEXT, uuid TEXT, os_version TEXT NOT NULL DEFAULT '', installed INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS edits (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS status (
    name TEXT PRIMARY KEY, state TEXT NOT NULL, since TEXT NOT NULL, stage TEXT, stage_ns INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, monotonic_ns INTEGER NOT NULL,
    serial TEXT, host TEXT, kind TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_host ON events (host, id);
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
        """All enrolled hosts, all that machines told and operators set."""
        with self._translated():
            return self._inventory()

    def _inventory(self) -> Inventory:
        (revision,) = self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
        if self._latest is None or self._latest.revision != revision:
            rows = self._db.execute("SELECT name, record FROM enrolled ORDER BY name")
            enrolled = tuple(records.host(name, record) for name, record in rows)
            told = {
                name: Told(serial, Uuid(uuid) if uuid else None, os_version, bool(installed))
                for name, serial, uuid, os_version, installed in self._db.execute("SELECT * FROM told")
            }
            edits = {name: records.edits(record) for name, record in self._db.execute("SELECT name, record FROM edits")}
            self._latest = Inventory(revision, enrolled, told, edits)
        return self._latest

    def change(self, decide: Callable[[Inventory], Changes]) -> None:
        """Write the changes that `decide` makes of the inventory, all in one commit."""
        with self._transaction() as db:
            inventory = self._inventory()
            changes = decide(inventory)
            if changes == Changes():
                return
            _write(db, changes)
            self._touch()
        only_new = changes == Changes(new=changes.new, notes=changes.notes)
        if only_new and _names(inventory).isdisjoint(host.name for host in changes.new):
            # Reading back a thousand records after each new one would make enrolling a rack quadratic.
            self._latest = replace(inventory, revision=inventory.revision + 1, enrolled=(*inventory.enrolled, *changes.new))

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
                            if event.installed and not event.host.installed:
                                _tell(db, event.host.name, installed=1)
                                self._touch()
                        except IllegalTransition as error:
                            _insert(db, Happened("refused", {"why": error.message}, event.host), stamp)
                            refused.append(error)
                    case Learned():
                        _learn(db, event)
                        self._touch()
                    case Happened():
                        _insert(db, event, stamp)
        return refused

    def statuses(self) -> Mapping[str, Status]:
        """Host name -> where it stands."""
        with self._translated():
            rows = self._db.execute("SELECT name, state, stage, since FROM status").fetchall()
        return {name: Status(State(state), Stage(stage) if stage else None, since) for name, state, stage, since in rows}

    def events(self, after: int, limit: int, host: str | None = None) -> list[StoredEvent]:
        """The history after event `after`, oldest first, at most `limit` rows; of one host, if it is named."""
        with self._translated():
            rows = self._db.execute(
                "SELECT id, at, monotonic_ns, serial, host, kind, detail FROM events"
                " WHERE id > ? AND (? IS NULL OR host = ?) ORDER BY id LIMIT ?",
                (after, host, host, limit),
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


def _names(inventory: Inventory) -> set[str]:
    return {*(host.name for host in inventory.enrolled), *inventory.told, *inventory.edits}


def _write(db: sqlite3.Connection, changes: Changes) -> None:
    stamp = Stamp.now()
    for table in ("edits", "told", "status"):
        # A new host may have the name of one whose record the config has replaced; it is another machine.
        db.executemany(f"DELETE FROM {table} WHERE name = ?", [(host.name,) for host in changes.new])
    db.executemany("INSERT OR REPLACE INTO enrolled VALUES (?, ?)", [(host.name, records.of_host(host)) for host in changes.new])
    edited = [(name, records.of_edits(edits)) for name, edits in changes.edits.items()]
    db.executemany("INSERT OR REPLACE INTO edits VALUES (?, ?)", edited)
    for table in ("enrolled", "edits", "told", "status"):
        db.executemany(f"DELETE FROM {table} WHERE name = ?", [(name,) for name in changes.gone])
    for name in changes.fresh:
        _tell(db, name, installed=0)
    for note in changes.notes:
        _insert(db, Happened(note.kind, note.detail, note.host), stamp)


def _learn(db: sqlite3.Connection, event: Learned) -> None:
    told = {"serial": event.identity.serial, "uuid": event.identity.uuid, "os_version": event.os_version}
    _tell(db, event.host.name, **{column: value for column, value in told.items() if value})


def _tell(db: sqlite3.Connection, name: str, **columns: str | int) -> None:
    db.execute("INSERT OR IGNORE INTO told (name) VALUES (?)", (name,))
    for column, value in columns.items():
        db.execute(f"UPDATE told SET {column} = ? WHERE name = ?", (value, name))


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
