"""What a killed run leaves on the host is found and removed; what a living one has is not touched."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from kubeception_sim import gc
from kubeception_sim.cgroups import hierarchies
from kubeception_sim.gc import Kind, Leftover
from kubeception_sim.lab import ENV_LAB, Lab, mounts_below
from kubeception_sim.run import run

PROJECT = Path(__file__).parents[2]

# A run with one of everything. Its process ignores the SIGTERM that the kernel sends when the run dies, and is frozen besides.
RUN = """
import sys
from contextlib import ExitStack
from pathlib import Path
from kubeception_sim.cgroups import Group
from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric
from kubeception_sim.run import run, spawn

with ExitStack() as stack:
    lab = stack.enter_context(Lab.create(Path(sys.argv[1])))
    fabric = stack.enter_context(Fabric.create(lab))
    fabric.port("n1")
    run(["ip", "tuntap", "add", "dev", lab.link("up"), "mode", "tap"], timeout=10)
    stack.callback(run, ["ip", "link", "delete", lab.link("up")], timeout=10)
    mount = lab.subdirectory("mount")
    run(["mount", "-t", "tmpfs", "none", mount], timeout=10)
    stack.callback(run, ["umount", mount], timeout=10)
    stubborn = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 100; done"]
    log = lab.directory / "log"
    guest = stack.enter_context(spawn(stubborn, log=log, env=lab.env, namespace=fabric.namespace, grace=0.1))
    while "ready" not in guest.tail():
        assert guest.poll() is None
    group = Group(lab.namespace("n1"))
    group.create(memory=64 << 20, cpus=1)
    stack.callback(group.remove)
    for path in group.paths():
        (path / "cgroup.procs").write_text(str(guest.pid))
    group.freeze()
    print(lab.id, flush=True)
    sys.stdin.read()
"""


@contextmanager
def running(root: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A run in a process of its own, and the id of its lab. Closing its stdin ends it well."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with child:
        assert child.stdout is not None
        lab_id = child.stdout.readline().strip()
        assert lab_id, "the run did not come up"
        try:
            yield lab_id, child
        finally:
            with suppress(BrokenPipeError):
                child.communicate()


@contextmanager
def killed(root: Path) -> Iterator[str]:
    """The id of a lab whose run was killed with SIGKILL. Whatever a failing test leaves of it is removed at the end."""
    with running(root) as (lab_id, child):
        child.kill()
        child.wait()
        try:
            yield lab_id
        finally:
            list(gc.collect(left(root, lab_id)))


def on_host(root: Path, lab_id: str) -> dict[str, int]:
    """How many things on this host carry the id, counted without gc."""
    label = f"{ENV_LAB}={lab_id}".encode()
    processes = 0
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            processes += label in environ.read_bytes().split(b"\0")
    links = json.loads(run(["ip", "-json", "link"], timeout=10).stdout)
    return {
        "cgroups": len([path for tree in hierarchies() for path in tree.mount.glob(f"kc-{lab_id}-*")]),
        "processes": processes,
        "namespaces": len(list(Path("/run/netns").glob(f"kc-{lab_id}-*"))),
        "links": sum(link["ifname"].startswith(f"kc{lab_id}") for link in links),
        "mounts": len(mounts_below(root / lab_id)),
        "directories": int((root / lab_id).exists()),
    }


def left(root: Path, lab_id: str) -> list[Leftover]:
    """What gc finds of one lab: others work on this host at the same time."""
    return [leftover for leftover in gc.find(root) if leftover.lab == lab_id]


ONE_OF_EACH = {"cgroups": len(hierarchies()), "processes": 2, "namespaces": 1, "links": 1, "mounts": 1, "directories": 1}
NOTHING = dict.fromkeys(ONE_OF_EACH, 0)


def test_a_run_that_ends_well_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as (lab_id, _):
        assert on_host(tmp_path, lab_id) == ONE_OF_EACH
    assert on_host(tmp_path, lab_id) == NOTHING


def test_what_a_killed_run_leaves_is_found_and_removed(tmp_path: Path) -> None:
    with killed(tmp_path) as lab_id:
        assert on_host(tmp_path, lab_id) == ONE_OF_EACH
        found = left(tmp_path, lab_id)
        assert [leftover.kind for leftover in found] == [
            *(Kind.CGROUP for _ in hierarchies()),
            Kind.PROCESS,
            Kind.PROCESS,
            Kind.MOUNT,
            Kind.NAMESPACE,
            Kind.LINK,
            Kind.DIRECTORY,
        ]
        assert on_host(tmp_path, lab_id) == ONE_OF_EACH  # looking changes nothing
        assert {removal.problem for removal in gc.collect(found)} == {""}
        assert on_host(tmp_path, lab_id) == NOTHING


def test_removing_twice_is_no_problem(tmp_path: Path) -> None:
    with killed(tmp_path) as lab_id:
        found = left(tmp_path, lab_id)
        for _ in range(2):
            assert {removal.problem for removal in gc.collect(found)} == {""}
        assert left(tmp_path, lab_id) == []


def test_a_living_lab_is_not_touched(tmp_path: Path) -> None:
    with running(tmp_path) as (living, _), killed(tmp_path) as dead:
        assert {leftover.lab for leftover in gc.find(tmp_path)} & {living, dead} == {dead}
        list(gc.collect(left(tmp_path, dead)))
        assert on_host(tmp_path, living) == ONE_OF_EACH


def test_a_living_lab_under_another_root_is_not_touched(tmp_path: Path) -> None:
    with running(tmp_path / "other") as (living, _):
        assert left(tmp_path / "own", living) == []


def test_the_record_speaks_for_a_lab_whose_socket_is_out_of_sight(tmp_path: Path) -> None:
    """As when the owner sits in another network namespace than gc."""
    with Lab.create(tmp_path) as lab, Lab.create(tmp_path) as elsewhere:
        hidden = tmp_path / ("0" * 8)
        lab.directory.rename(hidden)
        assert [leftover.lab for leftover in gc.find(tmp_path) if leftover.lab in (hidden.name, elsewhere.id)] == []
        hidden.rename(lab.directory)


def test_namespaces_without_any_record_are_orphans(tmp_path: Path) -> None:
    lab = Lab(os.urandom(4).hex(), tmp_path)
    name = lab.namespace("lost")
    run(["ip", "netns", "add", name], timeout=10)
    assert left(tmp_path, lab.id) == [Leftover(Kind.NAMESPACE, name, lab.id)]
    assert [removal.problem for removal in gc.collect(left(tmp_path, lab.id))] == [""]
    assert left(tmp_path, lab.id) == []


def test_a_directory_is_a_labs_only_by_its_record(tmp_path: Path) -> None:
    precious = tmp_path / "deadbeef"
    precious.mkdir()
    (precious / "thesis.tex").touch()
    (tmp_path / "0123abcd").mkdir()  # its owner died before it wrote the record
    (tmp_path / "link").symlink_to(precious)
    found = [leftover for leftover in gc.find(tmp_path) if leftover.kind is Kind.DIRECTORY]
    assert found == [Leftover(Kind.DIRECTORY, str(tmp_path / "0123abcd"), "0123abcd")]


def test_a_process_is_checked_again_right_before_it_is_killed(tmp_path: Path) -> None:
    with killed(tmp_path) as lab_id:
        process = next(leftover for leftover in left(tmp_path, lab_id) if leftover.kind is Kind.PROCESS)
        later = replace(process, start=process.start + 1)  # the same pid, but a later process
        stranger = replace(process, lab="0" * 8)
        assert {removal.problem for removal in gc.collect([later, stranger])} == {""}
        assert process in left(tmp_path, lab_id)


def test_one_failure_does_not_stop_the_rest(tmp_path: Path) -> None:
    with killed(tmp_path) as lab_id:
        found = [leftover for leftover in left(tmp_path, lab_id) if leftover.kind is not Kind.MOUNT]
        problems = {removal.leftover.kind: removal.problem for removal in gc.collect(found)}
        assert "something is mounted there" in problems.pop(Kind.DIRECTORY)
        assert set(problems.values()) == {""}
        assert {removal.problem for removal in gc.collect(left(tmp_path, lab_id))} == {""}
