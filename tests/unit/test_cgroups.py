"""Control groups: which hierarchies a host has, and what a group gets in each kind. The trees here are plain folders."""

import re
from pathlib import Path

import pytest

from kubeception_sim.cgroups import Group, Hierarchy, find, hierarchies
from kubeception_sim.errors import HarnessError

HYBRID = """\
20 1 0:19 / /proc rw,relatime - proc proc rw
31 24 0:27 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpuacct,cpu
33 31 0:29 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
34 31 0:30 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,release_agent=/lib/systemd/agent,name=systemd
35 31 0:31 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
"""
UNIFIED = "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
TOP = Path("/sys/fs/cgroup")


def test_a_hybrid_host_has_a_tree_for_each_set_of_controllers_and_a_unified_one() -> None:
    assert hierarchies(HYBRID) == (
        Hierarchy(TOP / "cpu,cpuacct", 1, "cpu,cpuacct", frozenset({"cpu", "cpuacct"})),
        Hierarchy(TOP / "memory", 1, "memory", frozenset({"memory"})),
        Hierarchy(TOP / "systemd", 1, "none,name=systemd"),
        Hierarchy(TOP / "unified", 2),
    )


def test_a_unified_host_has_one() -> None:
    assert hierarchies(UNIFIED) == (Hierarchy(TOP, 2),)


def test_a_mount_point_may_hold_a_blank() -> None:
    (tree,) = hierarchies("30 24 0:26 / /mnt/a\\040b rw - cgroup2 cgroup2 rw\n")
    assert tree.mount == Path("/mnt/a b")


def test_groups_are_found_at_the_top_of_every_tree(tmp_path: Path) -> None:
    trees = (Hierarchy(tmp_path / "one", 1), Hierarchy(tmp_path / "two", 2))
    for tree in trees:
        (tree.mount / "kc-0123abcd-n1" / "kc-0123abcd-inner").mkdir(parents=True)
        (tree.mount / "somebody-elses").mkdir()
        (tree.mount / "kc-0123abcd-file").touch()
    found = [path for path, _ in find(re.compile(r"kc-([0-9a-f]{8})-.+"), trees)]
    assert found == [tree.mount / "kc-0123abcd-n1" for tree in trees]


def test_a_unified_group_is_limited_once_controllers_are_handed_down(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    Group("n1", (Hierarchy(tmp_path, 2),)).create(memory=1 << 20, cpus=2)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (tmp_path / "n1" / "memory.max").read_text() == "1048576"
    assert (tmp_path / "n1" / "cpu.max").read_text() == "200000 100000"


def test_an_old_group_is_limited_in_the_tree_of_each_controller(tmp_path: Path) -> None:
    trees = tuple(Hierarchy(tmp_path / name, 1, name, frozenset({name})) for name in ("cpu", "cpuset", "memory", "pids"))
    for tree in trees:
        tree.mount.mkdir()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-3\n")
    (tmp_path / "cpuset" / "cpuset.mems").write_text("0\n")
    Group("n1", trees).create(memory=1 << 20, cpus=1)
    written = {path.relative_to(tmp_path).as_posix(): path.read_text().strip() for path in tmp_path.glob("*/n1/*")}
    assert written == {
        "cpu/n1/cpu.cfs_quota_us": "100000",
        "cpuset/n1/cpuset.cpus": "0-3",
        "cpuset/n1/cpuset.mems": "0",
        "memory/n1/memory.limit_in_bytes": "1048576",
    }


def test_a_host_without_any_is_told(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no cgroup hierarchy"):
        Group("n1", ()).create(memory=1, cpus=1)


def test_processes_of_groups_below_count(tmp_path: Path) -> None:
    inner = tmp_path / "n1" / "system.slice" / "ssh.service"
    inner.mkdir(parents=True)
    (tmp_path / "n1" / "cgroup.procs").write_text("1\n2\n")
    (inner / "cgroup.procs").write_text("3\n")
    assert Group("n1", (Hierarchy(tmp_path, 2),)).processes() == {1, 2, 3}
