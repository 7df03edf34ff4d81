"""Whole configs of spec 2 beside what they become and the report of it: tests/golden/legacy/NAME.{in.ign,out.ign,changes}."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ignition.legacy import migrate
from ignition.model import encode

GOLDEN = Path(__file__).parents[1] / "golden" / "legacy"
MOUNT_POINTS: Mapping[str, Mapping[str, str]] = {
    "append-replace": {},
    "mayu-node": {},
    "raid-storage": {"data": "/var/lib/data"},
}


@pytest.mark.parametrize("name", MOUNT_POINTS)
def test_a_config_becomes_what_stands_beside_it(name: str) -> None:
    migration = migrate((GOLDEN / f"{name}.in.ign").read_bytes(), "3.3.0", f"{name}.in.ign", MOUNT_POINTS[name])
    assert json.loads(encode(migration.unwrap())) == json.loads((GOLDEN / f"{name}.out.ign").read_text())


@pytest.mark.parametrize("name", MOUNT_POINTS)
def test_the_report_names_every_place_that_changed(name: str) -> None:
    migration = migrate((GOLDEN / f"{name}.in.ign").read_bytes(), "3.3.0", f"{name}.in.ign", MOUNT_POINTS[name])
    assert [str(change) for change in migration.changes] == (GOLDEN / f"{name}.changes").read_text().splitlines()


def test_every_golden_config_is_tested() -> None:
    assert {path.name.removesuffix(".in.ign") for path in GOLDEN.glob("*.in.ign")} == MOUNT_POINTS.keys()
