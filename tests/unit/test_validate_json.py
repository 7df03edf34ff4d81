"""Text that is no JSON: what Go says of it, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.document.json_reader import LEAF, MAX_VALUES, JSONSyntax, Shape, read_json
from ignition.document.nodes import ListNode, MapNode, to_data
from ignition.rules import validate


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"  ", "line 0 col 0: unexpected end of JSON input"),
        (b"{", "line 0 col 0: unexpected end of JSON input"),
        (b'{"a', "line 0 col 0: unexpected end of JSON input"),
        (b'{"a\\', "line 1 col 4: unexpected end of JSON input"),
        (b'{"a\\u12', "line 1 col 4: unexpected end of JSON input"),
        (b'{"a\xe2\x82', "line 1 col 4: unexpected end of JSON input"),
        (b'{"a": -', "line 1 col 7: unexpected end of JSON input"),
        (b'{"a": 1.', "line 1 col 7: unexpected end of JSON input"),
        (b'{"a": nul', "line 0 col 0: unexpected end of JSON input"),
        (b'{"a" 1}', "line 1 col 7: invalid character '1' after object key"),
        (b'{"a": 1,}', "line 0 col 0: invalid character '}' looking for beginning of object key string"),
        (b'{"a": 1,} ', "line 1 col 10: invalid character '}' looking for beginning of object key string"),
        (b"[1 2]", "line 1 col 5: invalid character '2' after array element"),
        (b"[1,]\n", "line 1 col 5: invalid character ']' looking for beginning of value"),
        (b'{"a": tru}\n', "line 1 col 11: invalid character '}' in literal true (expecting 'e')"),
        (b'{"a": 1.}\n', "line 1 col 10: invalid character '}' in numeric literal"),
        (b'{"a": 1e}\n', "line 1 col 10: invalid character '}' in numeric literal"),
        (b'{"a": -}\n', "line 1 col 9: invalid character '}' in numeric literal"),
        (b'{"a": 01}', "line 1 col 9: invalid character '1' after object key:value pair"),
        (b'{"a": "\\q"}', "line 1 col 10: invalid escape sequence `\\q` in string"),
        (b'{"a": "\\u12g4"}', "line 1 col 14: invalid escape sequence `\\u12g4` in string"),
        (b'{"a": "\\`"}', 'line 1 col 10: invalid escape sequence "\\\\`" in string'),
        (b'{"a": "\\\xc3\xa9"}', 'line 1 col 10: invalid escape sequence "\\\\\\xc3" in string'),
        (b'{"a": "\n"}', "line 2 col 1: invalid character '\\n' in string"),
        (b'{"a": "\x1f"}', "line 1 col 9: invalid character '\\x1f' in string"),
        (b"{} x\n", "line 1 col 5: invalid character 'x' after top-level value"),
        (b"{} x", "line 0 col 0: invalid character 'x' after top-level value"),
        (b"\xff\xfe{", "line 1 col 2: invalid character '\\xff' looking for beginning of value"),
        (b"\xef\xbb\xbf{}", "line 1 col 4: invalid character '\\ufeff' looking for beginning of value"),
        (b"\xe2\x82\xac{}", "line 1 col 4: invalid character '\u20ac' looking for beginning of value"),
        (b"\x00{}", "line 1 col 2: invalid character '\\x00' looking for beginning of value"),
        (b"'{}'", "line 1 col 2: invalid character '\\'' looking for beginning of value"),
        (b"[" * 100_000, "line 1 col 10002: exceeded max depth"),
    ],
)
def test_what_is_no_json_is_reported_as_go_reports_it(raw: bytes, line: str) -> None:
    report = validate(raw)
    assert (str(report), report.is_fatal) == (f"error at {line}", True)


def test_columns_count_bytes() -> None:
    with pytest.raises(JSONSyntax) as caught:
        read_json('{"\u20ac": "\u00e9", x}', "c.ign", 10)
    assert (caught.value.mark.column, caught.value.reported.column) == (15, 16)


def test_bytes_that_are_not_utf8_are_replaced_one_by_one() -> None:
    assert to_data(read_json(b'["\xe2\x82", "\xed\xa0\x80", "\\ud800\xff", "\\ud83d\\ude00", "\\u00e9\xc3\xa9"]', "c", 10)) == [
        "\ufffd\ufffd",
        "\ufffd\ufffd\ufffd",
        "\ufffd\ufffd",
        "\U0001f600",
        "\u00e9\u00e9",
    ]


def test_what_nobody_looks_at_is_not_kept() -> None:
    shape = Shape({"a": LEAF, "b": Shape({}, LEAF)})
    node = read_json('{"x": {"y": [1]}, "A": [[2], 3], "b": [4, {"c": 5}], "a": 6}', "c.ign", 10, shape)
    assert to_data(node) == {"x": {}, "A": [], "b": [4, {}], "a": 6}
    assert isinstance(node, MapNode)
    assert isinstance(node.by_key["A"], ListNode)


def test_what_nobody_looks_at_must_be_json() -> None:
    with pytest.raises(JSONSyntax, match="invalid character ','"):
        read_json('{"x": {"y": [1,,]}}', "c.ign", 10, Shape({"a": LEAF}))


def test_the_number_of_values_is_limited() -> None:
    raw = b"[" + b"0," * MAX_VALUES + b"0]"
    with pytest.raises(JSONSyntax, match=f"more than {MAX_VALUES} values"):
        read_json(raw, "c.ign", 10, LEAF)


@given(st.binary(max_size=30) | st.text(alphabet='{}[]":,\\u0ted1-.+ \n', max_size=30).map(str.encode))
def test_any_bytes_are_a_value_or_refused(raw: bytes) -> None:
    try:
        verdict = read_json(raw, "c.ign", 5).describe()
    except JSONSyntax as error:
        verdict = error.message
    assert verdict
