"""What the quick path says of the recorded inputs, where the recordings lie beside the project."""

import base64
import gzip
import json
from pathlib import Path

from ignition.rules.quick import valid_config

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "ignition" / "given"


def test_what_is_taken_for_valid_has_an_empty_report() -> None:
    cases = json.loads(gzip.decompress((RECORDINGS / "ignition_validate.json.gz").read_bytes()))
    inputs = {case["id"]: case.get("input", "").encode() or base64.b64decode(case.get("input_b64", "")) for case in cases}
    valid = {case["id"] for case in cases if valid_config(inputs[case["id"]]) is not None}
    clean = {case["id"] for case in cases if case["head_verdict"] == {"rc": 0, "messages": []}}
    assert valid <= clean
    assert len(valid) > len(clean) / 2
