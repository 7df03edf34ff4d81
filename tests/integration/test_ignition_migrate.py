"""What the migration returns is accepted by the real ignition-validate (Debian's 2.14, newest spec 3.3.0)."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

from ignition.legacy import migrate
from ignition.model import Config, encode
from tests.legacy_configs import Json, configs

GOLDEN = Path(__file__).parents[1] / "golden" / "legacy"


@pytest.fixture(scope="module")
def tool() -> str:
    path = shutil.which("ignition-validate")
    if path is None:
        pytest.skip("looked for ignition-validate in PATH; it is in Debian's package ignition")
    return path


def complaints(tool: str, config: Config) -> list[str]:
    """Return the errors that the tool prints, and one for its exit code."""
    done = subprocess.run([tool, "-"], input=encode(config), capture_output=True, timeout=20, check=False)
    lines = (done.stdout + done.stderr).decode().splitlines()
    return [line for line in lines if not line.startswith("warning")] + [f"exit {done.returncode}"] * (done.returncode != 0)


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("*.in.ign")))
def test_the_tool_accepts_the_migrated_examples(tool: str, name: str) -> None:
    migration = migrate((GOLDEN / name).read_bytes(), "3.3.0", name, {"data": "/var/lib/data"} if name.startswith("raid") else {})
    assert complaints(tool, migration.unwrap()) == []


@settings(max_examples=60, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck])
@given(old=configs(colliding=False))
def test_the_tool_accepts_every_config_that_was_migrated(tool: str, old: Json) -> None:
    assert complaints(tool, migrate(json.dumps(old), "3.3.0").unwrap()) == []


@settings(max_examples=60, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck])
@given(old=configs(colliding=True))
def test_the_tool_accepts_what_became_of_colliding_entries(tool: str, old: Json) -> None:
    migration = migrate(json.dumps(old), "3.3.0")
    assume(migration.config is not None)
    assert complaints(tool, migration.unwrap()) == []


@pytest.mark.parametrize("version", ["3.0.0", "3.1.0", "3.2.0"])
def test_the_tool_accepts_older_targets(tool: str, version: str) -> None:
    migration = migrate((GOLDEN / "mayu-node.in.ign").read_bytes(), version)
    assert complaints(tool, migration.unwrap()) == []
