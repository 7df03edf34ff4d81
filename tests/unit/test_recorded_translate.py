"""Recorded translations of Ignition's newest release, where the recordings lie beside the project."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ignition.model import encode
from ignition.rules import validate
from ignition.specs import NEWEST, LossyTranslation, translate

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "ignition" / "given" / "ignition_translate.json.gz"


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    recorded: list[dict[str, Any]] = json.loads(gzip.decompress(RECORDINGS.read_bytes()))
    return recorded


def test_configs_become_what_ignition_makes_of_them(cases: list[dict[str, Any]]) -> None:
    assert cases
    for case in cases:
        assert json.loads(encode(translate(case["input"], NEWEST.version))) == case["translated"], case["id"]


def test_translated_configs_have_the_same_report(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        report = validate(encode(translate(case["input"], NEWEST.version)))
        lines = Counter(f"{problem.severity} at {problem.path}: {problem.message}" for problem in report.problems)
        assert lines == Counter(case["translated_report"]), case["id"]


def test_what_went_up_comes_down_unless_ignition_lost_it(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        risen = translate(case["input"], NEWEST.version)
        try:
            lowered = translate(risen, case["spec"])
        except LossyTranslation as refusal:
            pytest.fail(f"{case['id']}: {refusal}")
        assert translate(lowered, NEWEST.version) == risen, case["id"]
