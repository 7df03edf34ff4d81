"""A config and what Ignition itself makes of it in the newest spec differ in nothing but the version."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ignition.comparison import Change, Kind, diff

CASES = Path(__file__).parents[3] / "shared" / "data" / "ignition" / "given" / "ignition_translate.json.gz"
# Ignition's own translation from 3.4 to 3.5 loses the advertisement of a Tang server, which machines do notice.
LOST = ".advertisement"


def is_expected(change: Change) -> bool:
    names = [item.name for item in change.properties]
    return (change.subject.kind, names) == (Kind.IGNITION, ["version"]) or all(name.endswith(LOST) for name in names)


def test_translated_configs_mean_the_same() -> None:
    if not CASES.exists():
        pytest.skip(f"looked for recorded translations at {CASES}; there are none")
    cases: list[Any] = json.loads(gzip.decompress(CASES.read_bytes()))
    surprises = {}
    for case in cases:
        found = diff(case["input"].encode(), json.dumps(case["translated"]).encode())
        if unexpected := [change for change in found.changes if not is_expected(change)]:
            surprises[case["id"]] = unexpected
    assert surprises == {}
    assert len(cases) > 100
