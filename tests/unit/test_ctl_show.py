"""What mayuctl shows to people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.ctl import show

TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Mn", "Me"]), max_size=60)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        ({}, "-"),
        (0, "0"),
        (False, "no"),
        (["a", "b"], "a, b"),
        ({"rack": "a", "note": "two words", "no": ""}, 'rack=a note="two words" no=""'),
        ({"disks": ["/dev/sda"]}, '{"disks": ["/dev/sda"]}'),
        ("\x1b[2Jgone\n", "\\x1b[2Jgone\\n"),
        ({"\x1b": "\x07"}, "\\x1b=\\x07"),
        ("\ud800é", "\\ud800é"),
    ],
)
def test_a_value_is_one_line_that_no_terminal_obeys(value: object, shown: str) -> None:
    assert show.cell(value) == shown


def test_a_table_for_programs_is_whole_and_has_no_blanks_at_its_ends() -> None:
    lines = show.table(("name", "note"), [("node-1", "x" * 300), ("n", None)], limit=None)
    assert lines == ["\x1b[1mNAME    NOTE\x1b[0m", f"node-1  {'x' * 300}", "n       -"]
    assert show.table(("name", "note"), [("n", "m")], limit=None, legend=False) == ["n  m"]


def test_the_widest_column_gives_way_first() -> None:
    assert show.table(("a", "b"), [("short", "x" * 40)], limit=20)[1] == "short  xxxxxxxxxxxx…"


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=4), st.integers(30, 120))
def test_a_table_fits_its_terminal(rows: list[tuple[str, str, str]], limit: int) -> None:
    for line in show.table(("a", "b", "c"), rows, limit=limit, legend=False):
        assert show.breadth(line) <= limit


@given(TEXT, st.integers(20, 100))
def test_folding_loses_nothing_but_blanks(text: str, columns: int) -> None:
    lines = show.folded(text, columns)
    assert all(show.breadth(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_states_have_colours_in_tables_and_records() -> None:
    assert "\x1b[31mfailed" in show.table(("name", "state"), [("n", "failed")], limit=None)[1]
    assert "\x1b[32mrunning" in show.record({"name": "n", "state": "running"}, 80)[1]


def test_a_record_goes_on_below_its_value() -> None:
    assert show.record({"name": "a b " * 10}, 30) == [
        "\x1b[1mname\x1b[0m  a b a b a b a b a b a b",
        "      a b a b a b a b ",
    ]


def test_wide_signs_take_two_columns() -> None:
    assert (show.breadth("架1"), show.clip("架架架", 5), show.clip("abc", 3)) == (3, "架架…", "abc")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("2026-01-02T03:04:05.678+00:00", "2026-01-02 03:04:05Z"), ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05Z"), ("now", "now")],
)
def test_moments_are_told_in_seconds(text: str, shown: str) -> None:
    assert show.moment(text) == shown
