"""Repeats: what was seen a moment ago is nothing new, whatever else has been seen since."""

from hypothesis import given
from hypothesis import strategies as st

from mayu_py.services.repeats import Repeats

SECONDS = 5.0


def test_a_key_is_new_again_after_its_time_though_it_was_repeated() -> None:
    repeats: Repeats[str] = Repeats(SECONDS)
    assert [repeats.seen("a", now) for now in (0.0, 4.9, 5.0, 9.9)] == [False, True, False, True]


def test_a_flood_makes_it_forget_the_oldest_and_not_grow() -> None:
    repeats: Repeats[int] = Repeats(SECONDS, most=100)
    assert not any(repeats.seen(number, 1.0) for number in range(1000))
    assert len(repeats) == 100
    assert [repeats.seen(number, 1.0) for number in (999, 900, 899)] == [True, True, False]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 3.0)), max_size=60))
def test_it_says_what_a_memory_of_everything_would_say(asked: list[tuple[int, float]]) -> None:
    repeats: Repeats[int] = Repeats(SECONDS)
    first: dict[int, float] = {}
    now = 0.0
    for key, pause in asked:
        now += pause
        is_repeat = key in first and now - first[key] < SECONDS
        if not is_repeat:
            first[key] = now
        assert repeats.seen(key, now) is is_repeat
