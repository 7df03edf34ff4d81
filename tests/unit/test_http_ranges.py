"""Byte ranges: RFC 9110, section 14."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.services.http.ranges import ByteRange, NotSatisfiable, requested


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-500", (90, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        (" bytes=1-2 ", (1, 3)),
        # What the RFC lets a server ignore: several ranges, other units, an end before the start, nonsense.
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=" + "9" * 40 + "-", None),
    ],
)
def test_a_range_of_a_file_of_100_bytes(header: str | None, expected: tuple[int, int] | None) -> None:
    assert requested(header, 100) == (ByteRange(*expected) if expected else None)


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-1", 0)])
def test_a_range_behind_the_end_is_not_satisfiable(header: str, size: int) -> None:
    with pytest.raises(NotSatisfiable):
        requested(header, size)


def test_a_range_says_where_it_lies() -> None:
    assert ByteRange(10, 20).content_range(100) == "bytes 10-19/100"


@given(st.text(max_size=30) | st.from_regex(r"bytes=\d{0,4}-\d{0,4}"), st.integers(0, 5000))
def test_whatever_is_asked_the_answer_lies_within_the_file(header: str, size: int) -> None:
    try:
        part = requested(header, size)
    except NotSatisfiable:
        return
    assert part is None or 0 <= part.start < part.end <= size
