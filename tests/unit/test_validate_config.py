"""Verdicts on configs: versions, places, unused keys, and a report for every input."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.errors import DocumentError, Entry, Mark, Severity
from ignition.rules import Report, parse, validate

STUB = "json: cannot unmarshal KIND into Go struct field versionStub"


def config(minor: int = 3, **sections: Any) -> bytes:
    return json.dumps({"ignition": {"version": f"3.{minor}.0"}, **sections}).encode()


def storage(**lists: Any) -> bytes:
    return config(storage=lists)


def lines(raw: bytes) -> list[str]:
    return str(validate(raw)).splitlines()


def test_a_valid_config_has_an_empty_report() -> None:
    raw = storage(files=[{"path": "/etc/a", "mode": 0o644, "contents": {"source": "data:,a"}}])
    assert validate(raw) == Report(())
    assert not validate(raw).is_fatal


def test_text_is_taken_for_its_utf8() -> None:
    text = '{"ignition": {"version": "3.3.0"}, "\u20ac": 1}'
    assert validate(text) == validate(text.encode())


def test_problems_carry_the_line_and_column_of_the_value() -> None:
    report = validate(b'{"ignition": {"version": "3.3.0"},\n "storage": {"files": [\n  {"path": "a"}]}}', "x.ign")
    assert report.problems == (Entry(Severity.ERROR, Mark("x.ign", 3, 12), "$.storage.files.0.path", "path not absolute"),)
    assert str(report) == "error at $.storage.files.0.path, line 3 col 12: path not absolute"


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"", "couldn't parse config: not a config (empty)"),
        (b"null", "couldn't parse config: invalid config version (couldn't parse)"),
        (b"{}", "couldn't parse config: invalid config version (couldn't parse)"),
        (b'{"ignition": null}', "couldn't parse config: invalid config version (couldn't parse)"),
        (b'{"ignition": {"version": null}}', "couldn't parse config: invalid config version (couldn't parse)"),
        (b'{"ignition": {"version": "3.3"}}', "couldn't parse config: invalid config version (couldn't parse)"),
        (b'{"ignition": {"version": "+3.3.0"}}', "couldn't parse config: invalid config version (couldn't parse)"),
        (b'{"ignition": {"version": "3.3.1"}}', "couldn't parse config: unsupported config version"),
        (b'{"ignition": {"version": "2.2.0"}}', "couldn't parse config: unsupported config version"),
        (b'{"ignition": {"version": "3.3.0-experimental"}}', "couldn't parse config: unsupported config version"),
        (b'{"ignition": {"version": "3.7.0"}}', "couldn't parse config: unsupported config version"),
        (b'{"ignition": {"version": "3.7.0-experimental"}}',
         "couldn't parse config: unsupported config version 3.7.0-experimental"),
        (b"[]\n", "error at line 1 col 2: json: cannot unmarshal array into Go value of type util.versionStub"),
        (b"5", "error at line 0 col 0: json: cannot unmarshal number into Go value of type util.versionStub"),
        (b'{"ignition": "a\\n"}',
         f"error at line 1 col 19: {STUB}.ignition of type struct {{ Version string }}".replace("KIND", "string")),
        (b'{"ignition": {"version": 3}}',
         f"error at line 1 col 27: {STUB}.ignition.version of type string".replace("KIND", "number")),
    ],
)  # fmt: skip
def test_what_is_no_config_is_fatal(raw: bytes, line: str) -> None:
    report = validate(raw)
    assert (str(report), report.is_fatal) == (line, True)


def test_a_draft_is_refused_by_name_and_place() -> None:
    with pytest.raises(DocumentError) as caught:
        parse(b'{"ignition":\n {"version": "3.7.0-experimental"}}', "a.ign").unwrap()
    message = "unsupported config version 3.7.0-experimental (a draft may change yet; the newest published spec is 3.6.0)"
    assert str(caught.value) == f"a.ign:2: error: {message}"


@pytest.mark.parametrize("version", ["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0", "3.6.0", "3.03.0", "3.3.0+"])
def test_versions_are_read_as_semantic_versions(version: str) -> None:
    assert validate(json.dumps({"ignition": {"version": version}}).encode()) == Report(())


def test_the_version_is_found_as_go_finds_it() -> None:
    raw = b'{"IGNITION": {"VERSION": "3.9.0"}, "ignition": {"ver\xc5\xbfion": "3.3.0"}}'
    assert lines(raw) == [
        "warning at $.IGNITION, line 1 col 2: unused key IGNITION",
        "warning at $.ignition.ver\u017fion, line 1 col 49: unused key ver\u017fion",
    ]


def test_only_the_first_value_of_a_wrong_type_is_reported() -> None:
    report = validate(storage(files=[{"path": "relative"}, {"path": 'x\u20ac"', "mode": "\u20ac"}, {"mode": []}]))
    (problem,) = report.problems
    assert problem.path == "$.storage.files.1.mode"
    assert str(problem).startswith("error at line 1 col 118: json: cannot unmarshal string into Go struct field")


def test_rules_come_before_entries_defined_twice_and_those_before_unused_keys() -> None:
    raw = storage(x=1, disks=[{"device": "/dev/a", "partitions": [{"number": 1}, {"number": 1}]}], files=[{"path": "/a"}] * 2)
    assert [line.partition(", line")[0] for line in lines(raw)] == [
        "error at $.storage.disks.0.partitions.1",
        "error at $.storage.files.1",
        "error at $.storage.disks.0.partitions.1",
        "warning at $.storage.x",
    ]


def test_nothing_is_said_below_keys_that_are_unused() -> None:
    raw = config(other={"deep": 1}, Storage={"x": 1, "files": [{"path": "a", "y": 1}]})
    assert lines(raw) == [
        "error at $.storage.files.0.path, line 1 col 2: path not absolute",
        "warning at $.other, line 1 col 36: unused key other",
        "warning at $.Storage, line 1 col 58: unused key Storage",
    ]


def test_of_equal_keys_the_last_is_looked_at() -> None:
    raw = b'{"ignition": {"version": "3.3.0"}, "passwd": {"x": 1}, "passwd": {"y": 1}}'
    assert lines(raw) == ["warning at $.passwd.y, line 1 col 67: unused key y"]


@pytest.mark.parametrize(("minor", "is_named"), [(2, False), (3, True)])
def test_a_null_where_go_has_a_struct_is_named(minor: int, is_named: bool) -> None:
    raw = config(minor, storage={"luks": [{"name": "a", "device": "/dev/a", "clevis": None}]})
    place = "$.storage.luks.0.clevis"
    message = f"warning at {place}, line 1 col 101: context tree does not match content tree at {place}."
    hint = "Line and column reporting may be inconsistent. Unused keys may not be reported"
    assert lines(raw) == ([f"{message} {hint}"] if is_named else [])


def test_a_key_newer_than_the_spec_is_unused() -> None:
    assert lines(config(2, kernelArguments={})) == ["warning at $.kernelArguments, line 1 col 36: unused key kernelArguments"]


def test_a_number_too_large_for_go_takes_the_places_and_the_unused_keys_away() -> None:
    raw = b'{"ignition": {"version": "3.3.0"}, "x": -1e400, "storage": {"files": [{"path": "a"}]}}'
    assert lines(raw) == ["error at $.storage.files.0.path: path not absolute"]


_BASE = json.loads(
    storage(
        files=[{"path": "/etc/a", "contents": {"source": "http://h/a", "httpHeaders": [{"name": "a", "value": "b"}]}}],
        disks=[{"device": "/dev/vda", "partitions": [{"number": 1, "sizeMiB": 1, "startMiB": 1}]}],
        links=[{"path": "/etc/b", "target": "a"}],
    )
)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.binary())
def test_arbitrary_bytes_have_a_report(raw: bytes) -> None:
    assert validate(raw).is_fatal


@given(st.sampled_from(["ignition", "storage", "systemd", "passwd", "kernelArguments"]), _ANYTHING)
def test_arbitrary_values_in_a_section_have_a_report(section: str, value: Any) -> None:
    for raw in (json.dumps({**_BASE, section: value}), json.dumps({**_BASE, section: value}, ensure_ascii=False)):
        assert isinstance(validate(raw.encode("utf-8", "surrogatepass")), Report)


def test_a_lone_surrogate_is_read_as_go_reads_it() -> None:
    raw = b'{"ignition": {"version": "3.3.0"}, "\\ud800": 1}'
    assert lines(raw) == ["warning at $.\ufffd, line 1 col 36: unused key \ufffd"]


def test_deep_nesting_in_an_unused_key_is_only_unused() -> None:
    raw = b'{"ignition": {"version": "3.3.0"}, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert lines(raw) == ["warning at $.x, line 1 col 36: unused key x"]


def test_more_values_than_fit_are_one_problem() -> None:
    raw = b'{"ignition": {"version": "3.3.0"}, "x": [' + b"0," * 500_000 + b"0]}"
    assert [problem.message for problem in validate(raw).problems] == ["more than 500000 values"]
