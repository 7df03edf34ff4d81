"""Tokens of etcd's discovery: statements over a connection that has a transaction open."""

import json
import sqlite3

from mayu_py.core.discovery import Change, Cluster, Member, Step
from mayu_py.errors import DiscoveryFull, StoreError
from mayu_py.store import Stamp

# Anyone in the rack may make a token.
MOST_TOKENS = 1000


def read(db: sqlite3.Connection, token: str) -> Cluster | None:
    """What is known of a token. Raises StoreError when its record is damaged."""
    row = db.execute("SELECT record FROM discovery WHERE token = ?", (token,)).fetchone()
    try:
        return of_text(token, row[0]) if row is not None else None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the record of etcd's token {token} is no record: {error!r}", hint="make a new token") from error


def change(db: sqlite3.Connection, token: str, step: Step) -> None:
    """Write what `step` makes of a token. Raises DiscoveryFull when there is no room for a new one."""
    before = read(db, token)
    after = step(before)
    if after is None or after is before:
        return
    if before is None:
        _make_room(db)
    db.execute(
        "INSERT INTO discovery VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (token) DO UPDATE SET"
        " members = excluded.members, position = excluded.position, expires = excluded.expires, record = excluded.record",
        (token, Stamp.now().at, len(after.members), after.index, after.expires, to_text(after)),
    )


def index(db: sqlite3.Connection, token: str) -> tuple[int, float | None]:
    """The token's index, 0 when there is no such token, and when its next member expires."""
    row = db.execute("SELECT position, expires FROM discovery WHERE token = ?", (token,)).fetchone()
    return (row[0], row[1]) if row is not None else (0, None)


def to_text(cluster: Cluster) -> str:
    """A cluster as a store keeps it."""
    members = {name: [m.value, m.created, m.modified, m.expires] for name, m in cluster.members.items()}
    numbers = [cluster.size, cluster.index, cluster.size_created, cluster.size_modified]
    changes = [[change.index, change.key, change.body] for change in cluster.changes]
    return json.dumps({"numbers": numbers, "members": members, "changes": changes})


def of_text(token: str, text: str) -> Cluster:
    """The reverse of `to_text`. Raises ValueError, KeyError or TypeError when the text is no record."""
    record = json.loads(text)
    size, index, created, modified = record["numbers"]
    members = {name: Member(*values) for name, values in record["members"].items()}
    return Cluster(token, size, index, created, modified, members, tuple(Change(*each) for each in record["changes"]))


def _make_room(db: sqlite3.Connection) -> None:
    """The oldest token that nobody joined gives way to a new one; a token with members never does."""
    (count,) = db.execute("SELECT count(*) FROM discovery").fetchone()
    if count < MOST_TOKENS:
        return
    unused = "SELECT token FROM discovery WHERE members = 0 ORDER BY made_at, token LIMIT 1"
    if not db.execute(f"DELETE FROM discovery WHERE token = ({unused})").rowcount:
        raise DiscoveryFull(f"{MOST_TOKENS} etcd tokens have members, which is the most", hint="delete the members of one")
