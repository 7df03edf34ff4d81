"""Recorded reports of ignition-validate on generated inputs, where the recordings lie beside the project.

The lines that differ are those on their way to the screen: the tool prints its report through printf, which rewrites a percent
sign, and the recording was split into lines and stripped, which takes apart a key with a line break or a space at its end.
"""

import base64
import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ignition.rules import Report, validate

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "ignition" / "given"
DRAFT = "3.7.0-experimental"
OLD_SPECS = ("3.0.0", "3.1.0", "3.2.0", "3.3.0", "none")

# The reasons are those of docs/ignition-differences.md, section "Validation".
PRINTED_OTHERWISE = {
    "3.0.0/unused.percent/1": "percent sign",
    "3.2.0/unused.percent/1": "percent sign",
    "3.4.0/unused.percent/1": "percent sign",
    "3.4.0/unused.percent+type.null/1": "percent sign",
    "3.0.0/dup.dropin+unused.percent/1": "percent sign",
    "3.3.0/fs.format_missing_valid+unused.percent/1": "percent sign",
    "3.1.0/overwrite.no_source+unused.percent/1": "percent sign",
    "3.1.0/unused.random_place/4": "empty key at the end of a line",
    "3.1.0/resource.hash_without_source+unicode.values/1": "white space at the end of a line",
    "3.1.0/proxy.unparsable+unused.random_place/1": "white space at the end of a line",
    "3.5.0/syntax.char_inserted/4": "line break in a key",
    "3.0.0/string.escape/10": "line break in a key",
}
NEWER_THAN_2_14 = "path conflicts with systemd unit or dropin"


@cache
def recorded() -> tuple[dict[str, Any], ...]:
    cases = json.loads(gzip.decompress((RECORDINGS / "ignition_validate.json.gz").read_bytes()))
    return tuple(case for case in cases if case["spec"] != DRAFT)


def reports() -> Iterator[tuple[dict[str, Any], Report]]:
    for case in recorded():
        raw = case["input"].encode() if "input" in case else base64.b64decode(case["input_b64"])
        yield case, validate(raw)


def test_verdicts_are_those_of_ignition() -> None:
    ours = {case["id"]: report.is_fatal for case, report in reports()}
    assert ours == {case["id"]: case["head_verdict"]["rc"] != 0 for case in recorded()}
    assert len(ours) > 1500


def test_lines_are_those_of_ignition() -> None:
    differing = {
        case["id"] for case, report in reports() if sorted(map(str, report.problems)) != sorted(case["head_verdict"]["messages"])
    }
    known = PRINTED_OTHERWISE.keys() & {case["id"] for case in recorded()}
    assert differing == known
    assert len(differing) < 0.01 * len(recorded())


def test_lines_come_in_the_order_of_ignition() -> None:
    # Several unused keys of one object come in another order each time.
    ordered = [
        (case, report) for case, report in reports() if not case.get("order_varies") and case["id"] not in PRINTED_OTHERWISE
    ]
    differing = [case["id"] for case, report in ordered if list(map(str, report.problems)) != case["head_verdict"]["messages"]]
    assert [id_ for id_ in differing if "unused.two_in_one_object" not in id_] == []


def test_verdicts_are_those_of_ignition_2_14_but_for_a_newer_rule() -> None:
    differing = {}
    for case, report in reports():
        # Ignition 2.14 also knows a draft of 3.4, whose rules changed before it was published.
        is_draft = '"3.4.0-experimental"' in case.get("input", "")
        if case["spec"] in OLD_SPECS and not is_draft and report.is_fatal != (case["debian_verdict"]["rc"] != 0):
            differing[case["id"]] = {problem.message for problem in report.problems if problem.is_error}
    assert set().union(*differing.values()) == {NEWER_THAN_2_14}
