"""`mayu store` as its users meet it."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from mayu_py.core.hosts import ENROLLED, Host, Mac
from mayu_py.core.inventory import Changes, Note
from mayu_py.store.sqlite import SqliteStore

HOST = Host("10-77-0-10", IPv4Address("10.77.0.10"), (Mac("52:54:00:00:01:01"),), origin=ENROLLED)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rack.yaml").write_text("networks: []\nimages: {}\nprofiles: []\nstate: state/mayu.db\n")
    with closing(SqliteStore(tmp_path / "state/mayu.db")) as store:
        store.change(lambda _: Changes(new=(HOST,), notes=(Note("enrolled", HOST, {}),)))
    return tmp_path


def mayu(folder: Path, *words: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "mayu_py", "store", *words]
    ran = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=30)
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout + ran.stderr


def test_a_sound_state_is_said_to_be_so(folder: Path) -> None:
    assert mayu(folder, "check", "--state", "state/mayu.db") == (0, "state/mayu.db: sound\n")


def test_what_is_wrong_is_listed(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "state/mayu.db")) as db:
        db.execute("DELETE FROM claims WHERE claim LIKE 'mac%'")
        db.execute("DROP TRIGGER events_stay")
        db.execute("CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT 1; END")
        db.execute("UPDATE meta SET value = -1 WHERE key = 'revision'")
        db.commit()
    assert mayu(folder, "check", "--state", "state/mayu.db") == (
        1,
        "state/mayu.db: schema: trigger events_stay is another one\nstate/mayu.db: 1 problem\n",
    )


def test_a_state_is_carried_elsewhere_as_text(folder: Path) -> None:
    assert mayu(folder, "export", "--state", "state/mayu.db", "racks") == (0, "racks: 1 host\n")
    assert json.loads((folder / "racks/hosts/10-77-0-10.json").read_text())["enrolled"]["address"] == "10.77.0.10"
    assert mayu(folder, "import", "--state", "new.db", "racks") == (0, "new.db: 1 host\n")
    assert mayu(folder, "export", "--state", "new.db", "again") == (0, "again: 1 host\n")
    for path in (folder / "racks").rglob("*.json*"):
        assert (folder / "again" / path.relative_to(folder / "racks")).read_bytes() == path.read_bytes()
    code, said = mayu(folder, "import", "--state", "new.db", "racks")
    assert (code, "the store is not empty" in said, "hint:" in said) == (1, True, True)


@pytest.mark.parametrize("verb", [("check",), ("export", "racks")])
def test_a_state_file_that_is_not_there_is_not_made(folder: Path, verb: tuple[str, ...]) -> None:
    code, said = mayu(folder, verb[0], "--state", "other.db", *verb[1:])
    assert (code, "there is no state file other.db" in said) == (1, True)
    assert not (folder / "other.db").exists()


def test_the_state_file_is_the_one_of_the_config(folder: Path) -> None:
    code, said = mayu(folder, "check", "-c", "rack.yaml")
    assert (code, said.endswith("state/mayu.db: sound\n")) == (0, True), said
