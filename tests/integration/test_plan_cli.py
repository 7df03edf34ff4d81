"""`mayu plan` on a terminal and in a pipeline, and `mayu render` for hosts that have enrolled."""

import json
import shutil
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from mayu_py.core.hosts import ENROLLED, Host, Mac
from mayu_py.core.inventory import Changes
from mayu_py.store.sqlite import SqliteStore
from tests.integration.test_explain_cli import example, lay_out, mayu


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay_out(tmp_path, example())
    return tmp_path


def enrol(folder: Path, profile: str | None) -> None:
    host = Host("10-77-0-100", IPv4Address("10.77.0.100"), (Mac("52:54:00:00:00:77"),), profile=profile, origin=ENROLLED)
    with closing(SqliteStore(folder / "mayu.db")) as store:
        store.change(lambda _: Changes(new=(host,)))


@pytest.mark.parametrize(("new", "code"), [("rack.yaml", 0), ("new.yaml", 2)])
def test_the_exit_code_says_whether_anything_changes(folder: Path, new: str, code: int) -> None:
    assert mayu(folder, "plan", "-c", new, "--against", "rack.yaml", "--exit-code").returncode == code
    assert mayu(folder, "plan", "-c", new, "--against", "rack.yaml").returncode == 0


def test_the_same_config_in_another_folder_changes_nothing(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "copy"
    shutil.copytree(folder, other)
    ran = mayu(folder, "plan", "-c", "rack.yaml", "--against", str(other / "rack.yaml"), "--exit-code")
    assert (ran.returncode, ran.stdout) == (0, "nothing changes for 2 hosts\n")


def test_enrolled_hosts_are_planned_for_and_the_state_is_only_read(folder: Path) -> None:
    enrol(folder, "worker")
    before = (folder / "mayu.db").read_bytes()
    found = json.loads(mayu(folder, "plan", "-c", "new.yaml", "--against", "rack.yaml", "--json").stdout)
    assert found["summary"] == {"added": 0, "removed": 0, "changed": 3, "unchanged": 0}
    assert [[host["name"] for host in group["hosts"]] for group in found["groups"]] == [["10-77-0-100", "node-1"], ["node-2"]]
    assert {cause["name"] for group in found["groups"] for cause in group["causes"]} == {"values.ntp"}
    assert (folder / "mayu.db").read_bytes() == before


def test_a_config_with_mistakes_is_not_planned(folder: Path) -> None:
    (folder / "bad.yaml").write_text(example().replace("interface", "interfce"))
    ran = mayu(folder, "plan", "-c", "bad.yaml", "--against", "rack.yaml", "--exit-code")
    assert ran.returncode == 1
    assert "bad.yaml:3: error" in ran.stderr


def test_render_knows_hosts_that_have_enrolled(folder: Path) -> None:
    enrol(folder, "worker")
    for name in ("10-77-0-100", "52:54:00:00:00:77"):
        files = json.loads(mayu(folder, "render", "-c", "rack.yaml", name).stdout)["storage"]["files"]
        assert files[0]["contents"]["source"] == "data:,10-77-0-100"


def test_render_says_that_a_host_has_no_profile(folder: Path) -> None:
    enrol(folder, None)
    ran = mayu(folder, "render", "-c", "rack.yaml", "10-77-0-100")
    assert ran.returncode == 1
    assert "10-77-0-100 has no profile yet" in ran.stderr
