"""LastSigns: what all workers know of the last sign of a thing."""

import os

from hypothesis import given
from hypothesis import strategies as st

from mayu_py.services.signs import LastSigns

THINGS, SAID = st.sampled_from("abc"), st.sampled_from(["dhcp", "tftp", "ignition"])


@given(st.lists(st.tuples(THINGS, SAID), max_size=40))
def test_a_sign_is_the_last_one_until_there_is_another(had: list[tuple[str, str]]) -> None:
    signs = LastSigns()
    last: dict[str, str] = {}
    for about, sign in had:
        assert signs.is_last(about, sign) is (last.get(about) == sign)
        last[about] = sign


@given(st.lists(st.tuples(THINGS, SAID), max_size=40))
def test_things_that_share_a_word_may_look_new_and_never_old(had: list[tuple[str, str]]) -> None:
    signs = LastSigns(slots=1)
    last: dict[str, str] = {}
    for about, sign in had:
        assert not signs.is_last(about, sign) or last.get(about) == sign
        last[about] = sign


def test_what_a_forked_process_heard_is_known_here() -> None:
    signs = LastSigns()
    signs.is_last("node-1", "dhcp")
    worker = os.fork()
    if not worker:
        os._exit(0 if signs.is_last("node-1", "dhcp") and not signs.is_last("node-1", "tftp") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 0
    assert not signs.is_last("node-1", "dhcp")
