"""What a guest says of itself, and writes to its console: a stranger's bytes, in pieces of any size and without an end."""

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.agents.vm.console import TAIL_LINES, Console
from kubeception_sim.agents.vm.stages import LONGEST_LINE, MOST_STAGES, LineReader, Stages


def stages() -> Stages:
    ticks = itertools.count()
    return Stages(clock=lambda: float(next(ticks)))


def pieces(text: bytes, cuts: Sequence[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(at)]


def test_a_boot_as_it_should_be() -> None:
    found = stages()
    assert "not said" in found.problem
    assert found.feed(b"switch-root\nrun") == ["switch-root"]
    assert "switch-root" in found.problem
    assert found.feed(b"ning\n") == ["running"]
    assert found.problem == ""
    assert found.reached == {"switch-root": 0.0, "running": 1.0}


def test_the_first_time_counts_and_the_last_word_decides() -> None:
    found = stages()
    found.feed(b"running\nfailed: the kubelet is gone\nrunning\n")
    assert found.problem == ""
    assert found.reached == {"running": 0.0, "failed": 1.0}
    found.feed(b"failed: again\n")
    assert found.problem == "the guest has failed: again"


def test_a_failure_without_a_reason_is_one() -> None:
    found = stages()
    found.feed(b"failed\n")
    assert found.problem == "the guest has failed: it does not say why"


def test_a_reason_has_nothing_that_a_terminal_obeys() -> None:
    found = stages()
    found.feed(b"failed: \x1b]0;owned\x07\xff\x00 done\n")
    assert found.failure.isprintable()
    assert found.failure.endswith("done")


def test_only_a_failure_has_a_text() -> None:
    found = stages()
    assert found.feed(b"running: really\nRUNNING\n running\nrunning \n") == []
    assert (found.noise, found.reached) == (4, {})


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_lines_do_not_depend_on_where_the_stream_was_cut(text: bytes, cuts: list[int]) -> None:
    whole, parts = LineReader(), LineReader()
    expected = whole.feed(text)
    assert [line for piece in pieces(text, cuts) for line in parts.feed(piece)] == expected
    assert expected == [line.rstrip(b"\r") for line in text.split(b"\n")[:-1]]


@given(st.lists(st.binary(max_size=3 * LONGEST_LINE), max_size=12))
def test_a_line_without_an_end_takes_no_more_than_its_room(chunks: list[bytes]) -> None:
    reader = LineReader()
    for chunk in chunks:
        assert all(len(line) <= LONGEST_LINE for line in reader.feed(chunk))
        assert len(reader._held) <= LONGEST_LINE


@given(st.lists(st.one_of(st.binary(max_size=300), st.from_regex(rb"[a-z]{1,4}\n", fullmatch=True)), max_size=40))
def test_a_hostile_guest_is_kept_within_bounds_and_is_never_an_error(chunks: list[bytes]) -> None:
    found = stages()
    for chunk in chunks:
        found.feed(chunk)
    assert len(found.reached) <= MOST_STAGES
    assert all(len(name) <= 40 for name in found.reached)
    assert len(found.failure) <= LONGEST_LINE
    assert found.problem == "" or found.problem.isprintable()


def test_stages_without_number_are_not_kept() -> None:
    found = stages()
    found.feed(b"".join(b"s%d\n" % number for number in range(10 * MOST_STAGES)))
    assert len(found.reached) == MOST_STAGES
    found.feed(b"running\n")  # what it is, is known nevertheless
    assert found.problem == ""


def test_a_console_is_readable() -> None:
    console = Console()
    said = b"\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mssh.service\x1b[0m.\r\n\r\n\x1b]0;title\x07plain\r\nhalf"
    assert console.feed(said) == ["  OK  ] Started ssh.service.", "plain"]
    assert console.feed(b"\rwhole\n") == ["whole"]
    assert console.size == len(said) + len(b"\rwhole\n")


def test_what_systemd_moves_while_it_waits_is_no_line() -> None:
    console = Console()
    moved = b"\x1b[K[\x1b[0;31m*     \x1b[0m] (1 of 2) Job kubelet.service/start running (5s / no limit)\r\n"
    assert console.feed(moved + moved.replace(b"*     ", b" ***  ") + b"[  OK  ] Started kubelet.service.\r\n") == [
        "[  OK  ] Started kubelet.service."
    ]
    assert console.tail == ["[  OK  ] Started kubelet.service."]


@given(st.lists(st.binary(max_size=2 * LONGEST_LINE), max_size=10))
def test_whatever_a_guest_prints_is_fit_for_a_terminal(chunks: list[bytes]) -> None:
    console = Console()
    for chunk in chunks:
        assert all(line.isprintable() for line in console.feed(chunk))
    assert len(console.tail) <= TAIL_LINES
