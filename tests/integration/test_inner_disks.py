"""Disks of inner clusters against a real API server: each has a home, which is written down, and is removed with its cluster."""

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from typing import Any

import pytest

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.controller.api import Api
from kubeception_sim.inner.controller.leaving import FORCE
from kubeception_sim.inner.controller.observed import LEASES
from kubeception_sim.inner.controller.placing import NODES
from kubeception_sim.inner.controller.sweeping import PODS, PURPOSE
from kubeception_sim.inner.placement import home
from kubeception_sim.scenario.traces import difference, objects
from tests.api_server import Kubernetes
from tests.integration.test_inner_controller import SECONDS, Ended, Ground, Make, Wire, eventually
from tests.integration.test_inner_controller import api as api  # the fixtures of clusters
from tests.integration.test_inner_controller import ground as ground
from tests.integration.test_inner_controller import kubernetes as kubernetes
from tests.integration.test_inner_controller import make as make

_MOST_CALLS = 30
pytestmark = pytest.mark.timeout(240)


def homes(ground: Ground) -> dict[str, str]:
    """Where the disks of a cluster are, by machine."""
    found = (each for each in ground.api.list(LEASES) if each["spec"]["holderIdentity"].startswith(f"{ground.name}/"))
    return {each["spec"]["holderIdentity"].split("/")[2]: node for each in found if (node := home(each))}


def required(ground: Ground, vm: str) -> list[str]:
    """The nodes on which a machine may be."""
    found = ground.api.get(f"/apis/apps/v1/namespaces/{ground.namespace}/deployments/{vm}")
    assert found is not None
    affinity = found["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    (field,) = term["matchFields"]
    return list(field["values"])


def sweepers(ground: Ground) -> dict[str, str]:
    """The pods that remove disks of a cluster, by node."""
    found = ground.api.list(PODS, PURPOSE | {"kubeception.io/cluster": ground.name})
    return {each["spec"]["nodeName"]: each["metadata"]["name"] for each in found}


def delete(ground: Ground) -> None:
    ground.api.delete(ground.path, ground.cluster()["metadata"]["uid"])


def pass_of(ground: Ground) -> bool:
    """Whether a pass was the last."""
    with suppress(HarnessError):
        return ground.reconcile() is None
    return False


@pytest.fixture
def lost(kubernetes: Kubernetes, api: Api) -> Iterator[str]:
    """A node that is not Ready any more after it was chosen. It is the only one that takes pods until then."""
    name = "node-lost"
    kubernetes.join(api, name)
    yield name
    if found := api.get(f"{NODES}/{name}"):
        api.delete(f"{NODES}/{name}", found["metadata"]["uid"])


def at(ground: Ground, node: str) -> None:
    """A cluster whose disk is on that node: its claim says so before its first start."""
    others = [each["metadata"]["name"] for each in ground.api.list(NODES) if each["metadata"]["name"] != node]
    for name in others:
        ground.api.merge(f"{NODES}/{name}", {"spec": {"unschedulable": True}})
    try:
        ground.create()
        ground.reconcile()
    finally:
        for name in others:
            ground.api.merge(f"{NODES}/{name}", {"spec": {"unschedulable": None}})
    assert homes(ground) == {"master-0": node}


def test_a_disk_has_a_home_before_its_machine_starts(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    writes = [path for method, path in ground.wire.writes() if method == "PATCH"]
    claim = next(number for number, path in enumerate(writes) if path.startswith(f"{LEASES}/{ground.name}.vm-"))
    start = next(number for number, path in enumerate(writes) if path.endswith("/deployments/master-0"))
    assert claim < start
    assert required(ground, "master-0") == [homes(ground)["master-0"]]


def test_it_stays_where_it_is(ground: Ground, kubernetes: Kubernetes, api: Api) -> None:
    """Whatever comes or is fuller meanwhile."""
    ground.create()
    ground.reconcile()
    before = homes(ground)
    kubernetes.join(api, "node-new", memory="999Gi")
    try:
        ground.reconcile()
        assert homes(ground) == before
        assert not [path for method, path in ground.wire.calls if path in (NODES, "/api/v1/pods")]
    finally:
        api.delete(f"{NODES}/node-new", api.get(f"{NODES}/node-new")["metadata"]["uid"])  # type: ignore[index]


def test_three_masters_are_on_different_nodes(ground: Ground, kubernetes: Kubernetes, lost: str) -> None:
    ground.create(masters={"count": 3})
    ground.reconcile()
    assert sorted(homes(ground)) == ["master-0", "master-1", "master-2"]
    assert len(set(homes(ground).values())) == 3


def test_without_room_it_is_told_and_nothing_starts(ground: Ground) -> None:
    ground.create(masters={"cpus": 32, "memory": "200Gi"})
    with pytest.raises(HarnessError, match="no node has"):
        ground.reconcile()
    assert ground.condition("Progressing") == ("False", "Failed")
    assert homes(ground) == {}
    assert ground.api.get(f"/api/v1/namespaces/{ground.namespace}") is None


def test_a_master_whose_node_is_away_waits_and_says_so(ground: Ground, kubernetes: Kubernetes, lost: str) -> None:
    at(ground, lost)
    kubernetes.say_ready(ground.api, lost, ready=False)
    ground.reconcile()
    assert ground.condition("ControlPlaneReady") == ("False", "NodeAway")
    assert homes(ground) == {"master-0": lost}
    kubernetes.say_ready(ground.api, lost, ready=True)
    ground.reconcile()
    assert ground.condition("ControlPlaneReady") == ("False", "Booting")


def test_disks_go_with_their_cluster_and_so_do_those_who_removed_them(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    node = homes(ground)["master-0"]
    delete(ground)
    eventually(lambda: pass_of(ground) or sweepers(ground) != {}, True)
    assert list(sweepers(ground)) == [node]
    # Nothing else is given up before.
    assert ground.name in ground.memory.network.vnis
    eventually(lambda: pass_of(ground), True)
    assert ground.api.get(ground.path) is None
    assert (sweepers(ground), homes(ground)) == ({}, {})


def test_a_disk_on_a_node_that_is_away_is_waited_for_or_left(ground: Ground, kubernetes: Kubernetes, lost: str) -> None:
    at(ground, lost)
    kubernetes.say_ready(ground.api, lost, ready=False)
    delete(ground)
    eventually(lambda: pass_of(ground) or sweepers(ground) != {}, True)
    assert not pass_of(ground)
    assert "node-lost" in str(ground.status()["conditions"])
    ground.api.merge(ground.path, {"metadata": {"annotations": {FORCE: "true"}}})
    assert pass_of(ground)
    assert ground.api.get(ground.path) is None
    assert ("Warning", "ForceClean") in ground.events()


def test_a_disk_on_a_node_that_is_gone_keeps_nobody(ground: Ground, api: Api, lost: str) -> None:
    at(ground, lost)
    found = api.get(f"{NODES}/{lost}")
    assert found is not None
    api.delete(f"{NODES}/{lost}", found["metadata"]["uid"])
    delete(ground)
    eventually(lambda: pass_of(ground), True)
    assert ("Warning", "ForceClean") in ground.events()


@pytest.mark.parametrize("after", [False, True], ids=["before it is asked", "before it is answered"])
def test_killed_at_any_call_nothing_is_left(make: Make, api: Api, after: bool) -> None:
    """What garbage.yaml asks of a lab, for the objects: before and after are the same; and when something stays, that is told."""
    before = traces(api)
    ground = make(Wire(after=after))
    ground.create()
    ground.reconcile()
    delete(ground)
    until = time.monotonic() + SECONDS
    # A pass that waits makes few calls, the last makes many: the call at which it is ended comes again and again.
    for number in cycle(range(_MOST_CALLS)):
        if _ended_at(ground, number):
            break
        assert time.monotonic() < until
    assert difference(before, traces(api)) == []
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ground.namespace}})
    assert f"+Namespace - {ground.namespace}" in difference(before, traces(api))


def _ended_at(ground: Ground, number: int) -> bool:
    ground.wire.calls.clear()
    ground.wire.fatal = number
    try:
        return ground.reconciler.reconcile(ground.name) is None
    except Ended:
        return False
    finally:
        ground.wire.fatal = -1


def traces(api: Api) -> list[str]:
    kinds = {"Namespace": "/api/v1/namespaces", "Lease": LEASES, "Pod": "/api/v1/pods"}
    found: list[dict[str, Any]] = [each | {"kind": kind} for kind, path in kinds.items() for each in api.list(path)]
    return [line for line in objects(found) if " cluster-c" not in line or "Namespace" in line]
