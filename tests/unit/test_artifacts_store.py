"""The cache of built folders: complete or absent, whatever happens to builders and files."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kubeception_sim.artifacts.store import FileRecord, Store, default_cache, remove_tree
from kubeception_sim.errors import HarnessError

CONTENT_SHA256 = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"  # of b"content"


class Builder:
    """Writes one file, and counts how often it was asked to."""

    def __init__(self, content: bytes = b"content") -> None:
        self.content = content
        self.calls = 0

    def __call__(self, folder: Path, lock: int) -> None:
        assert list(folder.iterdir()) == []
        self.calls += 1
        (folder / "file").write_bytes(self.content)


def quiet(step: str, done: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache", "kind")


def names(store: Store) -> set[str]:
    return {path.name for path in store.directory.iterdir()}


def test_a_missing_entry_is_built_once(store: Store) -> None:
    build = Builder()
    first, second = (store.obtain("k", build, quiet) for _ in range(2))
    assert first == second
    assert build.calls == 1
    assert first.path("file").read_bytes() == b"content"
    mtime = first.path("file").stat().st_mtime_ns
    assert first.files == {"file": FileRecord(size=7, mtime_ns=mtime, sha256=CONTENT_SHA256)}
    assert names(store) == {"k", "lock"}


def test_making_a_store_and_looking_for_an_entry_leave_no_trace(store: Store) -> None:
    assert store.find("k") is None
    assert not store.directory.exists()


def test_a_failed_build_is_passed_on_and_leaves_nothing(store: Store) -> None:
    def fail(folder: Path, lock: int) -> None:
        (folder / "half").write_bytes(b"ha")
        raise HarnessError("no mirror")

    with pytest.raises(HarnessError, match="no mirror"):
        store.obtain("k", fail, quiet)
    assert names(store) == {"lock"}
    assert store.obtain("k", Builder(), quiet).path("file").exists()


def test_an_interrupted_build_leaves_nothing(store: Store) -> None:
    def interrupt(folder: Path, lock: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.obtain("k", interrupt, quiet)
    assert names(store) == {"lock"}


def test_what_a_killed_builder_left_is_removed_by_the_next(store: Store) -> None:
    (store.directory / "building-dead" / "root").mkdir(parents=True)
    store.obtain("k", Builder(), quiet)
    assert names(store) == {"k", "lock"}


def rewrite(file: Path, *, mtime_ns: int) -> None:
    """Other content of the same size."""
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(mtime_ns, mtime_ns))


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "file").unlink(),
        lambda entry: (entry / "file").write_bytes(b"short"),
        lambda entry: rewrite(entry / "file", mtime_ns=0),
        lambda entry: (entry / "manifest.json").write_text("{"),
        lambda entry: (entry / "manifest.json").write_text('{"files": {"file": {"size": 7}}}'),
        lambda entry: (entry / "manifest.json").unlink(),
    ],
    ids=["file gone", "truncated", "other content", "manifest cut", "manifest of another form", "manifest gone"],
)
def test_a_visibly_damaged_entry_is_built_again(store: Store, damage: Callable[[Path], object]) -> None:
    build = Builder()
    damage(store.obtain("k", build, quiet).directory)
    assert store.find("k") is None
    assert store.obtain("k", build, quiet).path("file").read_bytes() == b"content"
    assert build.calls == 2
    assert names(store) == {"k", "lock"}


def test_a_copied_cache_is_still_good(store: Store) -> None:
    build = Builder()
    os.utime(store.obtain("k", build, quiet).path("file"), (0, 0))
    store.obtain("k", build, quiet)
    assert build.calls == 1


def test_damage_that_hides_behind_size_and_time_is_found_by_verify(store: Store) -> None:
    entry = store.obtain("k", Builder(), quiet)
    store.verify("k")
    rewrite(entry.path("file"), mtime_ns=entry.files["file"].mtime_ns)
    assert store.find("k") == entry
    with pytest.raises(HarnessError) as damage:
        store.verify("k")
    assert damage.value.message == f"{entry.path('file')}: sha256 is not {CONTENT_SHA256}"
    assert damage.value.hint == f"rm -r {entry.directory}, it is built again when needed"


def test_verify_of_nothing_says_so(store: Store) -> None:
    with pytest.raises(HarnessError, match="no such entry"):
        store.verify("k")


def test_a_second_builder_waits_says_so_and_uses_what_the_first_built(store: Store) -> None:
    heard: list[tuple[str, float]] = []
    waiting, finished = threading.Event(), Builder()

    def listen(step: str, done: float) -> None:
        heard.append((step, done))
        waiting.set()

    second = threading.Thread(target=lambda: store.obtain("k", finished, listen))

    def slow(folder: Path, lock: int) -> None:
        second.start()
        assert waiting.wait(10)
        (folder / "file").write_bytes(b"first")

    entry = store.obtain("k", slow, quiet)
    second.join(10)
    assert heard == [("waiting for another build", 0.0)]
    assert finished.calls == 0
    assert entry.path("file").read_bytes() == b"first"


def test_a_program_that_inherits_the_lock_keeps_others_away_when_its_builder_is_gone(store: Store) -> None:
    inherited: list[int] = []

    def die(folder: Path, lock: int) -> None:
        inherited.append(os.dup(lock))
        raise HarnessError("killed")

    with pytest.raises(HarnessError):
        store.obtain("k", die, quiet)

    def listen(step: str, done: float) -> None:
        heard.append(step)
        os.close(inherited.pop())

    heard: list[str] = []
    store.obtain("k", Builder(), listen)
    assert heard == ["waiting for another build"]


def test_a_tree_with_a_mount_in_it_is_not_removed(tmp_path: Path) -> None:
    tree = tmp_path / "a tree"
    (tree / "dev").mkdir(parents=True)
    mountinfo = tmp_path / "mountinfo"
    mounted = str(tree / "dev").replace(" ", r"\040")
    mountinfo.write_text(f"23 1 0:5 / / rw - ext4 /dev/vda rw\n24 23 0:6 / {mounted} rw - devtmpfs udev rw\n")
    with pytest.raises(HarnessError, match=r"still mounted: .*/a tree/dev"):
        remove_tree(tree, mountinfo=mountinfo)
    assert (tree / "dev").exists()
    remove_tree(tree)
    assert not tree.exists()


def test_the_cache_is_where_the_environment_says_or_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("KUBECEPTION_CACHE", raising=False)
    assert default_cache() == Path("/home/someone/.cache/kubeception")
    monkeypatch.setenv("KUBECEPTION_CACHE", "/var/cache/rack")
    assert default_cache() == Path("/var/cache/rack")
