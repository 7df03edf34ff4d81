"""Fields of hosts by dotted names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.ctl import fields
from mayu_py.errors import MayuError


def host(name: str, cabinet: str = "", **metadata: str) -> dict[str, Any]:
    return {"name": name, "facts": {"cabinet": cabinet, "metadata": metadata}, "addresses": {"net.a": "10.0.0.1"}}


HOSTS = [host("node-10", "2", rack="b"), host("node-9", "10"), host("node-1")]


def test_dots_lead_into_fields() -> None:
    names = ("name", "facts.cabinet", "facts.metadata.rack", "addresses.net.a", "facts.metadata", "name.x", "nothing")
    assert [fields.read(HOSTS[0], name) for name in names] == ["node-10", "2", "b", "10.0.0.1", {"rack": "b"}, None, None]


def test_fields_that_no_host_can_have_are_named_with_those_that_there_are() -> None:
    assert fields.chosen("name, facts.cabinet,facts.metadata.any,facts", HOSTS) == [
        *("name", "facts.cabinet", "facts.metadata.any", "facts"),
    ]
    with pytest.raises(MayuError, match=r"there is no field 'cabinet'") as caught:
        fields.chosen("name,cabinet", HOSTS)
    assert caught.value.hint == "fields: name, facts.cabinet, facts.metadata, addresses"
    with pytest.raises(MayuError, match="no field is named"):
        fields.chosen(" ,", HOSTS)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("name", ["node-1", "node-9", "node-10"]),
        ("-name", ["node-10", "node-9", "node-1"]),
        ("facts.cabinet", ["node-10", "node-9", "node-1"]),
        ("-facts.cabinet", ["node-9", "node-10", "node-1"]),
    ],
)
def test_hosts_are_sorted_as_people_count_and_those_that_lack_it_come_last(by: str, names: list[str]) -> None:
    assert [each["name"] for each in fields.ordered(HOSTS, by)] == names


@given(st.lists(st.text()))
def test_any_texts_can_be_sorted(texts: list[str]) -> None:
    assert sorted(sorted(texts, key=fields.natural)) == sorted(texts)
