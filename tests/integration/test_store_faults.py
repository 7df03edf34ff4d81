"""The store on a disk that fails at any step: killed there, out of space, broken, or without power."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from mayu_py.store import audit
from mayu_py.store.sqlite import MemoryStore, SqliteStore
from tests.faults import powerloss, workload

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes disks fail."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("a failing disk is a preloaded library: `gcc` (packages gcc and libc6-dev) is not there to build it")
    built = tmp_path_factory.mktemp("disk") / "disk.so"
    source = ROOT / "tests/faults/disk.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", built, source, "-ldl"], check=True)
    return built


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be: what a sync means is simulated, and thousands of real ones take minutes."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def run(disk: Path, folder: Path, mode: str, error: int = 0) -> None:
    environment = {**os.environ, "LD_PRELOAD": str(disk), "FAULT_DIR": str(folder / "disks"), "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "tests.faults.workload", mode, str(folder), str(error)]
    subprocess.run(argv, check=True, env=environment, cwd=ROOT, timeout=100)


@cache
def after(*changes: int) -> object:
    """What a store holds after these changes."""
    store = MemoryStore()
    for number in changes:
        workload.CHANGES[number - 1](store)
    return workload.view(store)


def told(acks: Path) -> list[int]:
    return [int(line) for line in acks.read_text().split()]


def assert_whole(folder: Path, allowed: Sequence[Sequence[int]]) -> None:
    """The file opens, is sound, and holds one of these sequences of changes."""
    with closing(SqliteStore(folder / "mayu.db")) as store:
        assert audit.check(store) == []
        found = workload.view(store)
    assert any(found == after(*changes) for changes in allowed), f"not one of {allowed}"


@pytest.mark.parametrize("mode", ["kill", "torn"])
@pytest.mark.timeout(120)
def test_a_process_killed_at_any_step_leaves_every_acknowledged_change_and_none_by_half(
    disk: Path, folder: Path, mode: str
) -> None:
    run(disk, folder, mode)
    left = sorted((folder / "disks").iterdir(), key=lambda path: int(path.name))
    assert len(left) > 100  # Or the disk has not counted what it should.
    for each in left:
        acknowledged = told(folder / "acks" / each.name)
        begun = list(range(1, min(len(acknowledged) + 1, len(workload.CHANGES)) + 1))
        assert_whole(each, [acknowledged, begun])


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("mode", ["once", "ever"])
@pytest.mark.timeout(120)
def test_a_disk_that_fails_at_any_step_refuses_changes_whole_and_keeps_the_others(
    disk: Path, folder: Path, mode: str, error: int
) -> None:
    run(disk, folder, mode, error)
    left = sorted((folder / "disks").iterdir(), key=lambda path: int(path.name))
    assert len(left) > 100
    for each in left:
        outcomes = told(folder / "acks" / each.name)
        assert [abs(number) for number in outcomes] == list(range(1, len(workload.CHANGES) + 1))
        acknowledged = [number for number in outcomes if number > 0]
        # What was refused may yet be there, whole: the last of it, when its error came from the very end of the commit.
        refused = [-number for number in outcomes if number < 0]
        assert_whole(each, [acknowledged, *(sorted([*acknowledged, number]) for number in refused)])


@pytest.mark.timeout(180)
def test_power_lost_at_any_step_leaves_every_acknowledged_change_and_none_by_half(disk: Path, folder: Path) -> None:
    run(disk, folder, "record")
    steps = list(powerloss.read((folder / "log").read_bytes()))
    assert sum(step.what == "sync" for step in steps) > len(workload.CHANGES)
    random = Random(int(os.environ.get("POWERLOSS_SEED", "1")))
    running, acknowledged = powerloss.Disk(str(folder / "disks")), 0
    for number, step in enumerate(steps):
        if step.what == "ack":
            acknowledged = step.offset
        running.apply(step)
        for sample in range(3):
            left = folder / f"after-{number}-{sample}"
            powerloss.lay_out(running.copy().crash(random), left)
            allowed = [list(range(1, count + 1)) for count in (acknowledged, acknowledged + 1) if count <= len(workload.CHANGES)]
            assert_whole(left, allowed)
            shutil.rmtree(left)


def test_the_simulated_disk_can_lose_what_was_not_synced(disk: Path, folder: Path) -> None:
    """The tests above would see a store that does not sync: this one takes its syncs away."""
    run(disk, folder, "record")
    running = powerloss.Disk(str(folder / "disks"))
    for step in powerloss.read((folder / "log").read_bytes()):
        if step.what != "sync" or step.path == running.folder:
            running.apply(step)
    random = Random(1)
    for sample in range(50):
        left = folder / f"after-{sample}"
        powerloss.lay_out(running.copy().crash(random), left)
        try:
            assert_whole(left, [list(range(1, len(workload.CHANGES) + 1))])
        except Exception:  # noqa: BLE001 - damage of any kind is what is looked for
            return
    pytest.fail("nothing was ever lost")
