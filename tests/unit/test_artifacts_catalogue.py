"""What is in the cache, what of it is current, and what goes."""

import shutil
from pathlib import Path

import pytest

from kubeception_sim.artifacts import catalogue, kubernetes, testbed
from kubeception_sim.artifacts.catalogue import Kept
from kubeception_sim.artifacts.store import Store
from kubeception_sim.errors import HarnessError


def put(cache: Path, kind: str, key: str, content: bytes = b"content") -> Path:
    def build(folder: Path, lock: int) -> None:
        (folder / "file").write_bytes(content)

    return Store(cache, kind).obtain(key, build, lambda what, done: None).directory


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kubernetes.VARIABLE, raising=False)
    monkeypatch.setattr(catalogue, "announced", frozenset)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    for kind, key in catalogue.current(tmp_path).items():
        put(tmp_path, kind, key)
    put(tmp_path, testbed.KIND, "0" * 32, b"of another recipe")
    put(tmp_path, "of-yesterday", "1" * 32)
    (tmp_path / testbed.KIND / "building-killed" / "root").mkdir(parents=True)
    (tmp_path / "packages" / "bookworm").mkdir(parents=True)
    (tmp_path / "accelerator-0.json").write_text("{}")
    return tmp_path


def names(entries: list[Kept]) -> set[str]:
    return {f"{entry.kind}/{entry.key}" for entry in entries}


def test_an_empty_cache_holds_nothing(tmp_path: Path) -> None:
    assert catalogue.kept(tmp_path / "none") == []


def test_entries_are_current_by_the_recipes_of_now(cache: Path) -> None:
    entries = catalogue.kept(cache)
    assert names([entry for entry in entries if entry.current]) == {
        f"{kind}/{key}" for kind, key in catalogue.current(cache).items()
    }
    rest = [entry for entry in entries if not entry.current]
    assert names(rest) == {f"testbed/{'0' * 32}", "testbed/building-killed", f"of-yesterday/{'1' * 32}"}
    assert [entry.key for entry in rest if not entry.whole] == ["building-killed"]
    (old,) = (entry for entry in rest if entry.key == "0" * 32)
    assert old.size == len(b"of another recipe") + (old.directory / "manifest.json").stat().st_size


def test_another_source_of_kubernetes_makes_other_entries_current(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, "https://dl.k8s.io")
    current = {entry.kind for entry in catalogue.kept(cache) if entry.current}
    assert current == {"testbed", "image-base", "openbao"}


def test_verify_reads_all_and_names_the_damaged_file(cache: Path) -> None:
    entries = catalogue.kept(cache)
    broken = next(entry for entry in entries if entry.kind == "openbao")
    (broken.directory / "file").write_bytes(b"CONTENT")
    found = {entry.kind: problem for entry in entries if entry.whole and (problem := catalogue.verify(cache, entry))}
    assert list(found) == ["openbao"]
    assert found["openbao"].startswith(f"{broken.directory / 'file'}: sha256 is not ")


def test_what_is_removed_is_gone_and_the_rest_is_as_it_was(cache: Path) -> None:
    rest = [entry for entry in catalogue.kept(cache) if not entry.current]
    assert [removal.problem for removal in catalogue.collect(cache, rest)] == ["", "", ""]
    left = catalogue.kept(cache)
    assert names(left) == {f"{kind}/{key}" for kind, key in catalogue.current(cache).items()}
    assert [catalogue.verify(cache, entry) for entry in left] == [""] * len(left)
    assert (cache / "packages" / "bookworm").is_dir()


def test_nothing_is_removed_while_a_lab_lives(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "announced", lambda: frozenset({"0badf00d"}))
    before = catalogue.kept(cache)
    with pytest.raises(HarnessError, match="while a lab lives: 0badf00d"):
        list(catalogue.collect(cache, before))
    assert catalogue.kept(cache) == before


def test_nothing_is_removed_where_somebody_builds(cache: Path) -> None:
    entries = [entry for entry in catalogue.kept(cache) if not entry.current and entry.kind == testbed.KIND]

    def build(folder: Path, lock: int) -> None:
        problems = [removal.problem for removal in catalogue.collect(cache, entries)]
        assert problems == [f"{cache / testbed.KIND}: being built in"] * 2
        (folder / "file").touch()

    Store(cache, testbed.KIND).obtain("2" * 32, build, lambda what, done: None)
    assert f"testbed/{'0' * 32}" in names(catalogue.kept(cache))


def test_what_somebody_else_removed_meanwhile_is_told(cache: Path) -> None:
    (entry,) = (entry for entry in catalogue.kept(cache) if entry.kind == "of-yesterday")
    shutil.rmtree(entry.directory)
    (removal,) = catalogue.collect(cache, [entry])
    assert "No such file" in removal.problem
