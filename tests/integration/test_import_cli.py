"""`mayu import mayu` as its users meet it: a folder in, a folder out, and a report of everything between."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mayu_py.core.hosts import State
from mayu_py.store.sqlite import SqliteStore

GOLDEN = Path(__file__).parents[1] / "golden" / "import"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A Mayu with kernel and initrd beside it."""
    folder = tmp_path / "old"
    shutil.copytree(GOLDEN / "rack", folder)
    (folder / "images").mkdir()
    (folder / "images" / "flatcar_production_pxe.vmlinuz").write_bytes(b"k")
    (folder / "images" / "flatcar_production_pxe_image.cpio.gz").write_bytes(b"i")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def mayu(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "mayu_py", *words]
        env = {**os.environ, **environment}
        return subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=50)

    return mayu


def commit(cluster: Path, message: str, at: str) -> None:
    env = {**os.environ, "GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at, "GIT_CONFIG_GLOBAL": "/dev/null"}
    who = ("-c", "user.name=mayu", "-c", "user.email=mayu@rack.example")
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", message], cwd=cluster, env=env, check=True)


@pytest.mark.skipif(not Path("/usr/lib/ipxe/undionly.kpxe").exists(), reason="no boot files: apt-get install ipxe")
def test_what_is_imported_is_what_mayu_check_takes(run: Run, old: Path, tmp_path: Path) -> None:
    ran = run("import", "mayu", "old", "-o", "new")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "ignition.bu",
        "import-report.txt",
        "mayu.db",
        "mayu.yaml",
    ]
    assert (tmp_path / "new/ignition.bu").read_text() == (GOLDEN / "rack.bu").read_text()
    report = (tmp_path / "new/import-report.txt").read_text()
    assert report == (GOLDEN / "rack-report.txt").read_text()
    assert all(line in ran.stdout for line in report.splitlines())
    assert (tmp_path / "new/mayu.yaml").read_text().replace(str(tmp_path), "") == (GOLDEN / "rack.yaml").read_text()
    checked = run("check", "-c", "new/mayu.yaml")
    assert checked.returncode == 0, checked.stdout
    assert "good: 3 hosts, every config valid" in checked.stdout
    rendered = json.loads(run("render", "-c", "new/mayu.yaml", "10-77-0-31").stdout)
    assert "data:,master-10-77-0-31" in json.dumps(rendered)


def test_the_state_is_that_of_the_hosts_and_the_history_that_of_git(run: Run, old: Path, tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git in PATH: apt-get install git")
    cluster = old / "cluster"
    subprocess.run(["git", "init", "-q"], cwd=cluster, check=True)
    commit(cluster, "initial commit", "2017-01-01T00:00:00+00:00")
    commit(cluster, "abc100: updated state to running", "2017-02-03T04:05:06+01:00")
    run("import", "mayu", "old", "-o", "new")
    store = SqliteStore(tmp_path / "new" / "mayu.db")
    told = [
        (event.at[:19], event.host, event.detail.get("message")) for event in store.events(0, 100) if "commit" in event.detail
    ]
    assert told == [
        ("2017-01-01T00:00:00", None, "initial commit"),
        ("2017-02-03T03:05:06", "10-77-0-31", "abc100: updated state to running"),
    ]
    statuses = {name: (status.state, status.since[:19]) for name, status in store.statuses().items()}
    assert statuses["10-77-0-31"] == (State.RUNNING, "2017-05-04T08:20:30")
    assert statuses["10-77-0-32"][0] is State.INSTALLING
    edits = store.inventory().edits["10-77-0-31"].facts
    assert (edits.cabinet, edits.ipmi_address, edits.provider_id) == ("7/3", "10.0.0.31", "rack-7/3")
    assert edits.metadata == {"role-core": "true", "stack": "a", "DockerVersion": "1.12"}
    store.close()


def test_without_git_the_history_is_left_and_said_so(run: Run, old: Path, tmp_path: Path) -> None:
    (old / "cluster" / ".git").mkdir()
    report = json.loads(run("import", "mayu", "old", "-o", "new", "--json", PATH="/nonexistent").stdout)
    assert ["git cannot be asked" in item["why"] for item in report["items"] if item["what"] == "the history"] == [True]
    assert (tmp_path / "new" / "mayu.yaml").exists()


def test_a_dry_run_reports_the_same_and_writes_nothing(run: Run, old: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    dry = json.loads(run("import", "mayu", "old", "-o", "new", "--dry-run", "--json").stdout)
    assert sorted(tmp_path.rglob("*")) == before
    done = json.loads(run("import", "mayu", "old", "-o", "new", "--json").stdout)
    assert {**dry, "written": True} == done


def test_a_folder_with_something_in_it_is_not_written_to(run: Run, old: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").write_text("x")
    ran = run("import", "mayu", "old", "-o", "new")
    assert ran.returncode == 1
    assert "is not empty" in ran.stderr
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "serial", ["../../../escape", "/etc/passwd", "a\nb", "\u202eabc", "ü" * 300, "$(touch x)", '"}: [', "#", "{{ host.name }}"]
)
def test_a_hostile_serial_stays_a_value(run: Run, old: Path, tmp_path: Path, serial: str) -> None:
    record = {
        "Serial": serial,
        "MacAddresses": ["52:54:00:00:00:77"],
        "InternalAddr": "10.77.0.60",
        "Profile": "core",
        "State": "x",
    }
    (old / "cluster" / "abc101" / "conf.json").write_text(json.dumps(record))
    before = set(tmp_path.rglob("*"))
    ran = run("import", "mayu", "old", "-o", "new")
    assert "Traceback" not in ran.stderr
    assert {path.name for path in set(tmp_path.rglob("*")) - before} == {
        "new", "ignition.bu", "import-report.txt", "mayu.db", "mayu.yaml",
    }  # fmt: skip
    checked = run("check", "-c", "new/mayu.yaml")
    assert "good:" in checked.stdout or "undionly" in checked.stdout, checked.stdout


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"{", b"a: b: c", b"[]", b"- &a [*a]", b"network: 5", b"\0"])
@pytest.mark.parametrize("file", ["config.yaml", "cluster/abc100/conf.json", "cluster/cluster.json", "templates/ignition.yaml"])
def test_damaged_files_are_reported(run: Run, old: Path, tmp_path: Path, file: str, damage: bytes) -> None:
    (old / file).write_bytes(damage)
    ran = run("import", "mayu", "old", "-o", "new", "--json")
    assert "Traceback" not in ran.stderr
    assert ran.returncode in (0, 1)
    if ran.stdout:
        assert any(item["file"].endswith(Path(file).name) for item in json.loads(ran.stdout)["items"]) or not damage
    else:
        assert not (tmp_path / "new").exists()


def test_links_are_not_followed(run: Run, old: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"Serial": "secret-serial", "MacAddresses": ["52:54:00:00:00:66"], "InternalAddr": "10.77.0.61"}')
    (old / "cluster" / "abc101" / "conf.json").unlink()
    (old / "cluster" / "abc101" / "conf.json").symlink_to(secret)
    ran = run("import", "mayu", "old", "-o", "new")
    assert "is no plain file, and is not read" in ran.stdout
    assert "secret-serial" not in (tmp_path / "new" / "mayu.yaml").read_text()
