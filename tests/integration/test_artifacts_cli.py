"""kubeception artifacts: what is told of a cache, and what is removed from it."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kubeception_sim import cli
from kubeception_sim.artifacts import catalogue, kubernetes, testbed
from kubeception_sim.artifacts.store import Store

OLD = "0" * 32
OTHERS = ["image-base", "images", "images-clusters", "kubernetes", "node", "node-clusters", "openbao"]
Call = Callable[..., tuple[int, str, str]]


def put(cache: Path, kind: str, key: str) -> Path:
    def build(folder: Path, lock: int) -> None:
        (folder / "file").write_bytes(bytes(2_000_000))

    return Store(cache, kind).obtain(key, build, lambda what, done: None).directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One entry that is current, one that is of another recipe, and one that nobody finished."""
    monkeypatch.setenv("KUBECEPTION_CACHE", str(tmp_path))
    monkeypatch.delenv(kubernetes.VARIABLE, raising=False)
    monkeypatch.setattr(catalogue, "announced", frozenset)
    put(tmp_path, testbed.KIND, testbed.key())
    aged = put(tmp_path, testbed.KIND, OLD)
    os.utime(aged / "manifest.json", (0, 0))
    (tmp_path / testbed.KIND / "building-dead").mkdir()
    os.utime(tmp_path / testbed.KIND / "building-dead", (1, 1))
    return tmp_path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The entry point in this process: its exit code, stdout and stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kubeception", "artifacts", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return call


def test_the_list_tells_current_from_old_unfinished_and_missing(cache: Path, call: Call) -> None:
    code, out, err = call("list")
    rows = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, f"4 MB in {cache}\n")
    assert [(row[0], row[1], row[-1]) for row in rows[:3]] == [
        ("testbed", testbed.key(), "current"),
        ("testbed", "building-dead", "unfinished"),
        ("testbed", OLD, "old"),
    ]
    assert [row[0] for row in rows[3:]] == OTHERS
    assert {" ".join(row[-3:]) for row in rows[3:]} == {"not made yet"}


def test_the_list_in_json_is_alone_on_stdout(cache: Path, call: Call) -> None:
    code, out, err = call("list", "--json")
    document = json.loads(out)
    assert (code, err, document["schema"], document["cache"]) == (0, "", 1, str(cache))
    (old,) = (row for row in document["artifacts"] if row["key"] == OLD)
    assert old == {
        "kind": "testbed",
        "key": OLD,
        "directory": str(cache / "testbed" / OLD),
        "size": 2_000_000 + (cache / "testbed" / OLD / "manifest.json").stat().st_size,
        "made": 0.0,
        "current": False,
        "whole": True,
    }
    assert document["missing"] == OTHERS


def test_verify_is_exit_2_for_damage_that_hides_behind_size_and_time(cache: Path, call: Call) -> None:
    assert call("verify")[0] == 0
    file = cache / "testbed" / OLD / "file"
    stat = file.stat()
    file.write_bytes(b"x" * stat.st_size)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    code, out, _ = call("verify", "--json")
    document = json.loads(out)
    assert (code, document["ok"]) == (2, False)
    assert {row["key"]: bool(row["problem"]) for row in document["artifacts"]} == {OLD: True, testbed.key(): False}


def test_gc_removes_what_is_not_current_and_a_dry_run_nothing(cache: Path, call: Call) -> None:
    code, out, _ = call("gc", "--dry-run")
    assert code == 0
    assert out.splitlines() == [
        "would remove testbed building-dead, 0 kB",
        f"would remove testbed {OLD}, 2 MB",
        "2 MB would be free",
    ]
    code, out, _ = call("gc", "--json")
    assert (code, [row["removed"] for row in json.loads(out)["artifacts"]]) == (0, [True, True])
    assert {path.name for path in (cache / "testbed").iterdir()} == {testbed.key(), "lock"}
    assert call("gc")[:2] == (0, "nothing to remove\n")


def test_gc_touches_nothing_while_a_lab_lives(cache: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "announced", lambda: frozenset({"0badf00d"}))
    code, _, err = call("gc")
    assert (code, "while a lab lives: 0badf00d" in err) == (2, True)
    assert (cache / "testbed" / OLD).is_dir()


def test_fetch_gets_what_is_asked_for_and_prints_its_folder(
    cache: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in kubernetes.PROGRAMS:
        (own / name).write_text("#!/bin/sh\necho Kubernetes v1.29.7\n")
        (own / name).chmod(0o755)
    monkeypatch.setenv(kubernetes.VARIABLE, str(own))
    assert call("fetch", "kubernetes")[:2] == (0, f"kubernetes      {own}\n")
    assert json.loads(call("fetch", "kubernetes", "--json")[1])["folders"] == {"kubernetes": str(own)}


def test_a_kind_that_is_none_is_bad_input(call: Call) -> None:
    code, _, err = call("fetch", "etcd")
    assert (code, "'etcd' is not one of" in err) == (3, True)
