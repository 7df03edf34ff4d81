"""Mayu's config.yaml and conf.json: what becomes of their values; whatever is wrong with them is a line of the report."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.document import DocumentError, MapNode, Node, load
from mayu_py.core.hosts import Facts, State
from mayu_py.importing.old_config import Config, convert
from mayu_py.importing.old_hosts import OldHost
from mayu_py.importing.old_hosts import convert as convert_hosts
from mayu_py.importing.report import Fate, Journal
from mayu_py.importing.yaml_text import dump

FLAT: dict[str, Any] = {
    "default_coreos_version": "1465.7.0",
    "network": {
        "pxe": True,
        "interface": "bond0",
        "bind_addr": "10.0.3.251",
        "bootstrap_range": {"start": "10.0.3.10", "end": "10.0.3.30"},
        "ip_range": {"start": "10.0.3.31", "end": "10.0.3.70"},
        "dns": ["192.0.2.1"],
        "router": "10.0.3.250",
        "network_model": "singlenic",
    },
    "profiles": [{"name": "core", "quantity": 3, "coreos_version": "1.2.3"}, {"name": "default"}],
}


def node(value: Any, file: str = "config.yaml") -> Node:
    return load(dump(value), file)


def read(value: Any) -> tuple[Config, list[str]]:
    journal = Journal()
    return convert(node(value), journal), [str(item) for item in journal.sorted()]


def read_host(record: Any, folder: str = "s1") -> tuple[list[OldHost], list[str]]:
    journal = Journal()
    config, _ = read(FLAT)
    return convert_hosts({folder: node(record, "conf.json")}, config, journal), [str(item) for item in journal.sorted()]


def test_the_flat_schema_of_2017_is_one_network() -> None:
    config, report = read(FLAT)
    assert config.networks == [
        {
            "name": "primary",
            "subnet": "10.0.3.0/24",
            "range": {"start": "10.0.3.31", "end": "10.0.3.70"},
            "gateway": "10.0.3.250",
            "dns": ["192.0.2.1"],
            "interface": "bond0",
            "address": "10.0.3.251",
        }
    ]
    assert config.profiles == [
        {"name": "core", "image": "flatcar", "ignition": "ignition.bu", "quantity": 3},
        {"name": "default", "image": "flatcar", "ignition": "ignition.bu"},
    ]
    assert [line.partition(": ")[2] for line in report] == [
        "dropped: config.default_coreos_version: 1465.7.0: images are files here: see `images`",
        "changed: config.network.subnet_size: there is none; /24 is taken",
        "dropped: network.bootstrap_range: a machine has its own address from its first packet on",
        "dropped: config.profiles[0].coreos_version: 1.2.3: give the profile an image of its own",
    ]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"ignoredhosts": ["nonsense"]}, "left: config.network.ignoredhosts: 'nonsense' is no MAC address"),
        ({"statichosts": [{"macaddr": "x", "ip": "10.0.3.9"}]}, "left: config.network.statichosts[0]: 'x' is no MAC address"),
        ({"ip_range": {"start": "10.0.3.70", "end": "10.0.3.31"}}, "left: config.network.ip_range: is no range of 10.0.3.0/24"),
        ({"ip_range": [1]}, "left: config.network.ip_range: a mapping is expected, here is a list"),
        ({"subnet_size": "many"}, "left: config.network.subnet_size: many: is no prefix length; /24 is taken"),
        ({"router": "10.9.9.9"}, "left: config.network.subnet_gateway: 10.9.9.9: is not in 10.0.3.0/24"),
        ({"dns": ["dns.example"]}, "left: config.network.dns: dns.example: is no IPv4 address"),
        ({"misplaced": {"a": 1}}, "dropped: config.network.misplaced: {'a': 1}: no key that Mayu reads here"),
        ({"routes": [{"destination_cidr": "x"}]}, "left: config.network.routes[0]: x: is no subnet"),
        ({"network_model": {"type": "team"}}, "left: config.network.network_model.type: team: neither singlenic nor bond"),
        ({"network_model": {"type": "bond", "vlan_id": "9999"}}, "network_model.vlan_id: 9999: is no VLAN: 1 to 4094"),
    ],
)
def test_what_is_wrong_is_in_the_report_with_its_place(change: dict[str, Any], what: str) -> None:
    _, report = read({**FLAT, "network": {**FLAT["network"], **change}})
    assert any(what in line and line.startswith("config.yaml:") for line in report), report


def test_a_host_keeps_who_it_is_and_what_was_noted_about_it() -> None:
    hosts, report = read_host(
        {
            "Serial": "S1",
            "MacAddresses": ["52-54-00-00-00-01"],
            "InternalAddr": "10.0.3.31",
            "Hostname": "10-0-3-31",
            "Profile": "core",
            "State": "running",
            "Cabinet": 2,
            "MachineOnCabinet": 5,
            "ProviderId": "p",
            "IPMIAddr": "10.0.9.1",
            "EtcdClusterToken": "t",
            "FleetMetadata": ["a=b", "c"],
            "LastBoot": "2017-05-04T10:20:30.123456789+02:00",
            "CoreOSVersion": "1465.7.0",
            "RktVersion": "1.1",
            "Overrides": {"x": 1},
        }
    )
    entry = {
        "name": "10-0-3-31",
        "serial": "S1",
        "macs": ["52:54:00:00:00:01"],
        "address": "10.0.3.31",
        "profile": "core",
        "values": {"x": 1},
    }
    facts = Facts("p", "10.0.9.1", "2/5", "t", metadata={"a": "b", "c": "", "RktVersion": "1.1"})
    assert hosts == [OldHost("10-0-3-31", entry, "", State.RUNNING, facts, "1465.7.0", "2017-05-04T08:20:30.123+00:00")]
    assert report == []


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"MacAddresses": []}, "Mayu knew no MAC of it, and DHCP tells machines by nothing else: add `macs`"),
        ({"InternalAddr": "10.9.0.1"}, "its address 10.9.0.1 is not in the network 10.0.3.0/24"),
        ({"InternalAddr": "10.0.3.251"}, "its address 10.0.3.251 is taken"),
        ({"Profile": "gone"}, "there is no profile 'gone'"),
        ({"Serial": "0123456789"}, "its serial '0123456789' is none"),
    ],
)
def test_a_host_that_cannot_stand_in_the_config_is_left_with_the_reason(change: dict[str, Any], missing: str) -> None:
    record = {"Serial": "S1", "MacAddresses": ["52:54:00:00:00:01"], "InternalAddr": "10.0.3.31", "Profile": "core", **change}
    hosts, report = read_host(record)
    assert [host.missing for host in hosts] == [missing]
    assert any(f"left: host {hosts[0].name}: {missing}" in line for line in report)


def test_a_machine_that_mayu_called_by_its_uuid_has_one() -> None:
    uuid = "00112233-4455-6677-8899-aabbccddeeff"
    hosts, _ = read_host({"Serial": uuid, "InternalAddr": "10.0.3.31", "Profile": "core"})
    assert (hosts[0].missing, hosts[0].entry["uuid"]) == ("", uuid)


KEYS = st.sampled_from(
    ["network", "profiles", "templates_env", "bind_addr", "ip_range", "start", "end", "subnet_size", "dns", "primary_nic",
     "extra_nics", "interface_name", "network_model", "type", "vlan_id", "routes", "statichosts", "ignoredhosts", "macaddr", "ip",
     "name", "quantity", "tags", "pxe", "pxe_interface", "Serial", "MacAddresses", "InternalAddr", "AdditionalAddrs", "State",
     "LastBoot", "Overrides", "FleetMetadata", "Hostname"]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(
        ["10.0.3.1", "10.0.3.0/24", "52:54:00:00:00:01", "24", "running", "../../etc/passwd", "9999-12-31T23:59:59-23:59"]
    )
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=40)


@given(TREES, TREES, st.text(st.characters(exclude_categories=["Cs"]), max_size=10))
def test_damaged_documents_give_a_report(config: Any, record: Any, folder: str) -> None:
    journal = Journal()
    converted = convert(node(config), journal)
    hosts = convert_hosts({folder: node(record, "conf.json")}, converted, journal)
    assert all(host.missing or {"name", "address", "profile"} <= host.entry.keys() for host in hosts)
    if not isinstance(node(config), MapNode):
        assert any(item.fate is Fate.LEFT for item in journal.items)


@given(st.binary(max_size=60))
def test_what_is_no_document_is_refused_by_the_reader(raw: bytes) -> None:
    try:
        found = load(raw, "conf.json")
    except DocumentError:
        return
    convert_hosts({"x": found}, read(FLAT)[0], Journal())
