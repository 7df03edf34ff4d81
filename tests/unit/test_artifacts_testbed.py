"""The recipe of the testbed image: what is in its key, and that its files agree with each other."""

import re
import shutil
from pathlib import Path

import pytest

from kubeception_sim.artifacts import testbed
from kubeception_sim.artifacts.testbed import recipe

RECIPE_FILES = [str(path.relative_to(recipe.HERE)) for path in recipe.files()]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(recipe.HERE, tmp_path / "testbed")
    return tmp_path / "testbed"


def test_the_key_depends_on_the_files_and_not_on_where_they_are(copy: Path) -> None:
    assert testbed.key(copy) == testbed.key()
    assert re.fullmatch(r"[0-9a-f]{32}", testbed.key())


@pytest.mark.parametrize("name", RECIPE_FILES)
def test_every_file_of_the_recipe_is_in_the_key(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes() + b"\n")
    assert testbed.key(copy) != testbed.key()


def test_a_new_file_and_a_new_name_change_the_key(copy: Path) -> None:
    (copy / "root/etc/new").write_text("")
    added = testbed.key(copy)
    (copy / "root/etc/new").rename(copy / "root/etc/newer")
    assert len({testbed.key(), added, testbed.key(copy)}) == 3


def test_python_is_not_in_the_key_and_counts_by_its_recipe_number(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "recipe.py").write_text("")
    assert testbed.key(copy) == testbed.key()
    before = testbed.key()
    monkeypatch.setattr(recipe, "RECIPE", recipe.RECIPE + 1)
    assert testbed.key() != before


def test_the_recipe_is_made_of_files_that_a_wheel_carries() -> None:
    hidden = [name for name in RECIPE_FILES if any(part.startswith(".") for part in Path(name).parts)]
    assert hidden == []
    assert {"packages.txt", "units.txt", "dracut/module-setup.sh", "hooks/customize.sh"} <= set(RECIPE_FILES)


def test_package_names_come_without_their_reasons() -> None:
    packages = recipe.lines("packages.txt")
    assert [name for name in packages if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name)] == []
    assert {"systemd", "openssh-server", "ignition", "dracut-core"} <= set(packages)
    assert "python3" not in packages


def test_progress_only_rises() -> None:
    done = [milestone.done for milestone in recipe.MILESTONES]
    assert done == sorted(set(done))
    assert 0 < done[0] < done[-1] < 0.93


def test_the_build_runs_in_a_mount_namespace_of_its_own(tmp_path: Path) -> None:
    command = recipe.bootstrap_command(
        tmp_path / "root", included=["systemd", "udev"], sources=["deb http://mirror/debian bookworm main"], apt=[]
    )
    assert command[:3] == ["unshare", "--mount", "mmdebstrap"]
    assert "--include=systemd,udev" in command
    assert command[-3:] == ["bookworm", str(tmp_path / "root"), "deb http://mirror/debian bookworm main"]


def test_apt_sources_are_those_of_this_host_for_the_suite() -> None:
    listed = (
        "http://mirror.example/debian/ bookworm main\n"
        "http://mirror.example/debian/ bookworm contrib\n"
        "http://mirror.example/debian/ bookworm-updates main\n"
        "http://mirror.example/security/ bookworm-security main\n"
        "http://apt.example.org/ bookworm-pgdg main\n"
    )
    assert recipe.apt_sources(listed) == [
        "deb http://mirror.example/debian/ bookworm main",
        "deb http://mirror.example/debian/ bookworm-updates main",
        "deb http://mirror.example/security/ bookworm-security main",
    ]


@pytest.mark.parametrize("listed", ["", "http://mirror.example/ubuntu/ jammy main\n"])
def test_a_host_of_another_suite_leaves_the_mirror_to_mmdebstrap(listed: str) -> None:
    assert recipe.apt_sources(listed) == []


def test_apt_options_that_reach_the_mirror_are_carried_over() -> None:
    dump = (
        'Acquire "";\n'
        'Acquire::http "";\n'
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::Check-Valid-Until "false";\n'
        'Acquire::Languages:: "none";\n'
        'Acquire::Retries "3";\n'
    )
    assert recipe.carried_apt_options(dump) == [
        'Acquire::http::Proxy "http://proxy.example:3128"',
        'Acquire::Check-Valid-Until "false"',
        'Acquire::Retries "3"',
    ]


def units() -> dict[str, str]:
    """The text of every unit and drop-in of the recipe, by its path."""
    return {
        name: (recipe.HERE / name).read_text() for name in RECIPE_FILES if re.search(r"systemd/system/.*\.(service|conf)$", name)
    }


def test_every_program_a_unit_starts_is_in_the_recipe() -> None:
    started = {program for text in units().values() for program in re.findall(r"=-?(/usr/libexec/\S+)", text)}
    shipped = {"/" + re.sub(r"^(root|dracut/initrd)/", "", name) for name in RECIPE_FILES}
    assert started
    assert started - shipped == set()


def test_whatever_fails_in_the_initrd_ends_in_the_emergency_service() -> None:
    steps = {name: text for name, text in units().items() if re.search(r"initrd/.*/testbed-(network|root|presets)", name)}
    assert len(steps) == 3
    for name, text in steps.items():
        assert "OnFailure=emergency.target\nOnFailureJobMode=isolate\n" in text, name


def test_units_txt_speaks_of_what_the_build_understands() -> None:
    lines = [line.split() for line in (recipe.HERE / "units.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if len(line) != 2] == []
    understood = set(re.findall(r"^        (\w+)\) ", (recipe.HERE / "hooks/customize.sh").read_text(), re.MULTILINE))
    assert {verb for verb, _ in lines} <= understood
    names = [name for _, name in lines]
    assert sorted(names) == sorted(set(names))
