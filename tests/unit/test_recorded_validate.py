"""Recorded verdicts of Ignition 2.14 and Butane 0.29 on generated inputs, where the recordings lie beside the project."""

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ignition import butane, model
from ignition.document import load
from ignition.validate import decode_data_url, validate

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "ignition" / "given"
SPECS = ("3.0.0", "3.1.0", "3.2.0", "3.3.0", "none")
VARIANTS = (("fcos", "1.4.0"), ("flatcar", "1.0.0"))
REFUSED_HERE = re.compile("is not supported|unknown key")


def recorded(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(gzip.decompress((RECORDINGS / name).read_bytes()))
    return cases


def unpacked(value: Any) -> Any:
    """Replace data URLs by what they hold: gzip streams of equal contents differ."""
    if isinstance(value, list):
        return [unpacked(item) for item in value]
    if not isinstance(value, dict):
        return value
    if str(value.get("source", "")).startswith("data:"):
        held = decode_data_url(value["source"])
        return {"holds": zlib.decompress(held, 16 + zlib.MAX_WBITS) if value.get("compression") == "gzip" else held}
    return {key: unpacked(item) for key, item in value.items()}


def disagreements_on_butane() -> Iterator[tuple[str, str]]:
    for case in recorded("butane.json.gz"):
        if (case["variant"], case["version"]) not in VARIANTS:
            continue
        translation = butane.translate(load(case["input"], case["id"]))
        errors = [problem.message for problem in translation.problems if problem.is_error]
        is_refused_here = any(REFUSED_HERE.search(message) for message in errors)
        if (translation.config is None) != (case["plain"]["rc"] != 0) and not is_refused_here:
            yield case["id"], str(errors)
        elif translation.config is not None:
            ours, theirs = json.loads(model.encode(translation.config)), json.loads(case["plain"]["output"])
            if unpacked(ours) != unpacked(theirs):
                yield case["id"], f"{ours} != {theirs}"


def test_verdicts_on_configs_are_those_of_ignition() -> None:
    cases = [case for case in recorded("ignition_validate.json.gz") if case["spec"] in SPECS]
    # Ignition 2.14 also knows a draft of 3.4, whose rules changed before it was published.
    cases = [case for case in cases if '"3.4.0-experimental"' not in case.get("input", "")]
    inputs = {case["id"]: case.get("input", "").encode() or base64.b64decode(case.get("input_b64", "")) for case in cases}
    ours = {case["id"]: validate(inputs[case["id"]]).is_fatal for case in cases}
    assert ours == {case["id"]: case["debian_verdict"]["rc"] != 0 for case in cases}
    assert len(ours) > 800


def test_translations_are_those_of_butane() -> None:
    assert list(disagreements_on_butane()) == []
