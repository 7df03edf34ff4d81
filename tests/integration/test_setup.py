"""`.ci/setup`, which every Makefile target runs first: what it says when it cannot go on."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the set-up in it, wanting one package that no Debian has."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".ci" / "apt-packages.txt").write_text("coreutils       # is always there\nno-such-thing   # a reason\n")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    return tmp_path


def setup(checkout: Path, **more: object) -> subprocess.CompletedProcess[str]:
    argv = [str(checkout / ".ci" / "setup")]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=50, **more)  # type: ignore[call-overload,no-any-return]


def test_without_root_it_says_what_is_missing_and_the_command(checkout: Path) -> None:
    if shutil.which("dpkg-query") is None:
        pytest.skip("looked for dpkg-query: this is not Debian")
    user = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    ran = setup(checkout, **user)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr == (
        "setup: these packages are missing, and installing them needs root: no-such-thing. Run:\n"
        "  sudo apt-get update && sudo apt-get install -y --no-install-recommends no-such-thing\n"
    )


def test_elsewhere_than_on_debian_it_lists_what_to_install(checkout: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "env", "dirname", "sed", "xargs", "echo"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    ran = setup(checkout, env={"PATH": str(programs)})
    assert ran.returncode == 1
    assert "this is not Debian" in ran.stderr
    assert "coreutils no-such-thing" in ran.stderr


def test_an_old_python_is_named(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".ci" / "apt-packages.txt").write_text("coreutils\n")
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    ran = setup(checkout, env={**os.environ, "PYTHON": str(old)})
    assert ran.returncode == 1
    assert "Python 3.11 or newer is needed" in ran.stderr
    assert "Python 3.9.2" in ran.stderr
