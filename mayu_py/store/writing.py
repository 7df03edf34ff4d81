"""What one step writes: statements over a connection that has a transaction open."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence

from mayu_py.core.exchange import Became, Event, Learned, Reached
from mayu_py.core.hosts import Host, Stage, State, progress
from mayu_py.core.inventory import Changes
from mayu_py.errors import IllegalTransition
from mayu_py.store import Counts, Entry, Happened, Served, Stamp, records
from mayu_py.store.schema import claims

# Workers write their events a little after they happened, each at its own pace. An event that is older than the one
# that moved its host last, by less than this, is a late one; by more, the machine has booted and its clock begun anew.
LATE_NS = 5_000_000_000


def touch(db: sqlite3.Connection) -> None:
    """The inventory has changed."""
    db.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")


def change(db: sqlite3.Connection, changes: Changes) -> bool:
    """One step of the inventory. Returns whether anything that the config had hidden gave way to a new host."""
    stamp = Stamp.now()
    names, displaced = [(host.name,) for host in changes.new], False
    for table in ("enrolled", "edits", "told", "status", "served"):
        # A new host may have the name of one whose record the config has replaced; it is another machine.
        displaced |= db.executemany(f"DELETE FROM {table} WHERE name = ?", names).rowcount > 0
    displaced |= _put(db, (*changes.new, *changes.moved))
    edited = [(name, records.of_edits(edits)) for name, edits in changes.edits.items()]
    db.executemany("INSERT OR REPLACE INTO edits VALUES (?, ?)", edited)
    _forget(db, changes.gone)
    for name in changes.fresh:
        tell(db, name, installed=0)
    for name in changes.settled:
        tell(db, name, installed=1)
    db.executemany("DELETE FROM status WHERE name = ?", [(name,) for name in changes.anew])
    for event in changes.events:
        apply(db, event, stamp)
    for note in changes.notes:
        insert(db, Happened(note.kind, note.detail, note.host), stamp)
    return displaced


def _put(db: sqlite3.Connection, hosts: Sequence[Host]) -> bool:
    """Write enrolled records. What else claimed their addresses and MACs was hidden by the config, and gives way for good."""
    if not hosts:
        return False
    made = {host.name: records.of_host(host) for host in hosts}
    db.executemany("DELETE FROM claims WHERE name = ?", [(name,) for name in made])
    claimed = [(claim, name) for name, record in made.items() for claim in claims(record)]
    found = (db.execute("SELECT name FROM claims WHERE claim = ?", (claim,)).fetchone() for claim, _ in claimed)
    hidden = {row[0] for row in found if row is not None}
    _forget(db, sorted(hidden))
    rows = [(name, json.dumps(record)) for name, record in made.items()]
    db.executemany("INSERT OR REPLACE INTO enrolled VALUES (?, ?)", rows)
    db.executemany("INSERT INTO claims VALUES (?, ?)", claimed)
    return bool(hidden)


def _forget(db: sqlite3.Connection, names: Sequence[str]) -> None:
    for table in ("enrolled", "claims", "edits", "told", "status", "served"):
        db.executemany(f"DELETE FROM {table} WHERE name = ?", [(name,) for name in names])


def record(db: sqlite3.Connection, entries: Sequence[Entry]) -> list[IllegalTransition]:
    """Write events down and move hosts by them; returns the moves that were not legal."""
    refused: list[IllegalTransition] = []
    changed = False
    for event, stamp in entries:
        if isinstance(event, Happened):
            insert(db, event, stamp)
            continue
        try:
            changed |= apply(db, event, stamp)
        except IllegalTransition as error:
            insert(db, Happened("refused", {"why": error.message}, event.host), stamp)
            refused.append(error)
    if changed:
        touch(db)
    return refused


def keep(db: sqlite3.Connection, served: Served) -> None:
    """Remember the configs that hosts are served; writes only those that are not what a host was served before."""
    for name, config in served.items():
        digest = hashlib.sha256(config).hexdigest()
        if db.execute("SELECT sha256 FROM served WHERE name = ?", (name,)).fetchone() != (digest,):
            db.execute("INSERT OR REPLACE INTO served VALUES (?, ?, ?, ?)", (name, Stamp.now().at, digest, config))


def count(db: sqlite3.Connection, counts: Counts) -> None:
    """Add to counters."""
    db.executemany(
        "INSERT INTO counters VALUES (?, ?, ?, ?)"
        " ON CONFLICT (worker, name, reason) DO UPDATE SET count = count + excluded.count",
        [(*counter, number) for counter, number in counts.items()],
    )


def apply(db: sqlite3.Connection, event: Event, stamp: Stamp) -> bool:
    """Move a host by an event. Returns whether the inventory has changed. Raises IllegalTransition, having written nothing."""
    match event:
        case Reached():
            _reach(db, event, stamp)
        case Became():
            _become(db, event, stamp)
            if event.installed and not event.host.installed:
                tell(db, event.host.name, installed=1)
                return True
        case Learned():
            told = {"serial": event.identity.serial, "uuid": event.identity.uuid, "os_version": event.os_version}
            if event.address is not None:
                told["address"] = str(event.address)
                # Whoever was heard of there before has gone: the other server gave the address to this host.
                db.execute("UPDATE told SET address = NULL WHERE address = ? AND name != ?", (told["address"], event.host.name))
            tell(db, event.host.name, **{column: value for column, value in told.items() if value})
            return True
    return False


def tell(db: sqlite3.Connection, name: str, **columns: str | int) -> None:
    """What a machine told about itself, by the columns of `told`."""
    db.execute("INSERT OR IGNORE INTO told (name) VALUES (?)", (name,))
    for column, value in columns.items():
        db.execute(f"UPDATE told SET {column} = ? WHERE name = ?", (value, name))


def insert(db: sqlite3.Connection, event: Happened, stamp: Stamp) -> None:
    """A line of the history."""
    serial, name = (event.host.serial, event.host.name) if event.host else (None, None)
    db.execute(
        "INSERT INTO events (at, monotonic_ns, serial, host, kind, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (stamp.at, stamp.monotonic_ns, serial, name, event.kind, json.dumps(dict(event.detail))),
    )


def _reach(db: sqlite3.Connection, event: Reached, stamp: Stamp) -> None:
    state, current, reached_ns = _status(db, event.host)
    if 0 < reached_ns - stamp.monotonic_ns < LATE_NS:
        if current is not None and event.stage.position < current.position:
            insert(db, Happened("stage", {"stage": event.stage}, event.host), stamp)
        return
    stage = progress(current, event.stage, from_ipxe=event.from_ipxe)
    if stage is None:
        return
    # `since` belongs to the state, which a stage does not move.
    db.execute(
        "INSERT INTO status (name, state, since, stage, stage_ns) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET stage = excluded.stage, stage_ns = excluded.stage_ns",
        (event.host.name, state, stamp.at, stage, stamp.monotonic_ns),
    )
    insert(db, Happened("stage", {"stage": stage}, event.host), stamp)


def _become(db: sqlite3.Connection, event: Became, stamp: Stamp) -> None:
    current, _, _ = _status(db, event.host)
    state = current.become(event.state)
    if state != current:
        db.execute(
            "INSERT INTO status (name, state, since) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET state = excluded.state, since = excluded.since",
            (event.host.name, state, stamp.at),
        )
        insert(db, Happened("state", {"from": current, "to": state}, event.host), stamp)
    if event.text:
        insert(db, Happened(state, {"text": event.text}, event.host), stamp)


def _status(db: sqlite3.Connection, host: Host) -> tuple[State, Stage | None, int]:
    """State, stage, and when the stage was reached on the monotonic clock."""
    row = db.execute("SELECT state, stage, stage_ns FROM status WHERE name = ?", (host.name,)).fetchone()
    if row is None:
        return (State.CONFIGURED if host.profile else State.DISCOVERED), None, 0
    state = State(row[0])
    if state is State.DISCOVERED and host.profile:
        state = State.CONFIGURED
    return state, Stage(row[1]) if row[1] else None, row[2]
