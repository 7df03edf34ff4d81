"""Where a machine with a disk is: chosen by what there is, held by its pod, and swept when the cluster goes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.allocation import machines, names
from kubeception_sim.inner.controller.sweeping import sweeper
from kubeception_sim.inner.doors import Facts
from kubeception_sim.inner.placement import Place, Room, choose, is_ready, takes_pods
from kubeception_sim.inner.resource import About, Cluster, Spec
from kubeception_sim.inner.status import Reason, Seen, judge
from kubeception_sim.inner.wanted_pod import AWAY_SECONDS, CLUSTERS, folder, pod, requested
from tests.inner_doors import GIANTNETES, MemoryAuthorities, store

UID = "11111111-2222-3333-4444-555555555555"
BLUE = Cluster("blue", Spec(), UID)
ROOM = Room(3500, 600)


def spec_of(name: str, node: str = "") -> dict[str, Any]:
    vms = machines(BLUE, {name: number for number, name in enumerate(names(BLUE), 1)})
    values: dict[str, dict[str, Any]] = {vm.name: {} for vm in vms}
    facts = Facts(GIANTNETES, 100, MemoryAuthorities().ensure(BLUE, vms), store("blue"), values)
    vm = replace(next(vm for vm in vms if vm.name == name), node=node)
    return pod(BLUE, vm, facts, cluster_label="cluster", role_label="role")


def test_masters_of_a_cluster_are_apart() -> None:
    places = [Place("a", Room(90000, 9000), own=1), Place("b", Room(4000, 900), homes=5), Place("c", Room(4000, 900), homes=6)]
    assert choose(places, ROOM) == "b"


def test_then_it_is_where_fewer_are_and_then_where_more_memory_is() -> None:
    assert choose([Place("a", Room(9000, 900), homes=1), Place("b", ROOM)], ROOM) == "b"
    assert choose([Place("a", Room(4000, 900)), Place("b", Room(5000, 900))], ROOM) == "b"


def test_where_is_no_room_it_is_not() -> None:
    assert choose([Place("a", Room(100, 9000)), Place("b", Room(9000, 10)), Place("c", ROOM, own=2, homes=9)], ROOM) == "c"
    with pytest.raises(HarnessError, match="no node has 3500 MiB of memory and 600m") as caught:
        choose([Place("a", Room(100, 9000))], ROOM)
    assert caught.value.hint == "nodes that take pods: a 100 MiB and 9000m"


@given(st.sets(st.text("abc", min_size=1), min_size=1), st.integers(1, 12))
def test_masters_are_spread_evenly(nodes: set[str], count: int) -> None:
    """However many there are: no node has two more than another."""
    has = dict.fromkeys(nodes, 0)
    for _ in range(count):
        has[choose([Place(node, Room(9000, 9000), own, own) for node, own in has.items()], ROOM)] += 1
    assert max(has.values()) - min(has.values()) <= 1


@pytest.mark.parametrize(
    ("spec", "ready", "takes"),
    [
        ({}, "True", True),
        ({}, "Unknown", False),
        ({"unschedulable": True}, "True", False),
        ({"taints": [{"key": "x", "effect": "NoSchedule"}]}, "True", False),
        ({"taints": [{"key": "x", "effect": "PreferNoSchedule"}]}, "True", True),
    ],
)
def test_which_nodes_take_pods(spec: dict[str, Any], ready: str, takes: bool) -> None:
    node = {"spec": spec, "status": {"conditions": [{"type": "Ready", "status": ready}]}}
    assert takes_pods(node) is takes
    assert is_ready(node) is (ready == "True")


def test_a_machine_with_a_disk_runs_at_home_only() -> None:
    required = spec_of("master-0", "n1")["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    assert "nodeAffinity" not in spec_of("worker-0")["affinity"]


def test_a_worker_leaves_a_node_that_is_away_and_a_disk_waits() -> None:
    worker, master = spec_of("worker-0")["tolerations"], spec_of("master-0", "n1")["tolerations"]
    assert {each["tolerationSeconds"] for each in worker} == {AWAY_SECONDS}
    assert not any("tolerationSeconds" in each for each in master)
    assert {each["key"] for each in worker} == {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}


def test_a_home_has_room_for_all_that_the_pod_asks_for() -> None:
    spec, vm = spec_of("master-0"), machines(BLUE, {"master-0": 1})[0]
    requests = [each["resources"]["requests"] for each in spec["containers"]]
    assert sum(int(each["memory"].removesuffix("Mi")) for each in requests) == requested(vm)[0]
    assert sum(int(each["cpu"].removesuffix("m")) for each in requests) == requested(vm)[1]


def test_a_disk_and_who_removes_it_mean_the_same_folder() -> None:
    (disk,) = (each for each in spec_of("master-0")["volumes"] if each["name"] == "disk")
    found = sweeper(BLUE, "n1", "image")
    assert disk["hostPath"]["path"] == f"{folder(BLUE)}/master-0"
    (container,) = found["spec"]["containers"]
    assert container["command"] == ["rm", "-rf", "--one-file-system", folder(BLUE)]
    assert found["spec"]["nodeName"] == "n1"
    assert folder(BLUE) == f"{CLUSTERS}/blue-11111111"


def test_a_cluster_of_the_same_name_has_other_folders() -> None:
    assert folder(replace(BLUE, uid="22222222")) != folder(BLUE)


def test_a_master_whose_node_is_away_is_told() -> None:
    vms = machines(BLUE, {"master-0": 1})
    seen = Seen(100, vms, started=frozenset({"master-0"}), away={"master-0": "its disk is on the node n1, which is gone"})
    status = judge(BLUE, seen, "2026-01-02T03:04:05Z")
    found = next(each for each in status.conditions if each.about is About.CONTROL_PLANE)
    assert (found.truth, found.reason) == (False, Reason.AWAY)
    assert "n1, which is gone" in found.message
