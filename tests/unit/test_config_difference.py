"""What a reload changes, by name."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from mayu_py.core.difference import Delta, Difference, compare
from mayu_py.core.faces import Http
from mayu_py.core.networks import Network
from mayu_py.core.settings import HostEntry, Image, Profile, Settings

A = HostEntry(name="a", address=IPv4Address("10.77.0.11"), profile="node")
B = HostEntry(name="b", address=IPv4Address("10.77.0.12"), profile="node")
C = HostEntry(name="c", address=IPv4Address("10.77.0.13"), profile="node", values={"password": "hunter2"})
NODE = Profile("node", "testbed", Path("node.bu"))
RACK = Network("rack", IPv4Network("10.77.0.0/24"), "br0", IPv4Address("10.77.0.1"))
OLD = Settings(networks=(RACK,), images={"testbed": Image(Path("image"))}, profiles=(NODE,), hosts=(A, B))


def test_a_config_does_not_differ_from_itself() -> None:
    same = compare(OLD, OLD, {"a": "1"}, {"a": "1"})
    assert (same, same.as_detail(), str(same)) == (Difference(), {}, "nothing is different")


def test_what_came_and_went_and_changed_is_named_and_no_value_is_shown() -> None:
    new = replace(
        OLD,
        hosts=(C, replace(A, address=IPv4Address("10.77.0.99"))),
        profiles=(NODE, replace(NODE, name="new")),
        images={"testbed": Image(Path("other"))},
        http=Http(port=80),
        templates_env={"password": "hunter2"},
    )
    found = compare(OLD, new, {"a": "1", "b": "2"}, {"a": "2", "c": "3"})
    assert found == Difference(
        images=Delta(changed=("testbed",)),
        profiles=Delta(added=("new",)),
        hosts=Delta(added=("c",), removed=("b",), changed=("a",)),
        settings=("http", "templates_env"),
        configs=("a",),
    )
    assert found.as_detail() == {
        "images": {"changed": ["testbed"]},
        "profiles": {"added": ["new"]},
        "hosts": {"added": ["c"], "removed": ["b"], "changed": ["a"]},
        "settings": ["http", "templates_env"],
        "configs": ["a"],
    }
    assert str(found) == (
        "1 image changed; 1 profile added; 1 host added; 1 host removed; 1 host changed; http, templates_env changed;"
        " 1 served another config"
    )
    assert "hunter2" not in f"{found!r}{found}"


def test_another_template_is_seen_by_what_hosts_are_served() -> None:
    assert compare(OLD, OLD, {"a": "1", "b": "1"}, {"a": "1", "b": "2"}).as_detail() == {"configs": ["b"]}


def test_the_order_of_a_file_is_a_difference_only_where_it_decides() -> None:
    assert compare(OLD, replace(OLD, hosts=(B, A)), {}, {}) == Difference()
