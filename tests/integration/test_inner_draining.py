"""Machines that are no longer wanted: what runs on them inside leaves first."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from kubeception_sim.inner.controller.api import Api
from kubeception_sim.inner.controller.draining import SECONDS
from kubeception_sim.inner.controller.inside import InsideApi
from kubeception_sim.inner.controller.observed import LEASES
from tests.integration.test_inner_controller import BLUE, LOOPBACK, Ground, eventually
from tests.integration.test_inner_controller import api as api  # the fixtures of clusters
from tests.integration.test_inner_controller import ground as ground
from tests.integration.test_inner_controller import inside as inside
from tests.integration.test_inner_controller import kubernetes as kubernetes
from tests.integration.test_inner_controller import make as make

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def busy(ground: Ground) -> Ground:
    """A cluster of two workers; something runs on the second, which is no longer wanted."""
    ground.create(pools=[{"name": "worker", "replicas": 2}])
    ground.reconcile()
    ground.run("master-0")
    ground.reconcile()
    for vm in ("worker-0", "worker-1"):
        ground.run(vm)
    ground.reconcile()
    ground.memory.inside.pods["worker-1"] = ("default/web",)
    ground.change(pools=[{"name": "worker", "replicas": 1}])
    ground.reconcile()
    return ground


def test_a_machine_stays_until_its_pods_have_left(busy: Ground) -> None:
    assert busy.deployments() == {"master-0": 1, "worker-0": 1, "worker-1": 1}
    assert busy.memory.inside.closed == {"worker-1"}
    busy.memory.inside.pods.clear()
    busy.reconcile()
    assert busy.deployments() == {"master-0": 1, "worker-0": 1}


def test_its_node_and_its_number_go_after_it(busy: Ground) -> None:
    assert "worker-1" in busy.memory.inside.names[busy.name]
    busy.memory.inside.pods.clear()
    busy.reconcile()
    eventually(lambda: "worker-1" in busy.pods(), False)
    busy.reconcile()
    assert "worker-1" not in busy.memory.inside.names[busy.name]
    held = [each["spec"]["holderIdentity"] for each in busy.api.list(LEASES)]
    assert not [each for each in held if each.startswith(f"{busy.name}/") and each.endswith("/worker-1")]


def test_what_never_leaves_holds_it_until_the_deadline_only(busy: Ground) -> None:
    busy.late = timedelta(seconds=SECONDS - 30)
    busy.reconcile()
    assert "worker-1" in busy.deployments()
    busy.late = timedelta(seconds=SECONDS + 1)
    busy.reconcile()
    assert "worker-1" not in busy.deployments()


def test_nobody_to_ask_is_no_reason_to_stay_for_ever(busy: Ground) -> None:
    busy.memory.inside.shut = "connection refused"
    busy.reconcile()
    assert "worker-1" in busy.deployments()
    busy.late = timedelta(seconds=SECONDS + 1)
    busy.reconcile()
    assert "worker-1" not in busy.deployments()


def test_a_machine_that_is_wanted_again_is_opened_again(busy: Ground) -> None:
    busy.change(pools=[{"name": "worker", "replicas": 2}])
    busy.reconcile()
    assert busy.memory.inside.closed == set()
    busy.late = timedelta(seconds=SECONDS + 1)
    busy.change(pools=[{"name": "worker", "replicas": 1}])
    busy.reconcile()
    assert "worker-1" in busy.deployments()


def test_who_sleeps_has_nothing_to_drain(busy: Ground) -> None:
    busy.change(hibernated=True)
    busy.reconcile()
    assert "worker-1" not in busy.deployments()


# The API inside


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {"nodeName": "worker-9", "containers": [{"name": "x", "image": "x"}], "automountServiceAccountToken": False}
    spec |= {"terminationGracePeriodSeconds": 0}
    about = {"name": name, "namespace": "default", "labels": {"app": name}} | metadata
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}


_DAEMON_SET = "/apis/apps/v1/namespaces/default/daemonsets/d"


def _daemon_set(api: Api) -> dict[str, Any]:
    """One that is there, as an owner: what belongs to none is collected. It owns pods of its own labels, and these."""
    labels = {"app": "daemon"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template, "updateStrategy": {"type": "OnDelete"}}
    api.create({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "namespace": "default"}, "spec": spec})
    made = api.get(_DAEMON_SET)
    assert made is not None
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": made["metadata"]["uid"]}


@pytest.fixture
def node(api: Api) -> Iterator[str]:
    """A node with three pods: one of a DaemonSet, one that may go, one that its budget keeps."""
    daemon = _daemon_set(api)
    api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-9"}})
    budget = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "kept", "namespace": "default"}}
    api.create(budget | {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}}})
    eventually(lambda: api.get("/api/v1/namespaces/default/serviceaccounts/default") is not None, True)
    for each in (pod("free"), pod("kept"), pod("daemon", ownerReferences=[daemon])):
        assert api.create(each)
    yield "worker-9"
    pods = (f"/api/v1/namespaces/default/pods/{name}" for name in ("kept", "daemon"))
    for path in (*pods, "/api/v1/nodes/worker-9", _DAEMON_SET):
        if found := api.get(path):
            api.delete(path, found["metadata"]["uid"])


def test_inside_pods_are_evicted_as_their_budgets_allow(inside: InsideApi, api: Api, node: str) -> None:
    # Nobody keeps the books of budgets here: what it allows is what it says, nothing.
    path = "/api/v1/namespaces/default/pods/kept/status"
    api.merge(path, {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
    eventually(lambda: inside.drain(BLUE, LOOPBACK, node), ("default/kept",))
    found = api.get(f"/api/v1/nodes/{node}")
    assert found is not None
    assert found["spec"]["unschedulable"] is True
    assert api.get("/api/v1/namespaces/default/pods/free") is None
    assert api.get("/api/v1/namespaces/default/pods/daemon") is not None
    inside.welcome(BLUE, LOOPBACK, node)
    opened = api.get(f"/api/v1/nodes/{node}")
    assert opened is not None
    assert "unschedulable" not in opened["spec"]


def test_a_node_that_is_not_there_has_nothing_to_leave(inside: InsideApi) -> None:
    assert inside.drain(BLUE, LOOPBACK, "nobody") == ()
    inside.welcome(BLUE, LOOPBACK, "nobody")
