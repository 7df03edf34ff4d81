"""The tables of the SQLite store, and how a file of an earlier release becomes one of this.

`SCHEMA` moves with every change of the tables. An earlier file is brought up to date in the transaction that opens it; a later
one is refused, for nobody knows what it means.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping

SCHEMA = 3

_META = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema', 3), ('revision', 0);
"""
_INVENTORY = """
CREATE TABLE enrolled (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE told (
    name TEXT PRIMARY KEY, serial TEXT, uuid TEXT, os_version TEXT NOT NULL DEFAULT '', installed INTEGER NOT NULL DEFAULT 0,
    address TEXT) WITHOUT ROWID;
CREATE TABLE edits (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE status (
    name TEXT PRIMARY KEY, state TEXT NOT NULL, since TEXT NOT NULL, stage TEXT, stage_ns INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, monotonic_ns INTEGER NOT NULL,
    serial TEXT, host TEXT, kind TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX events_of_host ON events (host, id);
CREATE TABLE counters (
    worker TEXT, name TEXT, reason TEXT, count INTEGER NOT NULL, PRIMARY KEY (worker, name, reason)) WITHOUT ROWID;
"""
# `claims`: what only one enrolled host may have, its addresses and MACs. The primary key is what holds it.
_SINCE_3 = """
CREATE TABLE claims (claim TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX claims_of_host ON claims (name);
CREATE TABLE workers (
    worker TEXT PRIMARY KEY, pid INTEGER NOT NULL, ready INTEGER NOT NULL, restarts INTEGER NOT NULL, generation INTEGER NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE served (name TEXT PRIMARY KEY, at TEXT NOT NULL, sha256 TEXT NOT NULL, config BLOB NOT NULL);
CREATE TABLE generations (generation INTEGER PRIMARY KEY AUTOINCREMENT, loaded_at TEXT NOT NULL, pid INTEGER NOT NULL);
CREATE TABLE discovery (
    token TEXT PRIMARY KEY, made_at TEXT NOT NULL, members INTEGER NOT NULL, position INTEGER NOT NULL, expires REAL,
    record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE reloads (id INTEGER PRIMARY KEY AUTOINCREMENT, asked_at TEXT NOT NULL, by TEXT NOT NULL, outcome TEXT);
CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER events_are_final BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
"""
_TO_2 = """
ALTER TABLE told ADD COLUMN os_version TEXT NOT NULL DEFAULT '';
ALTER TABLE told ADD COLUMN installed INTEGER NOT NULL DEFAULT 0;
CREATE TABLE edits (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX events_of_host ON events (host, id);
"""


def version(db: sqlite3.Connection) -> int:
    """The file's schema; 0 when it is empty."""
    if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone() is None:
        return 0
    (found,) = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return int(found)


def bring_up(db: sqlite3.Connection, found: int) -> None:
    """Make the tables, or bring those of schema `found` up to date. To be called within a transaction."""
    if found == 0:
        _execute(db, _META + _INVENTORY + _SINCE_3)
    for step in range(found, SCHEMA) if found else ():
        _STEPS[step](db)
    db.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (SCHEMA,))


def claims(record: Mapping[str, object]) -> Iterator[str]:
    """What an enrolled host's record claims for itself alone."""
    address, addresses, macs = record["address"], record["addresses"], record["macs"]
    assert isinstance(addresses, dict)
    assert isinstance(macs, list)
    yield from (f"address {each}" for each in (address, *addresses.values()) if each is not None)
    yield from (f"mac {mac}" for mac in macs)


def _execute(db: sqlite3.Connection, script: str) -> None:
    """A script within the transaction at hand; `executescript` would commit it first."""
    statement = ""
    for line in script.strip().splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""


def _from_1(db: sqlite3.Connection) -> None:
    _execute(db, _TO_2)
    if "stage_ns" not in {row[1] for row in db.execute("PRAGMA table_info(status)")}:
        db.execute("ALTER TABLE status ADD COLUMN stage_ns INTEGER NOT NULL DEFAULT 0")
    for name, text in db.execute("SELECT name, record FROM enrolled").fetchall():
        record = {"addresses": {}, **json.loads(text)}
        db.execute("UPDATE enrolled SET record = ? WHERE name = ?", (json.dumps(record), name))


def _from_2(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE told ADD COLUMN address TEXT")
    db.execute("DROP TABLE workers")  # What is known of processes does not outlive them.
    _execute(db, _SINCE_3)
    for name, text in db.execute("SELECT name, record FROM enrolled ORDER BY name").fetchall():
        rows = [(claim, name) for claim in claims(json.loads(text))]
        # Where two records claim the same, the first keeps it: `mayu store check` tells of the other.
        db.executemany("INSERT OR IGNORE INTO claims VALUES (?, ?)", rows)


_STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _from_1, 2: _from_2}
