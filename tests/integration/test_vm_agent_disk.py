"""The disk that outlives its machine is made once, whole, by the real mke2fs."""

from pathlib import Path

import pytest

from kubeception_sim.agents.vm.disk import DiskFailed, ensure
from kubeception_sim.agents.vm.machine import Disk
from kubeception_sim.run import require, run


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    require("mke2fs", "e2fsprogs")
    return Disk(tmp_path / "etcd.img", 64)


def facts(disk: Disk) -> dict[str, str]:
    said = run(["dumpe2fs", "-h", disk.path], timeout=20).stdout
    return {name: text.strip() for name, colon, text in (line.partition(":") for line in said.splitlines()) if colon}


def test_a_new_disk_has_ext4_and_takes_little_room(disk: Disk) -> None:
    ensure(disk)
    assert disk.path.stat().st_size == 64 << 20
    assert disk.path.stat().st_blocks * 512 < 8 << 20
    assert facts(disk)["Filesystem volume name"] == "etcd"
    run(["e2fsck", "-fn", disk.path], timeout=20)  # raises for a file system that is not whole


def test_a_disk_that_is_there_is_left_as_it_is(disk: Disk) -> None:
    ensure(disk)
    first = facts(disk)["Filesystem UUID"]
    ensure(Disk(disk.path, 128))
    assert facts(disk)["Filesystem UUID"] == first
    assert disk.path.stat().st_size == 64 << 20


def test_what_an_earlier_start_has_left_half_made_is_made_anew(disk: Disk) -> None:
    disk.path.with_name("etcd.img.new").write_bytes(b"half of a file system" * 10_000)
    ensure(disk)
    run(["e2fsck", "-fn", disk.path], timeout=20)  # raises for a file system that is not whole
    assert [path.name for path in disk.path.parent.iterdir()] == ["etcd.img"]


def test_a_folder_that_is_not_there_is_named(disk: Disk) -> None:
    lost = disk.path.parent / "nowhere" / "etcd.img"
    with pytest.raises(DiskFailed, match=r"nowhere/etcd\.img\.new: No such file or directory"):
        ensure(Disk(lost, 64))


def test_what_mke2fs_says_is_told_and_nothing_has_the_disks_name(disk: Disk) -> None:
    with pytest.raises(DiskFailed, match="mke2fs"):
        ensure(Disk(disk.path, 0))
    assert not disk.path.exists()
