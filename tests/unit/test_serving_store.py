"""The last config of each host is in the state file, until the host is forgotten."""

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from mayu_py.core.hosts import ENROLLED, Host, Mac
from mayu_py.core.inventory import Changes
from mayu_py.errors import StoreError
from mayu_py.store.sqlite import SqliteStore

HOST = Host("node-1", IPv4Address("10.77.0.11"), (Mac("52:54:00:00:00:01"),), origin=ENROLLED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mayu.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    try:
        yield opened
    finally:
        opened.close()


def test_it_is_the_one_that_was_kept_last_of_this_host(store: SqliteStore) -> None:
    assert store.last_served("node-1") is None
    for config in (b"one", b"two \0\xff"):
        store.keep_served("node-1", config)
    store.keep_served("node-2", b"other")
    assert (store.last_served("node-1"), store.last_served("node-2")) == (b"two \0\xff", b"other")


def test_another_process_and_a_later_one_read_it(store: SqliteStore, path: Path) -> None:
    store.keep_served("node-1", b"config")
    other = SqliteStore(path)
    try:
        assert other.last_served("node-1") == b"config"
    finally:
        other.close()


def test_keeping_the_same_again_writes_nothing(store: SqliteStore, path: Path) -> None:
    store.keep_served("node-1", b"config")
    other = SqliteStore(path)
    try:
        before = other._db.execute("PRAGMA data_version").fetchone()
        store.keep_served("node-1", b"config")
        assert other._db.execute("PRAGMA data_version").fetchone() == before
        store.keep_served("node-1", b"another")
        assert other._db.execute("PRAGMA data_version").fetchone() != before
    finally:
        other.close()


def test_only_its_owner_reads_the_state_file_and_what_is_beside_it(store: SqliteStore, path: Path) -> None:
    store.keep_served("node-1", b"config")
    assert {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {
        "mayu.db": 0o600,
        "mayu.db-wal": 0o600,
        "mayu.db-shm": 0o600,
    }


def test_it_does_not_move_the_inventory(store: SqliteStore) -> None:
    before = store.revision()
    store.keep_served("node-1", b"config")
    assert store.revision() == before


def test_a_deleted_host_leaves_none_to_the_next_of_its_name(store: SqliteStore) -> None:
    store.change(lambda inventory: Changes(new=(HOST,)))
    store.keep_served("node-1", b"config")
    store.change(lambda inventory: Changes(gone=("node-1",)))
    assert store.last_served("node-1") is None


def test_nor_does_one_whose_record_the_config_had_replaced(store: SqliteStore) -> None:
    store.keep_served("node-1", b"of the host that the config named")
    store.change(lambda inventory: Changes(new=(HOST,)))
    assert store.last_served("node-1") is None


def test_bytes_that_are_not_what_was_written_are_an_error(store: SqliteStore) -> None:
    store.keep_served("node-1", b"config")
    store._db.execute("UPDATE served SET config = x'00'")
    with pytest.raises(StoreError, match="the last config of node-1 is damaged"):
        store.last_served("node-1")
