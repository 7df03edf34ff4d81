"""Is a state file sound? Finds all that is wrong with it, and changes nothing."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address

from mayu_py.core.hosts import Stage, State, Uuid
from mayu_py.errors import StoreError
from mayu_py.store import records
from mayu_py.store.schema import claims
from mayu_py.store.sqlite import MemoryStore, SqliteStore


def check(store: SqliteStore) -> list[str]:
    """Everything that is wrong with the file, one finding each; none when it is sound."""
    try:
        with store.transaction("DEFERRED") as db:
            return findings(db)
    except StoreError as error:
        # The file is damaged where SQLite itself would read how to go on.
        return [error.message]


def findings(db: sqlite3.Connection) -> list[str]:
    """The same, within a transaction."""
    damage = [f"integrity: {line}" for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
    # Where pages are damaged, or tables missing, no record tells anything.
    return damage or list(_schema(db)) or [found for rule in _RULES for found in rule(db)]


def _schema(db: sqlite3.Connection) -> Iterator[str]:
    fresh = MemoryStore()
    with fresh.transaction("DEFERRED") as pristine:
        wanted, held = _objects(pristine), _objects(db)
    for name, (kind, text) in sorted(wanted.items()):
        if name not in held:
            yield f"schema: {kind} {name} is missing"
        elif kind == "trigger" and held[name] != (kind, text):
            # Tables that grew column by column have another text, and the same columns.
            yield f"schema: {kind} {name} is another one"


def _objects(db: sqlite3.Connection) -> Mapping[str, tuple[str, str]]:
    rows = db.execute("SELECT name, type, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
    return {name: (kind, text) for name, kind, text in rows}


def _readable(db: sqlite3.Connection) -> Iterator[str]:
    for table, columns, read in _READERS:
        for row in db.execute(f"SELECT {columns} FROM {table} ORDER BY 1"):
            try:
                read(*row)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                yield f"{table} {row[0]}: not readable: {error!r}"


def _unique(db: sqlite3.Connection) -> Iterator[str]:
    """What only one enrolled host may have, and that the table which holds it says the same as the records."""
    claimed: list[tuple[str, str]] = []
    for name, text in db.execute("SELECT name, record FROM enrolled ORDER BY name"):
        try:
            host = records.host(name, text)
        except (ValueError, KeyError, TypeError):
            continue  # It is reported as not readable.
        claimed += [(claim, name) for claim in claims(json.loads(text))]
        claimed += [(f"{key} {value}", name) for key, value in (("serial", host.serial), ("uuid", host.uuid)) if value]
    for claim, times in Counter(claim for claim, _ in claimed).items():
        if times > 1:
            yield f"enrolled: {claim} is claimed by {', '.join(name for each, name in claimed if each == claim)}"
    held = set(db.execute("SELECT claim, name FROM claims"))
    wanted = {(claim, name) for claim, name in claimed if claim.startswith(("address ", "mac "))}
    yield from (f"claims: {claim} of {name} is not held" for claim, name in sorted(wanted - held))
    yield from (f"claims: {claim} is held for {name}, whose record has it not" for claim, name in sorted(held - wanted))


def _history(db: sqlite3.Connection) -> Iterator[str]:
    """Events are numbered from 1 without a gap, for nothing ever takes one away."""
    count, first, last = db.execute("SELECT count(*), coalesce(min(id), 1), coalesce(max(id), 0) FROM events").fetchone()
    if first != 1 or last != count:
        yield f"events: {count} events are numbered {first} to {last}: some are missing"
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    if row is not None and row[0] != last:
        yield f"events: {row[0]} were written, and the last is {last}"


def _numbers(db: sqlite3.Connection) -> Iterator[str]:
    row = db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
    if row is None or not isinstance(row[0], int) or row[0] < 0:
        yield "meta: there is no revision"
    for worker, name, reason in db.execute("SELECT worker, name, reason FROM counters WHERE count < 0"):
        yield f"counters: {worker} {name} {reason} is below zero"


def _status(name: str, state: str, stage: str | None) -> None:
    State(state)
    if stage is not None:
        Stage(stage)


def _told(name: str, uuid: str | None, address: str | None) -> None:
    if uuid:
        Uuid.parse(uuid)
    if address:
        IPv4Address(address)


def _event(number: int, detail: str) -> None:
    if not isinstance(json.loads(detail), dict):
        raise ValueError("its detail is no object")


def _edits(name: str, text: str) -> None:
    records.edits(text)


_READERS: tuple[tuple[str, str, Callable[..., object]], ...] = (
    ("enrolled", "name, record", records.host),
    ("edits", "name, record", _edits),
    ("told", "name, uuid, address", _told),
    ("status", "name, state, stage", _status),
    ("events", "id, detail", _event),
)
_RULES = (_readable, _unique, _history, _numbers)
