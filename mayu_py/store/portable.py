"""The state as text: one sorted file per host, so that a version control system shows what changed, and the history.

    cluster.json        what the export is, and the inventory's revision
    hosts/NAME.json     what the store knows of a host: its record if it enrolled itself, what it told, operators' edits, status
    counters.json       what the workers have counted
    discovery.json      the tokens of etcd's discovery
    events.jsonl        the history, an event a line

Equal states make equal bytes, and an import of an export is that state again. Processes and the generations of the config belong
to a server that runs, and stay out; so do the configs that were served, for they may hold secrets.
"""

import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mayu_py.errors import StoreError
from mayu_py.store import audit
from mayu_py.store.schema import claims
from mayu_py.store.sqlite import SqliteStore

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "told": ("serial", "uuid", "os_version", "installed", "address"),
    "status": ("state", "since", "stage", "stage_ns"),
}
_EVENT = ("id", "at", "monotonic_ns", "serial", "host", "kind", "detail")
_LISTS: Mapping[str, tuple[str, ...]] = {
    "counters": ("worker", "name", "reason", "count"),
    "discovery": ("token", "made_at", "members", "record"),
}


def export(store: SqliteStore, folder: Path) -> int:
    """Write the state into a folder that is empty or holds an earlier export; returns how many hosts. Raises StoreError.

    Files of hosts that are gone are removed, everything else in the folder stays.
    """
    with store.transaction("DEFERRED") as db:
        files = dict(_files(db))
    try:
        _check_target(folder)
        (folder / "hosts").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            _put(folder / name, text)
        for stale in (folder / "hosts").glob("*.json"):
            if f"hosts/{stale.name}" not in files:
                stale.unlink()
    except OSError as error:
        raise StoreError(f"cannot export to {folder}: {error.strerror}: {error.filename}") from error
    return sum(name.startswith("hosts/") for name in files)


def load(store: SqliteStore, folder: Path) -> int:
    """Read an export into an empty store, wholly or not at all; returns how many hosts. Raises StoreError with the place."""
    cluster = _object(folder / "cluster.json")
    if cluster.get("format") != FORMAT:
        raise StoreError(f"{folder / 'cluster.json'}: format {cluster.get('format')!r}; this mayu reads format {FORMAT}")
    hosts = {path: _object(path) for path in sorted((folder / "hosts").glob("*.json"))}
    with store.transaction() as db:
        if any(db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in _TABLES):
            raise StoreError("the store is not empty", hint="name a new file in `state`, or move the old one away")
        for path, host in hosts.items():
            with _Place(path):
                _insert_host(db, path.stem, host)
        for table, columns in _LISTS.items():
            with _Place(folder / f"{table}.json") as place:
                _insert(db, table, columns, json.loads(place.read_text()))
        _insert_events(db, folder / "events.jsonl")
        db.execute("UPDATE meta SET value = ? WHERE key = 'revision'", (cluster["revision"],))
        if found := audit.findings(db):
            raise StoreError("\n".join((f"{folder} is no sound state:", *found)))
    return len(hosts)


_TABLES = ("enrolled", "told", "edits", "status", "events", "counters", "discovery")


def _files(db: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    (revision,) = db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
    yield "cluster.json", _pretty({"format": FORMAT, "revision": revision})
    hosts: dict[str, dict[str, Any]] = {}
    for table in ("enrolled", "edits"):
        for name, record in db.execute(f"SELECT name, record FROM {table}"):
            hosts.setdefault(name, {})[table] = json.loads(record)
    for table, columns in _COLUMNS.items():
        for name, *row in db.execute(f"SELECT name, {', '.join(columns)} FROM {table}"):
            hosts.setdefault(name, {})[table] = dict(zip(columns, row, strict=True))
    for name, host in sorted(hosts.items()):
        if not _NAME.fullmatch(name):
            raise StoreError(f"{name!r} cannot be the name of a file")
        yield f"hosts/{name}.json", _pretty(host)
    for table, columns in _LISTS.items():
        rows = db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1, 2, 3")
        yield f"{table}.json", _pretty([dict(zip(columns, row, strict=True)) for row in rows])
    yield "events.jsonl", "".join(_events(db))


def _events(db: sqlite3.Connection) -> Iterator[str]:
    for row in db.execute(f"SELECT {', '.join(_EVENT)} FROM events ORDER BY id"):
        event = dict(zip(_EVENT, row, strict=True))
        yield json.dumps(event | {"detail": json.loads(event["detail"])}) + "\n"


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _check_target(folder: Path) -> None:
    if not folder.exists():
        return
    held = {path.name for path in folder.iterdir()} - {".git", ".gitignore"}
    if held and "cluster.json" not in held:
        raise StoreError(f"{folder} holds something else: {min(held)}", hint="name a new folder, or one with an earlier export")


def _put(path: Path, text: str) -> None:
    """Whole or not at all, and untouched when nothing is different."""
    if path.exists() and path.read_text("utf-8") == text:
        return
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, "utf-8")
    os.replace(beside, path)


class _Place:
    """Turns what is wrong in a file into an error that names it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.line = 0

    def read_text(self) -> str:
        return self._path.read_text("utf-8")

    def __enter__(self) -> "_Place":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise StoreError(f"{self._path}: {error.strerror}", hint="is this the folder of an export?") from error
        if isinstance(error, (ValueError, KeyError, TypeError, AttributeError, AssertionError, sqlite3.Error)):
            where = f"{self._path}:{self.line}" if self.line else str(self._path)
            raise StoreError(f"{where}: not readable: {error!r}") from error


def _object(path: Path) -> dict[str, Any]:
    with _Place(path) as place:
        value = json.loads(place.read_text())
        if not isinstance(value, dict):
            raise TypeError("an object is wanted")
        return value
    raise AssertionError  # `_Place` lets no error of reading pass; mypy cannot know.


def _insert_host(db: sqlite3.Connection, name: str, host: Mapping[str, Any]) -> None:
    if unknown := host.keys() - {"enrolled", "edits", *_COLUMNS}:
        raise ValueError(f"unknown key {min(unknown)!r}")
    for table in ("enrolled", "edits"):
        if table in host:
            db.execute(f"INSERT INTO {table} VALUES (?, ?)", (name, json.dumps(host[table])))
    if "enrolled" in host:
        db.executemany("INSERT INTO claims VALUES (?, ?)", [(claim, name) for claim in claims(host["enrolled"])])
    for table, columns in _COLUMNS.items():
        if table in host:
            _insert(db, table, ("name", *columns), [{"name": name, **host[table]}])


def _insert_events(db: sqlite3.Connection, path: Path) -> None:
    with _Place(path) as place:
        # Not `splitlines`: a text may hold other characters that end lines.
        for number, text in enumerate(place.read_text().removesuffix("\n").split("\n"), 1):
            place.line = number
            if not text and number == 1:
                break
            event = json.loads(text)
            _insert(db, "events", _EVENT, [event | {"detail": json.dumps(event["detail"])}])


def _insert(db: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    marks = ", ".join("?" * len(columns))
    values = [tuple(row[column] for column in columns) for row in rows]
    db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", values)
