"""What a server answers to the options of a read request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.wire.tftp import Limits, Terms, negotiate

SIZE = 1_048_576


@pytest.mark.parametrize(
    ("asked", "terms"),
    [
        ({}, Terms()),
        ({"blksize": "1468"}, Terms(block_size=1468, accepted={"blksize": "1468"})),
        ({"blksize": "8"}, Terms(block_size=8, accepted={"blksize": "8"})),
        ({"tsize": "0"}, Terms(accepted={"tsize": "1048576"})),
        ({"timeout": "255"}, Terms(timeout=255, accepted={"timeout": "255"})),
        ({"windowsize": "16"}, Terms(window=16, accepted={"windowsize": "16"})),
        (
            {"tsize": "0", "blksize": "1468", "windowsize": "4"},
            Terms(1468, 4, None, {"tsize": "1048576", "blksize": "1468", "windowsize": "4"}),
        ),
    ],
)
def test_an_option_in_range_is_accepted(asked: dict[str, str], terms: Terms) -> None:
    assert negotiate(asked, SIZE) == terms


@pytest.mark.parametrize(
    ("asked", "terms"),
    [
        ({"blksize": "65535"}, Terms(block_size=65464, accepted={"blksize": "65464"})),
        ({"windowsize": "65535"}, Terms(window=64, accepted={"windowsize": "64"})),
    ],
)
def test_block_and_window_size_are_lowered_to_what_we_can(asked: dict[str, str], terms: Terms) -> None:
    assert negotiate(asked, SIZE) == terms


def test_the_limits_are_the_callers() -> None:
    terms = negotiate({"blksize": "1468", "windowsize": "16"}, SIZE, Limits(block_size=1024, window=4))
    assert terms == Terms(1024, 4, None, {"blksize": "1024", "windowsize": "4"})


@pytest.mark.parametrize(
    "asked",
    [
        {"blksize": "7"},
        {"blksize": "abc"},
        {"blksize": "-512"},
        {"blksize": ""},
        {"blksize": "\xb2"},
        {"blksize": "9" * 5000},
        {"windowsize": "0"},
        {"windowsize": "65536"},
        {"timeout": "0"},
        {"timeout": "256"},
        {"tsize": "huge"},
        {"multicast": ""},
        {"rollover": "1"},
    ],
)
def test_an_option_out_of_range_or_unknown_is_left_out_of_the_answer(asked: dict[str, str]) -> None:
    assert negotiate(asked, SIZE) == Terms()


@given(st.dictionaries(st.sampled_from(["blksize", "windowsize", "timeout", "tsize", "x"]), st.integers().map(str)))
def test_terms_are_always_within_the_rfcs_and_say_what_they_grant(asked: dict[str, str]) -> None:
    terms = negotiate(asked, SIZE)
    assert 8 <= terms.block_size <= 65464
    assert 1 <= terms.window <= 65535
    assert terms.accepted.keys() <= asked.keys()
    assert terms.accepted.get("blksize", "512") == str(terms.block_size)
    assert terms.accepted.get("windowsize", "1") == str(terms.window)
    assert terms.accepted.get("timeout") == (None if terms.timeout is None else str(terms.timeout))
