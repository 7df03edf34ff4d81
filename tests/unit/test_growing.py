"""Growing: a mapping that is added to is what a dictionary would be, and the one that it was made of stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.core import growing
from mayu_py.core.growing import Growing


@given(st.lists(st.dictionaries(st.integers(0, 30), st.integers(), max_size=6), max_size=12), st.integers(0, 8))
def test_it_is_what_a_dictionary_would_be_at_each_step(additions: list[dict[int, int]], small: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing, "SMALL", small)
        grown, plain = [Growing[int, int]()], [dict[int, int]()]
        for more in additions:
            grown.append(grown[-1].adding(more))
            plain.append({**plain[-1], **more})
    for one, other in zip(grown, plain, strict=True):
        assert dict(one) == other
        assert (len(one), list(one)) == (len(other), list(other))
        assert [(key in one, one.get(key), one.get(key, -1)) for key in range(32)] == [
            (key in other, other.get(key), other.get(key, -1)) for key in range(32)
        ]


def test_what_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Growing({1: 2}, {3: 4})[5]
