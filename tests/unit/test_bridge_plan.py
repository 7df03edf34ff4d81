"""A machine's place, what pods say of it in flannel's words, and the links that follow: pure, and for any cluster."""

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.agents.bridge import flannel, place
from kubeception_sim.agents.bridge.flannel import Peer
from kubeception_sim.agents.bridge.place import Place, Unfit
from kubeception_sim.agents.bridge.plan import (
    EVERYBODY,
    Entry,
    Observed,
    Uplink,
    entry_changes,
    link_changes,
    missing,
    peers_in,
    plan,
    switch_changes,
)

SUBNET, PODS = IPv4Network("172.23.0.0/24"), IPv4Network("10.80.0.0/16")
UPLINK = Uplink("eth0", 1500)
ENVIRONMENT = {
    "KUBECEPTION_CLUSTER": "red",
    "KUBECEPTION_VNI": "100",
    "KUBECEPTION_INDEX": "1",
    "KUBECEPTION_SUBNET": "172.23.0.0/24",
    "KUBECEPTION_PODS": "10.80.0.0/16",
    "KUBECEPTION_ROLE": "master",
    "POD_IP": "10.60.0.11",
}
RED1 = place.read(ENVIRONMENT)
RED2 = Peer(2, IPv4Address("10.60.0.12"))

indices = st.integers(1, 63)
places = st.builds(lambda vni, index: replace(RED1, vni=vni, index=index), vni=st.integers(1, place.LONGEST_VNI), index=indices)
pods_of_others = st.ip_addresses(v=4, network="10.60.0.0/16").filter(lambda each: each != RED1.pod)
peerings = st.dictionaries(indices, pods_of_others, max_size=8)


def others(own: Place, pods: dict[int, IPv4Address]) -> tuple[Peer, ...]:
    return tuple(Peer(index, pods[index]) for index in sorted(pods) if index != own.index)


def leases(own: Place, peers: tuple[Peer, ...]) -> dict[str, str]:
    """What these would have written."""
    all_of_them = (replace(own, index=each.index, pod=each.pod) for each in peers)
    return {flannel.lease_key(each.cluster, each.block): flannel.lease(each) for each in all_of_them}


def test_the_first_machine_has_the_second_30_and_the_second_24() -> None:
    assert (str(RED1.block), str(RED1.gateway), str(RED1.machine)) == ("172.23.0.4/30", "172.23.0.5", "172.23.0.6")
    assert str(RED1.pods_block) == "10.80.1.0/24"
    assert (RED1.bridge, RED1.vxlan, RED1.port) == ("br-100", "flannel.100", 6443)
    assert place.read(ENVIRONMENT | {"KUBECEPTION_ROLE": "worker"}).port == 30080


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"KUBECEPTION_CLUSTER": "red/subnets"}, "no name of a cluster"),
        ({"KUBECEPTION_VNI": "10000"}, "no number from 1 to 9999"),
        ({"KUBECEPTION_VNI": "0"}, "no number"),
        ({"KUBECEPTION_INDEX": "64"}, "no machine 64"),
        ({"KUBECEPTION_SUBNET": "172.23.0.1/24"}, "host bits"),
        ({"KUBECEPTION_PODS": "10.80.0.0/24"}, "no /24 for machine 1"),
        ({"KUBECEPTION_ROLE": "router"}, "none of master, worker"),
        ({"POD_IP": "172.23.0.9"}, "is in 172.23.0.0/24 of the machines"),
        ({"POD_IP": ""}, "POD_IP is missing"),
    ],
)
def test_an_environment_that_is_no_place_is_refused(changed: dict[str, str], problem: str) -> None:
    with pytest.raises(Unfit, match=problem):
        place.read(ENVIRONMENT | changed)


def test_all_that_is_missing_is_said_at_once() -> None:
    with pytest.raises(Unfit) as refused:
        place.read({})
    assert len(str(refused.value).splitlines()) == 6


@given(places, indices)
def test_a_block_leads_back_to_its_machine_and_no_mac_is_anothers(own: Place, index: int) -> None:
    assert place.index_of(SUBNET, own.block) == own.index
    other = replace(own, index=index)
    macs = {mac for each in (own, other) for mac in (each.machine_mac, each.bridge_mac, each.vtep_mac)}
    assert len(macs) == (3 if index == own.index else 6)
    assert len(own.vxlan) <= 15, "IFNAMSIZ"


@given(places, peerings)
def test_peers_are_those_whose_leases_there_are_but_oneself(own: Place, pods: dict[int, IPv4Address]) -> None:
    peers = others(own, pods)
    written = leases(own, (*peers, Peer(own.index, own.pod)))
    assert flannel.peers(own, written) == (peers, ())


@pytest.mark.parametrize(
    ("block", "changed"),
    [
        ("172.23.0.0-30", {}),
        ("172.23.0.8-29", {}),
        ("172.24.0.8-30", {}),
        ("x", {}),
        ("172.23.0.8-30", {"BackendType": "host-gw"}),
        ("172.23.0.8-30", {"BackendData": {"VNI": 200, "VtepMAC": "0e:00:00:c8:00:02"}}),
        ("172.23.0.8-30", {"BackendData": None}),
        ("172.23.0.8-30", {"PublicIP": "10.60.0.11"}),
        ("172.23.0.8-30", {"PublicIP": "224.0.0.1"}),
        ("172.23.0.8-30", {"PublicIP": "127.0.0.1"}),
        ("172.23.0.8-30", {"PublicIP": "172.23.0.6"}),
        ("172.23.0.8-30", {"PublicIP": "fd00::1"}),
    ],
)
def test_a_lease_that_names_no_peer_is_told_and_the_others_count(block: str, changed: dict[str, Any]) -> None:
    good = leases(RED1, (Peer(3, IPv4Address("10.60.0.13")), RED2))
    value = json.loads(good[flannel.lease_key("red", IPv4Network("172.23.0.8/30"))]) | changed
    del good[flannel.lease_key("red", IPv4Network("172.23.0.8/30"))]
    peers, problems = flannel.peers(RED1, good | {f"/coreos.com/network/red/subnets/{block}": json.dumps(value)})
    assert peers == (Peer(3, IPv4Address("10.60.0.13")),)
    assert len(problems) == 1
    assert block in problems[0]


@pytest.mark.parametrize("value", ["", "[]", "7", "null", "{}"])
def test_a_lease_that_is_no_lease_is_told(value: str) -> None:
    peers, problems = flannel.peers(RED1, {"/coreos.com/network/red/subnets/172.23.0.8-30": value})
    assert not peers
    assert len(problems) == 1


def test_the_mtu_leaves_room_for_vxlan() -> None:
    assert {link.mtu for link in plan(RED1, Uplink("eth0", 1450), ()).links} == {1400}


def test_frames_for_all_go_to_every_peer_and_those_for_one_to_it() -> None:
    assert plan(RED1, UPLINK, (RED2,)).entries == {
        Entry("tap0", "06:00:00:64:00:01"),
        Entry("flannel.100", EVERYBODY, "10.60.0.12"),
        Entry("flannel.100", "06:00:00:64:00:02", "10.60.0.12"),
    }


@given(places, peerings)
def test_entries_tell_the_peers_that_they_were_made_of(own: Place, pods: dict[int, IPv4Address]) -> None:
    peers = others(own, pods)
    assert peers_in(own, plan(own, UPLINK, peers).entries) == peers


def test_entries_of_somebody_else_are_no_peers() -> None:
    strange = {Entry("flannel.100", mac, "10.60.0.9") for mac in (EVERYBODY, "06:00:00:c8:00:02", "0e:00:00:64:00:02")}
    assert peers_in(RED1, strange) == ()


@given(places, peerings, peerings)
def test_changes_of_peers_touch_nothing_that_stays(own: Place, before: dict[int, Any], after: dict[int, Any]) -> None:
    old, new = (plan(own, UPLINK, others(own, pods)) for pods in (before, after))
    lines = entry_changes(new, Observed({}, entries=old.entries))
    assert len(lines) == len(old.entries ^ new.entries)
    assert not entry_changes(new, Observed({}, entries=new.entries))


def test_an_empty_namespace_gets_everything_and_the_links_come_up_last() -> None:
    lines = link_changes(plan(RED1, UPLINK, ()), Observed({}))
    assert lines[0] == "link add name br-100 type bridge stp_state 0 mcast_snooping 0"
    assert "link add name flannel.100 type vxlan id 100 local 10.60.0.11 dev eth0 dstport 8472 nolearning" in lines
    assert "tuntap add dev tap0 mode tap user 64055" in lines
    assert lines[-1] == "neigh replace 172.23.0.6 lladdr 06:00:00:64:00:01 dev br-100 nud permanent"
    assert "address add 172.23.0.5/30 dev br-100" in lines


def test_an_address_that_is_not_the_gateways_goes() -> None:
    wanted = plan(RED1, UPLINK, ())
    strange = IPv4Interface("10.60.0.99/24")
    found = Observed({}, frozenset({wanted.address, strange}), frozenset({wanted.neighbour}))
    there = {link.name: _as_wanted(wanted, link.name) for link in wanted.links}
    assert link_changes(wanted, replace(found, links=there)) == ("address delete 10.60.0.99/24 dev br-100",)


def _as_wanted(wanted: Any, name: str) -> dict[str, Any]:
    link = next(each for each in wanted.links if each.name == name)
    info = {"info_kind": link.kind, "info_data": dict(link.options), "info_slave_data": dict(link.port)}
    common = {"mtu": link.mtu, "flags": ["UP"], "inet6_addr_gen_mode": "none", "linkinfo": info}
    return common | {"address": link.mac, "master": link.master}


def test_a_vxlan_device_of_another_pod_address_is_made_anew_and_a_cable_never_is() -> None:
    wanted = plan(RED1, UPLINK, ())
    there = {link.name: _as_wanted(wanted, link.name) for link in wanted.links}
    there["flannel.100"]["linkinfo"]["info_data"]["local"] = "10.60.0.77"
    there["tap0"]["linkinfo"]["info_kind"] = "veth"
    found = Observed(there, frozenset({wanted.address}), frozenset({wanted.neighbour}))
    lines = link_changes(wanted, found)
    assert lines[0] == "link delete dev flannel.100"
    assert not any("tap0" in line for line in lines)


def test_switches_that_are_set_are_left_alone() -> None:
    wanted = plan(RED1, UPLINK, ())
    assert switch_changes(wanted, Observed({})) == wanted.switches
    found = {name: dict(values) for name, values in wanted.switches.items()}
    found["br-100"]["proxy_arp"] = 1
    assert switch_changes(wanted, Observed({}, switches=found)) == {"br-100": {"proxy_arp": 0}}


def test_what_is_missing_is_named() -> None:
    wanted = plan(RED1, UPLINK, ())
    assert missing(wanted, Observed({"tap0": {}})) == ("there is no link br-100", "there is no link flannel.100")
    there: dict[str, dict[str, Any]] = {link.name: {} for link in wanted.links}
    assert missing(wanted, Observed(there)) == ("br-100 has no address 172.23.0.5/30",)
    assert not missing(wanted, Observed(there, frozenset({wanted.address})))
