"""The images of the outer cluster: what is in their keys, and what the base is made of."""

import re
import shutil
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kubeception_sim.artifacts import images
from kubeception_sim.artifacts.images import base
from kubeception_sim.artifacts.kubernetes import Programs

PROGRAMS = Programs("v1.20.2", Path("/opt/kubernetes"), "key of the programs")
HERE = Path(images.__file__).parent


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    shutil.copytree(images.AGENTS, tmp_path / "agents")
    return tmp_path / "agents"


def test_the_key_follows_the_programs_and_the_agents(agents: Path) -> None:
    before = images.key(PROGRAMS, agents)
    assert re.fullmatch(r"[0-9a-f]{32}", before)
    assert images.key(Programs("v1.20.3", PROGRAMS.directory, PROGRAMS.key), agents) != before
    assert images.key(Programs(PROGRAMS.version, PROGRAMS.directory, "another"), agents) != before
    (agents / "dns" / "server.py").write_text("# edited\n")
    assert images.key(PROGRAMS, agents) != before


def test_files_of_equal_names_are_told_apart_by_their_folders(agents: Path) -> None:
    one, other = agents / "dns" / "__main__.py", agents / "policy" / "__main__.py"
    before = images.key(PROGRAMS, agents)
    texts = one.read_text(), other.read_text()
    other.write_text(texts[0])
    one.write_text(texts[1])
    assert images.key(PROGRAMS, agents) != before


def test_what_python_leaves_beside_the_agents_is_not_in_the_key(agents: Path) -> None:
    before = images.key(PROGRAMS, agents)
    (agents / "__pycache__").mkdir(exist_ok=True)
    (agents / "__pycache__" / "api.cpython-399.pyc").write_bytes(b"compiled")
    assert images.key(PROGRAMS, agents) == before


def test_an_edit_of_the_agents_leaves_the_base_alone(agents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = images.base_key()
    (agents / "api.py").write_text("# edited\n")
    monkeypatch.setattr(images, "AGENTS", agents)
    assert images.base_key() == before


def test_the_agents_alone_are_in_their_layer(agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (agents / "__pycache__").mkdir(exist_ok=True)
    monkeypatch.setattr(images, "AGENTS", agents)
    (tmp_path / "work").mkdir()
    package = images._agents(tmp_path / "work")
    assert sorted(path.name for path in package.iterdir()) == ["__init__.py", "agents"]
    assert not list(package.rglob("__pycache__"))
    assert (package / "agents" / "api.py").read_bytes() == (agents / "api.py").read_bytes()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-controller.txt"])
def test_every_python_package_is_pinned(name: str) -> None:
    lines = [line for line in (HERE / name).read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len({line.partition("==")[0] for line in lines}) > 2
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line)] == []


def test_whatever_a_python_package_needs_is_listed_too() -> None:
    agents, controller = (_pinned(name) for name in ("requirements.txt", "requirements-controller.txt"))
    for there in (agents, agents | controller):
        wanted = {_name(each.name) for name in there for each in map(Requirement, requires(name) or ()) if _applies(each)}
        assert wanted <= there


def _pinned(name: str) -> set[str]:
    lines = (HERE / name).read_text().splitlines()
    return {_name(line.partition("==")[0]) for line in lines if not line.startswith("#")}


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def test_the_base_is_made_of_the_listed_packages_in_a_mount_namespace() -> None:
    command = base.bootstrap_command(Path("/cache/root"))
    assert command[:3] == ["unshare", "--mount", "mmdebstrap"]
    (included,) = (word.removeprefix("--include=").split(",") for word in command if word.startswith("--include="))
    assert {"etcd-server", "iptables", "nftables", "conntrack", "python3", "busybox", "curl", "bind9-dnsutils"} <= set(included)
    assert [name for name in included if not re.fullmatch(r"[a-z0-9.+-]+", name)] == []
