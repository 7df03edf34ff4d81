"""The embedded store: one SQLite file in WAL mode, shared by all workers of one server; or the same in memory.

`synchronous=FULL` makes a commit durable before it is acknowledged. A connection must not cross a fork: every worker
opens its own.
"""

import fcntl
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mayu_py.core.discovery import Cluster, Step
from mayu_py.core.inventory import Changes, Inventory
from mayu_py.errors import IllegalTransition, StoreError
from mayu_py.store import (
    NO_CONFIGS,
    NO_COUNTS,
    Counts,
    Entry,
    Generation,
    ReloadOutcome,
    Served,
    Stamp,
    Status,
    StoredEvent,
    WorkerStatus,
    discovery,
    generations,
    reading,
    schema,
    writing,
)

BUSY_SECONDS = 10.0
MEMORY = ":memory:"


class SqliteStore:
    """`Store` over one file. Raises StoreError with the file's name when SQLite cannot go on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # One connection may serve several threads, one after the other.
        self._lock = threading.RLock()
        self._data_version = -1
        self._revision = -1
        self._latest: Inventory | None = None
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            if str(path) != MEMORY and not path.exists():
                # Configs hold secrets. What SQLite keeps beside the file gets the same mode.
                path.touch(0o600)
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            with self._translated():
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA synchronous=FULL")
        found = schema.version(self._db)
        if found < schema.SCHEMA:
            # Opening a file that is up to date writes nothing: a worker is restarted on a full disk too.
            with _alone_in(self._path.parent):
                self._db.execute("PRAGMA journal_mode=WAL")
                with self.transaction() as db:
                    schema.bring_up(db, schema.version(db))
        elif found > schema.SCHEMA:
            raise StoreError(
                f"{self._path} has schema {found}; this mayu reads schema {schema.SCHEMA}",
                hint="a newer mayu wrote it: use that version, or carry its state over with its `mayu store export`",
            )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                raise StoreError(f"{self._path}: {error}", hint=_hint(error)) from error

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """All or nothing. IMMEDIATE: whoever will write waits its turn before it reads; DEFERRED reads one state only."""
        with self._translated():
            self._db.execute(f"BEGIN {kind}")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite itself rolls back after some errors of the disk.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._revision = -1
                raise

    def revision(self) -> int:
        """The inventory's revision. `data_version` costs no disk access while no other process has committed."""
        with self._translated():
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
            if version != self._data_version or self._revision < 0:
                self._data_version = version
                (self._revision,) = self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
            return self._revision

    def inventory(self) -> Inventory:
        """All enrolled hosts, all that machines told and operators set."""
        with self.transaction("DEFERRED"):
            return self._inventory()

    def _inventory(self) -> Inventory:
        (revision,) = self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
        if self._latest is None or self._latest.revision != revision:
            try:
                self._latest = reading.inventory(self._db, revision)
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(f"{self._path}: a record is no record: {error!r}", hint=_CHECK) from error
        return self._latest

    def change(self, decide: Callable[[Inventory], Changes]) -> None:
        """Write the changes that `decide` makes of the inventory, all in one commit."""
        with self.transaction() as db:
            inventory = self._inventory()
            changes = decide(inventory)
            if changes == Changes():
                return
            displaced = writing.change(db, changes)
            writing.touch(db)
            self._revision = -1
        if not displaced and changes == Changes(new=changes.new, notes=changes.notes):
            # Reading back a thousand records after each new one would make enrolling a rack quadratic.
            self._latest = replace(inventory, revision=inventory.revision + 1, enrolled=(*inventory.enrolled, *changes.new))

    def record(
        self, entries: Sequence[Entry], served: Served = NO_CONFIGS, counts: Counts = NO_COUNTS
    ) -> list[IllegalTransition]:
        """Write events down and move hosts by them; remember configs; add to counters. All in one commit."""
        if not entries and not served and not counts:
            return []
        with self.transaction() as db:
            self._revision = -1
            writing.keep(db, served)
            writing.count(db, counts)
            return writing.record(db, entries)

    def statuses(self) -> Mapping[str, Status]:
        """Host name -> where it stands."""
        with self._translated():
            return reading.statuses(self._db)

    def events(self, after: int, limit: int, host: str | None = None) -> list[StoredEvent]:
        """The history after event `after`, oldest first, at most `limit` rows; of one host, if it is named."""
        with self._translated():
            return reading.events(self._db, after, limit, host)

    def keep_served(self, host: str, config: bytes) -> None:
        """Remember the config that a host is served."""
        self.record((), {host: config})

    def last_served(self, host: str) -> bytes | None:
        """The config that a host was served last. Raises StoreError when it is not what was written."""
        with self._translated():
            row = self._db.execute("SELECT config, sha256 FROM served WHERE name = ?", (host,)).fetchone()
        if row is None:
            return None
        config, digest = row
        if hashlib.sha256(config).hexdigest() != digest:
            raise StoreError(f"{self._path}: the last config of {host} is damaged", hint=_CHECK)
        return bytes(config)

    def count(self, worker: str, counts: Mapping[tuple[str, str], int]) -> None:
        """Add to the counters of a worker."""
        self.record((), counts={(worker, *counter): number for counter, number in counts.items()})

    def counters(self) -> list[tuple[str, str, str, int]]:
        """(worker, name, reason, count), sorted."""
        with self._translated():
            return self._db.execute("SELECT * FROM counters ORDER BY worker, name, reason").fetchall()

    def set_workers(self, workers: Sequence[WorkerStatus]) -> None:
        """Replace what is known of the worker processes."""
        with self.transaction() as db:
            db.execute("DELETE FROM workers")
            rows = [(worker.worker, worker.pid, worker.ready, worker.restarts, worker.generation) for worker in workers]
            db.executemany("INSERT INTO workers VALUES (?, ?, ?, ?, ?)", rows)

    def workers(self) -> list[WorkerStatus]:
        """The worker processes, by name."""
        with self._translated():
            return reading.workers(self._db)

    def generation(self) -> Generation | None:
        """The config in service."""
        with self._translated():
            return generations.current(self._db)

    def load(self, pid: int, changes: Mapping[str, Any], upto: int) -> Generation:
        """Number a new generation, write it down, and answer who asked for it."""
        with self.transaction() as db:
            return generations.load(db, pid, changes, upto)

    def refuse_reload(self, problems: Sequence[str], upto: int) -> None:
        """Write the refusal down, and answer who asked."""
        with self.transaction() as db:
            generations.refuse(db, problems, upto)

    def ask_reload(self, by: str) -> int:
        """Leave a request for a reload."""
        with self.transaction() as db:
            cursor = db.execute("INSERT INTO reloads (asked_at, by) VALUES (?, ?)", (Stamp.now().at, by))
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def asked(self) -> int:
        """The number of the newest request."""
        with self._translated():
            (newest,) = self._db.execute("SELECT coalesce(max(id), 0) FROM reloads").fetchone()
            return int(newest)

    def reload_outcome(self, request: int) -> ReloadOutcome | None:
        """What came of a request."""
        with self._translated():
            return generations.outcome(self._db, request)

    def discovery(self, token: str) -> Cluster | None:
        """What is known of a token of etcd's discovery."""
        with self._translated():
            return discovery.read(self._db, token)

    def discovery_index(self, token: str) -> tuple[int, float | None]:
        """The token's index, and when its next member expires."""
        with self._translated():
            return discovery.index(self._db, token)

    def change_discovery(self, token: str, step: Step) -> None:
        """Write what `step` makes of a token."""
        with self.transaction() as db:
            discovery.change(db, token, step)


class MemoryStore(SqliteStore):
    """The same statements over a database that only this object has: for deciding without a server, and for tests.

    All workers of a test share the one object; it is gone when they are.
    """

    def __init__(self) -> None:
        super().__init__(Path(MEMORY))

    def close(self) -> None:
        """Nothing to let go of: others may still use it."""


_CHECK = "`mayu store check` names what is damaged; `mayu store import` brings an export back"


def _hint(error: sqlite3.Error | OSError) -> str:
    damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
    return _CHECK if damaged else "is the disk full, or the folder not writable?"


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time makes the tables; when it is done, the new file's name is on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
