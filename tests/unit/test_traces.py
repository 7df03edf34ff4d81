"""The comparison of the whole machine, before and after: what a test is blamed for, and what is others' affair."""

from dataclasses import replace

import pytest

from tests.rack import Traces, lab_of

NONE: frozenset[str] = frozenset()
EMPTY = Traces(*[NONE] * 8)
THEIRS = replace(
    EMPTY,
    processes=frozenset({"12 sleep 100 of lab 0123abcd"}),
    namespaces=frozenset({"kc-0123abcd-fabric"}),
    mounts=frozenset({"nsfs /run/netns/kc-0123abcd-fabric nsfs rw 0 0", "tmpfs /run/kubeception/0123abcd/x tmpfs rw 0 0"}),
    labs=frozenset({"0123abcd"}),
)


@pytest.mark.parametrize(
    ("trace", "lab"),
    [
        ("kc-0123abcd-fabric", "0123abcd"),
        ("kc0123abcdup", "0123abcd"),
        ("0123abcd", "0123abcd"),
        ("12 sleep 100 of lab 0123abcd", "0123abcd"),
        ("nsfs /run/netns/kc-0123abcd-fabric nsfs rw 0 0", "0123abcd"),
        ("tmpfs /run/kubeception/0123abcd/x tmpfs rw 0 0", "0123abcd"),
        ("eth0", ""),
        ("tmpfs /run tmpfs rw,nosuid,size=1234abcde 0 0", ""),
        ("up/outer-cluster.json", "outer-cluster"),
    ],
)
def test_what_belongs_to_a_lab_tells_which(trace: str, lab: str) -> None:
    assert lab_of(trace) == lab


def test_what_is_new_is_a_difference() -> None:
    assert THEIRS.since(EMPTY) == [
        "+ labs: 0123abcd",
        "+ mounts: nsfs /run/netns/kc-0123abcd-fabric nsfs rw 0 0",
        "+ mounts: tmpfs /run/kubeception/0123abcd/x tmpfs rw 0 0",
        "+ namespaces: kc-0123abcd-fabric",
        "+ processes: 12 sleep 100 of lab 0123abcd",
    ]


def test_a_lab_that_was_there_before_may_go_and_may_go_on() -> None:
    assert EMPTY.since(THEIRS) == []
    assert replace(THEIRS, processes=frozenset({"13 sleep 7 of lab 0123abcd"})).since(THEIRS) == []


def test_a_lab_that_came_meanwhile_and_lives_elsewhere_is_others_affair() -> None:
    assert replace(THEIRS, strangers=frozenset({"0123abcd"})).since(EMPTY) == []


def test_what_is_gone_and_was_no_labs_is_a_difference() -> None:
    assert EMPTY.since(replace(EMPTY, links=frozenset({"eth0"}))) == ["- links: eth0"]
