"""Recorded verdicts of Ignition 2.14 on generated inputs, where the recordings lie beside the project."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from ignition.rules import validate

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "ignition" / "given"
SPECS = ("3.0.0", "3.1.0", "3.2.0", "3.3.0", "none")


def recorded(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(gzip.decompress((RECORDINGS / name).read_bytes()))
    return cases


def test_verdicts_on_configs_are_those_of_ignition() -> None:
    cases = [case for case in recorded("ignition_validate.json.gz") if case["spec"] in SPECS]
    # Ignition 2.14 also knows a draft of 3.4, whose rules changed before it was published.
    cases = [case for case in cases if '"3.4.0-experimental"' not in case.get("input", "")]
    inputs = {case["id"]: case.get("input", "").encode() or base64.b64decode(case.get("input_b64", "")) for case in cases}
    ours = {case["id"]: validate(inputs[case["id"]]).is_fatal for case in cases}
    assert ours == {case["id"]: case["debian_verdict"]["rc"] != 0 for case in cases}
    assert len(ours) > 800
