"""Whatever the bytes are, validating them gives a report: never an exception, never a crash."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ignition.rules import Report, parse, validate

DEEP = 100_000
HEAD = b'{"ignition":{"version":"3.3.0"},'


def messages(raw: bytes) -> list[str]:
    report = validate(raw)
    assert isinstance(report, Report)
    return [problem.message for problem in report.problems]


@given(st.binary())
@example(b"\xef\xbb\xbf" + HEAD[:-1] + b"}")
@example((HEAD[:-1] + b"}").decode().encode("utf-16"))
@example(b"\x00" * 100)
def test_arbitrary_bytes_are_refused(raw: bytes) -> None:
    assert validate(raw).is_fatal
    assert parse(raw).config is None


@given(st.text('{}[]",:\\ 0123456789-+.eEtrufalsn\n\t\x00\x7fé\ud800\U0001f600', max_size=60))
def test_arbitrary_tokens_have_a_report(text: str) -> None:
    assert messages(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=30))
def test_arbitrary_bytes_in_a_string_have_a_report(inside: bytes) -> None:
    for key in (b'"storage":{"files":[{"path":"%b"}]}', b'"%b":1', b'"systemd":{"units":[{"name":"a.service","contents":"%b"}]}'):
        assert isinstance(messages(HEAD + key % inside + b"}"), list)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        (b"[", b"]"),
        (b'{"a":', b"}"),
        (b'[{"a":', b"}]"),
        (b'{"ignition":', b"}"),
        (b'{"storage":{"files":[', b"]}}"),
        (b'{"config":{"replace":', b"}}"),
        (b" [\n", b" ]\n"),
    ],
)
@pytest.mark.parametrize(
    "prefix", [b"", HEAD + b'"x":', HEAD + b'"storage":', HEAD + b'"storage":{"files":', HEAD + b'"ignition":']
)
@pytest.mark.parametrize("is_closed", [True, False])
def test_deep_nesting_is_refused(opening: bytes, closing: bytes, prefix: bytes, is_closed: bool) -> None:
    ends = closing * DEEP + b"}" * prefix.count(b"{") if is_closed else b""
    report = validate(prefix + opening * DEEP + b"0" + ends)
    assert report.is_fatal
    assert "exceeded max depth" in report.problems[0].message


@pytest.mark.parametrize("depth", [900, 1100, 5000, 9900])
def test_nesting_that_go_reads_is_read(depth: int) -> None:
    values = b"[" * depth + b"]" * depth, b'{"a":' * depth + b"0" + b"}" * depth
    for value in values:
        assert messages(HEAD + b'"x":' + value + b"}") == ["unused key x"]


@pytest.mark.parametrize("value", [b'{"version":"3.3.0"}', b"{}", b"null"])
def test_keys_given_many_times_have_a_report(value: bytes) -> None:
    raw = HEAD + b'"ignition":%b,' % value * 20_000 + b'"x":{}}'
    assert isinstance(messages(raw), list)


def test_unknown_keys_in_great_number_are_all_reported() -> None:
    raw = json.dumps({"ignition": {"version": "3.3.0"}, **{f"x{n}": n for n in range(5000)}}).encode()
    assert len(messages(raw)) == 5000


@pytest.mark.parametrize("digits", [19, 20, 400, 5000, 100_000])
def test_numbers_of_any_length_have_a_report(digits: int) -> None:
    for number in (b"9" * digits, b"-" + b"9" * digits, b"0." + b"9" * digits, b"1e" + b"9" * digits):
        for field in (b'"storage":{"files":[{"path":"/a","mode":%b}]}', b'"x":%b', b'"passwd":%b'):
            assert isinstance(messages(HEAD + field % number + b"}"), list)


@pytest.mark.parametrize(
    "text",
    [
        b"\\ud800",
        b"\\udc00\\ud800",
        b"\\ud800a",
        b"\xed\xa0\x80",
        b"\xff",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
        b"\\u0000",
        b"\xef\xbb\xbf",
    ],
)
def test_text_that_is_no_unicode_has_a_report_that_can_be_encoded(text: bytes) -> None:
    for field in (b'"%b":1', b'"storage":{"files":[{"path":"%b"}]}', b'"passwd":{"users":[{"name":"%b"},{"name":"%b"}]}'):
        report = validate(HEAD + field.replace(b"%b", text) + b"}")
        assert report.problems
        assert "\n".join(map(str, report.problems)).encode()


@pytest.mark.parametrize(
    "text", ["[" * 3000, "a\\\n" * 2000, "[a]\n" * 2000, "=" * 3000, "[a]\nb=\\\n" * 2000, "\n" * 5000, "#\\\n" * 2000]
)
def test_unit_files_of_any_kind_have_a_report(text: str) -> None:
    raw = {"ignition": {"version": "3.3.0"}, "systemd": {"units": [{"name": "a.service", "contents": text}]}}
    assert isinstance(messages(json.dumps(raw).encode()), list)
