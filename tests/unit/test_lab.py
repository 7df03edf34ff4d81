import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.lab import Lab, Owner, Record, announced, default_root, mounts_below, process_start, remove_tree


def test_the_record_names_the_owner_before_anything_else_is_there(tmp_path: Path) -> None:
    with Lab.create(tmp_path) as lab:
        assert [entry.name for entry in lab.directory.iterdir()] == ["lab.json"]
        record = json.loads((lab.directory / "lab.json").read_text())
        assert (record["schema"], record["id"], record["owner"]["pid"]) == (1, lab.id, os.getpid())
        assert Record.read(lab.directory).owner == Owner.current()


def test_every_lab_has_its_own_id_directory_and_label(tmp_path: Path) -> None:
    with Lab.create(tmp_path) as one, Lab.create(tmp_path) as other:
        assert one.id != other.id
        assert one.directory == tmp_path / one.id
        assert one.env == {"KUBECEPTION_LAB": one.id}
        assert {one.id, other.id} <= announced()


def test_the_directory_goes_with_the_lab(tmp_path: Path) -> None:
    with Lab.create(tmp_path) as lab:
        (lab.subdirectory("machines", "n1") / "console.log").write_text("hello")
    assert list(tmp_path.iterdir()) == []
    assert lab.id not in announced()


def test_it_goes_too_when_the_run_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Lab.create(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_kept_directory_stays(tmp_path: Path) -> None:
    with Lab.create(tmp_path) as lab:
        lab.keep = True
    assert (lab.directory / "lab.json").exists()


def test_the_root_can_be_chosen_by_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECEPTION_RUN", raising=False)
    assert default_root() == Path("/run/kubeception")
    monkeypatch.setenv("KUBECEPTION_RUN", str(tmp_path))
    with Lab.create() as lab:
        assert lab.directory.parent == tmp_path


def test_a_root_that_cannot_be_made_is_a_harness_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match="cannot make the lab's directory") as caught, Lab.create(tmp_path / "file"):
        pass
    assert "KUBECEPTION_RUN" in caught.value.hint


def test_names_carry_the_id(tmp_path: Path) -> None:
    lab = Lab("0123abcd", tmp_path)
    assert lab.namespace("fabric") == "kc-0123abcd-fabric"
    assert lab.link("up") == "kc0123abcdup"


@pytest.mark.parametrize("name", ["", "a b", "../x", "-a", "a/b", "A", "x" * 33])
def test_names_that_could_mean_something_else_are_refused(tmp_path: Path, name: str) -> None:
    lab = Lab("0123abcd", tmp_path)
    for use in (lab.namespace, lab.link, lab.subdirectory):
        with pytest.raises(BadInput, match="is not a name"):
            use(name)


def test_a_link_name_has_at_most_15_characters(tmp_path: Path) -> None:
    lab = Lab("0123abcd", tmp_path)
    assert len(lab.link("abcde")) == 15
    with pytest.raises(BadInput, match="too long"):
        lab.link("abcdef")


def test_this_process_lives() -> None:
    assert Owner.current().alive()


def test_another_process_with_the_same_pid_is_not_the_owner() -> None:
    me = Owner.current()
    assert not Owner(me.pid, me.start + 1, me.boot).alive()
    assert not Owner(me.pid, me.start, "an earlier boot").alive()


def test_a_zombie_has_no_start_time() -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        assert process_start(child.pid) is not None
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(child.pid) is None
    assert process_start(child.pid) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 2}', '{"id": "x", "owner": {"pid": 1}, "created_at": "", "schema": 1}']
)
def test_a_broken_record_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(HarnessError, match="not a lab record"):
        Record.read(tmp_path)


def test_mounts_are_found_by_their_place() -> None:
    assert Path("/proc") in mounts_below(Path("/proc"))
    assert mounts_below(Path("/proc/self/nowhere")) == ()


def test_nothing_is_removed_through_a_mount() -> None:
    with pytest.raises(HarnessError, match="/proc is kept, something is mounted there"):
        remove_tree(Path("/proc"))
