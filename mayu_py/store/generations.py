"""Which config serves, and who asked for another: statements over a connection, and the way to ask."""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mayu_py.errors import StartError
from mayu_py.store import Generation, Happened, ReloadOutcome, Stamp, Store, writing

KEPT_ANSWERS = 100
LOOK_SECONDS = 0.02


def request_reload(store: Store, by: str, seconds: float = 60.0) -> ReloadOutcome:
    """Have the supervisor read the config again, and wait for what comes of it.

    The request is a row of the store, the supervisor is told by SIGHUP, and its answer is in that row. For any process of the
    server: the one that serves HTTP is replaced by the very reload, but finishes what it has begun. Raises StartError when no
    supervisor answers in time, and StoreError.
    """
    generation = store.generation()
    if generation is None:
        raise StartError("no server has loaded a config with this state file")
    request = store.ask_reload(by)
    try:
        os.kill(generation.pid, signal.SIGHUP)
    except ProcessLookupError as error:
        raise StartError(f"the server of this state file, process {generation.pid}, is gone") from error
    deadline = time.monotonic() + seconds
    while (outcome := store.reload_outcome(request)) is None:
        if time.monotonic() > deadline:
            raise StartError(f"the reload was not answered within {seconds:.0f} s", hint="the server's log may say why")
        # The answer comes from another process through a file: there is nothing to wait on but its change.
        time.sleep(LOOK_SECONDS)
    return outcome


def current(db: sqlite3.Connection) -> Generation | None:
    """The newest one."""
    row = db.execute("SELECT generation, loaded_at, pid FROM generations ORDER BY generation DESC LIMIT 1").fetchone()
    return Generation(*row) if row else None


def load(db: sqlite3.Connection, pid: int, changes: Mapping[str, Any], upto: int) -> Generation:
    """Number a new generation and answer who asked for it."""
    stamp = Stamp.now()
    cursor = db.execute("INSERT INTO generations (loaded_at, pid) VALUES (?, ?)", (stamp.at, pid))
    assert cursor.lastrowid is not None
    generation = Generation(cursor.lastrowid, stamp.at, pid)
    writing.insert(db, Happened("reloaded", {"generation": generation.number, **changes}), stamp)
    _answer(db, ReloadOutcome(True, generation.number, changes=changes), upto)
    return generation


def refuse(db: sqlite3.Connection, problems: Sequence[str], upto: int) -> None:
    """The last good config stays."""
    now = current(db)
    number = now.number if now else 0
    writing.insert(db, Happened("reload-refused", {"generation": number, "problems": list(problems)}), Stamp.now())
    _answer(db, ReloadOutcome(False, number, tuple(problems)), upto)


def _answer(db: sqlite3.Connection, outcome: ReloadOutcome, upto: int) -> None:
    text = json.dumps([outcome.accepted, outcome.generation, outcome.problems, dict(outcome.changes)])
    db.execute("UPDATE reloads SET outcome = ? WHERE outcome IS NULL AND id <= ?", (text, upto))
    db.execute("DELETE FROM reloads WHERE id <= ?", (upto - KEPT_ANSWERS,))


def outcome(db: sqlite3.Connection, request: int) -> ReloadOutcome | None:
    """What came of a request, if anything."""
    row = db.execute("SELECT outcome FROM reloads WHERE id = ?", (request,)).fetchone()
    if row is None or row[0] is None:
        return None
    accepted, generation, problems, changes = json.loads(row[0])
    return ReloadOutcome(accepted, generation, tuple(problems), changes)
