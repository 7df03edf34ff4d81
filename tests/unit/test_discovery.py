"""etcd's discovery: what a token's requests answer, and what they make of it."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mayu_py.core.discovery import (
    HISTORY,
    LARGEST,
    LONGEST_VALUE,
    MOST_MEMBERS,
    Answer,
    Cluster,
    Conditions,
    Watch,
    read_size,
    unknown,
)
from mayu_py.store.discovery import of_text, to_text

TOKEN = "0123456789abcdef" * 2
KEY = f"/_etcd/registry/{TOKEN}"
CREATE = Conditions(exists=False)
EMPTY = Cluster(TOKEN, 3)


def joined(*names: str) -> Cluster:
    cluster = EMPTY
    for name in names:
        cluster, _ = cluster.put(name, f"{name}=http://{name}:2380", 0.0, CREATE)
    return cluster


def node(name: str, index: int, created: int | None = None) -> dict[str, Any]:
    value = f"{name}=http://{name}:2380"
    return {"key": f"{KEY}/{name}", "value": value, "modifiedIndex": index, "createdIndex": created or index}


def test_a_member_that_joins_is_created_once() -> None:
    cluster, answer = EMPTY.put("a", "a=http://a:2380", 0.0, CREATE)
    again, refused = cluster.put("a", "a=http://elsewhere:2380", 0.0, CREATE)
    assert answer == Answer(201, {"action": "create", "node": node("a", 2)}, 2)
    assert refused == Answer(412, {"errorCode": 105, "message": "Key already exists", "cause": f"{KEY}/a", "index": 2}, 2)
    assert again is cluster


def test_members_are_listed_as_they_came_or_by_name() -> None:
    cluster = joined("b", "a")
    came = cluster.list(is_sorted=False, now=0.0)
    assert came == Answer(
        200,
        {
            "action": "get",
            "node": {"key": KEY, "dir": True, "nodes": [node("b", 2), node("a", 3)], "modifiedIndex": 1, "createdIndex": 1},
        },
        3,
    )
    assert cluster.list(is_sorted=True, now=0.0).body["node"]["nodes"] == [node("a", 3), node("b", 2)]


def test_a_token_without_members_lists_none() -> None:
    listed = {"key": KEY, "dir": True, "modifiedIndex": 1, "createdIndex": 1}
    assert EMPTY.list(is_sorted=False, now=0.0).body == {"action": "get", "node": listed}


def test_the_size_is_a_key_of_its_own() -> None:
    cluster, answer = EMPTY.put_size("5")
    size = {"key": f"{KEY}/_config/size", "value": "5", "modifiedIndex": 2, "createdIndex": 1}
    before = {"key": f"{KEY}/_config/size", "value": "3", "modifiedIndex": 1, "createdIndex": 1}
    assert answer == Answer(200, {"action": "set", "node": size, "prevNode": before}, 2)
    assert cluster.get_size() == Answer(200, {"action": "get", "node": size}, 2)


@pytest.mark.parametrize("text", ["", "0", "-1", "three", "3.0", "٣", "1000000000000", str(LARGEST + 1)])
def test_a_size_that_is_none_changes_nothing(text: str) -> None:
    cluster, answer = EMPTY.put_size(text)
    assert (cluster is EMPTY, answer.status, answer.body["errorCode"]) == (True, 400, 209)
    assert read_size(text) is None


def test_without_conditions_a_key_is_replaced_with_prev_exist_it_is_updated() -> None:
    cluster = joined("a")
    _, replaced = cluster.put("a", "x", 0.0)
    _, updated = cluster.put("a", "x", 0.0, Conditions(exists=True))
    assert replaced.body == {
        "action": "set",
        "node": {"key": f"{KEY}/a", "value": "x", "modifiedIndex": 3, "createdIndex": 3},
        "prevNode": node("a", 2),
    }
    assert updated.body == {
        "action": "update",
        "node": {"key": f"{KEY}/a", "value": "x", "modifiedIndex": 3, "createdIndex": 2},
        "prevNode": node("a", 2),
    }


@pytest.mark.parametrize(
    ("conditions", "code", "cause"),
    [
        (Conditions(value="other"), 101, "[other != a=http://a:2380]"),
        (Conditions(index=7), 101, "[7 != 2]"),
        (Conditions(value="other", index=7), 101, "[other != a=http://a:2380; 7 != 2]"),
    ],
)
def test_what_compares_and_differs_changes_nothing(conditions: Conditions, code: int, cause: str) -> None:
    cluster = joined("a")
    for after, answer in (cluster.put("a", "x", 0.0, conditions), cluster.delete("a", 0.0, conditions)):
        assert after is cluster
        assert answer == Answer(412, {"errorCode": code, "message": "Compare failed", "cause": cause, "index": 2}, 2)


@pytest.mark.parametrize("conditions", [Conditions(exists=True), Conditions(value="x"), Conditions(index=1)])
def test_a_member_that_is_wanted_and_missing_is_not_found(conditions: Conditions) -> None:
    missing = Answer(404, {"errorCode": 100, "message": "Key not found", "cause": f"{KEY}/a", "index": 1}, 1)
    assert EMPTY.put("a", "x", 0.0, conditions) == (EMPTY, missing)
    assert EMPTY.delete("a", 0.0) == (EMPTY, missing)
    assert EMPTY.get("a", 0.0) == missing


def test_a_member_that_leaves_is_told_of_with_what_it_was() -> None:
    cluster, answer = joined("a").delete("a", 0.0)
    gone = {"key": f"{KEY}/a", "modifiedIndex": 3, "createdIndex": 2}
    assert answer == Answer(200, {"action": "delete", "node": gone, "prevNode": node("a", 2)}, 3)
    assert cluster.members == {}


def test_a_member_with_a_ttl_goes_by_itself() -> None:
    cluster, answer = EMPTY.put("a", "x", 100.0, CREATE, ttl=10)
    assert answer.body["node"]["ttl"] == 10
    assert cluster.get("a", 104.2).body["node"]["ttl"] == 6
    assert cluster.expires == 110.0
    assert cluster.expired(109.9) is cluster
    gone = cluster.expired(110.0)
    assert (gone.members, gone.expires, gone.changes[-1].body["action"]) == ({}, None, "expire")


def test_a_watch_sees_every_change_once_and_in_its_order() -> None:
    cluster = joined("a", "b", "c")
    since, seen = 2, []
    while answer := cluster.seen(Watch(TOKEN, None, since, recursive=True)):
        seen.append(answer.body["node"]["key"].rpartition("/")[2])
        since = answer.body["node"]["modifiedIndex"] + 1
    assert seen == ["a", "b", "c"]


def test_a_watch_on_one_key_sees_only_that() -> None:
    cluster = joined("a", "b")
    seen = cluster.seen(Watch(TOKEN, "b", 1, recursive=False))
    assert seen is not None
    assert seen.body["node"] == node("b", 3)
    assert cluster.seen(Watch(TOKEN, "c", 1, recursive=False)) is None
    assert cluster.seen(Watch(TOKEN, None, 1, recursive=False)) is None


def test_a_watch_on_all_does_not_see_the_hidden_size() -> None:
    cluster, _ = EMPTY.put_size("5")
    assert cluster.seen(Watch(TOKEN, None, 1, recursive=True)) is None


def test_a_watch_on_what_is_forgotten_says_so() -> None:
    cluster = joined("a")
    for _ in range(HISTORY):
        cluster, _answer = cluster.put("b", "x", 0.0)
    answer = cluster.seen(Watch(TOKEN, "a", 2, recursive=False))
    assert answer is not None
    assert (answer.status, answer.body["errorCode"], answer.body["cause"]) == (
        400,
        401,
        "the requested history has been cleared [3/2]",
    )


def test_members_and_values_are_bounded() -> None:
    cluster, long = EMPTY.put("a", "x" * (LONGEST_VALUE + 1), 0.0)
    for number in range(MOST_MEMBERS):
        cluster, _ = cluster.put(f"m{number}", "x", 0.0)
    full, answer = cluster.put("one-more", "x", 0.0)
    assert (long.status, long.body["errorCode"]) == (400, 209)
    assert (full is cluster, answer.status, answer.body["errorCode"]) == (True, 403, 107)


def test_an_unknown_token_is_not_found() -> None:
    assert unknown(TOKEN) == Answer(404, {"errorCode": 100, "message": "Key not found", "cause": KEY, "index": 0}, 0)


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["x", "y"])
CONDITIONS = st.builds(Conditions, st.none() | st.booleans(), st.none() | VALUES, st.none() | st.integers(1, 9))


class Requests(RuleBasedStateMachine):
    """Any requests in any order against a dictionary that says what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = EMPTY
        self.values: dict[str, str] = {}
        self.last = self.cluster.index

    def took(self, answer: Answer) -> bool:
        moved = self.cluster.index - self.last
        self.last = self.cluster.index
        assert moved == (1 if answer.status < 400 else 0)
        return answer.status < 400

    @rule(name=NAMES, value=VALUES, conditions=CONDITIONS)
    def put(self, name: str, value: str, conditions: Conditions) -> None:
        self.cluster, answer = self.cluster.put(name, value, 0.0, conditions)
        if self.took(answer):
            assert (conditions.exists is not False) or name not in self.values
            self.values[name] = value

    @rule(name=NAMES, conditions=CONDITIONS)
    def delete(self, name: str, conditions: Conditions) -> None:
        self.cluster, answer = self.cluster.delete(name, 0.0, conditions)
        if self.took(answer):
            del self.values[name]

    @invariant()
    def what_is_there_is_what_was_put(self) -> None:
        assert {name: member.value for name, member in self.cluster.members.items()} == self.values

    @invariant()
    def the_store_keeps_all_of_it(self) -> None:
        assert of_text(TOKEN, to_text(self.cluster)) == self.cluster

    @invariant()
    def every_change_is_remembered_at_its_index(self) -> None:
        assert [change.index for change in self.cluster.changes] == list(range(2, self.cluster.index + 1))


TestRequests = Requests.TestCase


@given(st.text(max_size=200))
def test_a_damaged_record_is_an_error_the_store_knows(text: str) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        of_text(TOKEN, text)
