"""The linters are tests: one command runs everything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", "--quiet", "."], id="ruff"),
        pytest.param(["ruff", "format", "--quiet", "--diff", "."], id="format"),
        pytest.param(["mypy"], id="mypy"),
        pytest.param(["lint-imports", "--no-cache"], id="layers"),
    ],
)
def test_the_code_passes(command: list[str]) -> None:
    tool = shutil.which(command[0], path=f"{Path(sys.executable).parent}:{Path.home()}/.local/bin:/usr/bin")
    assert tool is not None, f"{command[0]} is not installed: pip install -e .[dev]"
    ran = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout}{ran.stderr}"
