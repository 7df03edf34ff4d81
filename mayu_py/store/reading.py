"""What a store tells: statements over a connection."""

import json
import sqlite3
from collections.abc import Mapping
from ipaddress import IPv4Address

from mayu_py.core.hosts import Stage, State, Uuid
from mayu_py.core.inventory import Inventory, Told
from mayu_py.store import Status, StoredEvent, WorkerStatus, records


def inventory(db: sqlite3.Connection, revision: int) -> Inventory:
    """All that the store adds to the config. Raises ValueError, KeyError or TypeError for a damaged record."""
    enrolled = tuple(records.host(*row) for row in db.execute("SELECT name, record FROM enrolled ORDER BY name"))
    told = {
        name: Told(serial, Uuid(uuid) if uuid else None, version, bool(installed), IPv4Address(address) if address else None)
        for name, serial, uuid, version, installed, address in db.execute(
            "SELECT name, serial, uuid, os_version, installed, address FROM told"
        )
    }
    edits = {name: records.edits(record) for name, record in db.execute("SELECT name, record FROM edits")}
    return Inventory(revision, enrolled, told, edits)


def statuses(db: sqlite3.Connection) -> Mapping[str, Status]:
    """Host name -> where it stands."""
    rows = db.execute("SELECT name, state, stage, since FROM status").fetchall()
    return {name: Status(State(state), Stage(stage) if stage else None, since) for name, state, stage, since in rows}


def events(db: sqlite3.Connection, after: int, limit: int, host: str | None) -> list[StoredEvent]:
    """The history after event `after`, oldest first, at most `limit` rows; of one host, if it is named."""
    rows = db.execute(
        "SELECT id, at, monotonic_ns, serial, host, kind, detail FROM events"
        " WHERE id > ? AND (? IS NULL OR host = ?) ORDER BY id LIMIT ?",
        (after, host, host, limit),
    ).fetchall()
    return [
        StoredEvent(number, at, clock, serial, host, kind, json.loads(detail))
        for number, at, clock, serial, host, kind, detail in rows
    ]


def workers(db: sqlite3.Connection) -> list[WorkerStatus]:
    """The worker processes, by name."""
    rows = db.execute("SELECT worker, pid, ready, restarts, generation FROM workers ORDER BY worker").fetchall()
    return [WorkerStatus(worker, pid, bool(ready), restarts, number) for worker, pid, ready, restarts, number in rows]
