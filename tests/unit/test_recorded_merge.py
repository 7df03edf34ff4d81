"""Recorded merges of Ignition's newest release, where the recordings lie beside the project."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ignition.merging import merge, merge_in_spec
from ignition.model import encode
from ignition.rules import validate
from ignition.specs import NEWEST, translate

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "ignition" / "given" / "ignition_merge.json.gz"


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    recorded: list[dict[str, Any]] = json.loads(gzip.decompress(RECORDINGS.read_bytes()))
    return recorded


def test_configs_merge_as_in_ignition(cases: list[dict[str, Any]]) -> None:
    """Ignition brings both configs to its newest spec first; whether that is done before or after makes no difference."""
    assert cases
    for case in cases:
        merged = merge(case["parent"], case["child"])
        assert json.loads(encode(merged)) == case["merged"], case["id"]
        assert translate(merge_in_spec(case["parent"], case["child"]), NEWEST.version) == merged, case["id"]


def test_merged_configs_have_the_same_report(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        merged = merge(case["parent"], case["child"])
        report = validate(encode(merged))
        lines = Counter(f"{problem.severity} at {problem.path}: {problem.message}" for problem in report.problems)
        assert lines == Counter(case["merged_report"]), case["id"]
