"""The agent's objects: what it may do, and nothing else."""

from typing import Any

from kubeception_sim.agents.policy.__main__ import HEALTH_PORT as DEFAULT_PORT
from kubeception_sim.giantnetes.addons_policy import HEALTH_PORT, manifests

IMAGE = "kubeception.local/agent:1"
OBJECTS = {each["kind"]: each for each in manifests(IMAGE)}
POD = OBJECTS["DaemonSet"]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]


def test_what_others_refer_to_comes_first() -> None:
    assert list(OBJECTS) == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "DaemonSet"]


def test_it_reads_what_it_follows_and_changes_nothing() -> None:
    rules = OBJECTS["ClusterRole"]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list", "watch"}
    assert {name for rule in rules for name in rule["resources"]} == {"pods", "namespaces", "networkpolicies"}


def test_the_account_that_is_bound_is_the_one_that_is_used() -> None:
    account = {"kind": "ServiceAccount", "name": POD["serviceAccountName"], "namespace": "kube-system"}
    assert OBJECTS["ClusterRoleBinding"]["subjects"] == [account]
    assert OBJECTS["ClusterRoleBinding"]["roleRef"]["name"] == OBJECTS["ClusterRole"]["metadata"]["name"]
    assert OBJECTS["ServiceAccount"]["metadata"]["name"] == account["name"]


def test_it_has_one_capability_and_the_network_of_the_node() -> None:
    context = CONTAINER["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert "privileged" not in context
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert POD["hostNetwork"] is True
    assert "volumes" not in POD


def test_it_runs_on_every_node_and_is_not_evicted() -> None:
    assert POD["tolerations"] == [{"operator": "Exists"}]
    assert POD["priorityClassName"] == "system-node-critical"


def test_it_is_asked_on_the_node_s_loopback() -> None:
    probe: dict[str, Any] = CONTAINER["readinessProbe"]["httpGet"]
    assert (probe["host"], probe["path"], probe["port"]) == ("127.0.0.1", "/readyz", HEALTH_PORT)
    assert DEFAULT_PORT == HEALTH_PORT


def test_the_selector_finds_the_pods() -> None:
    assert (
        OBJECTS["DaemonSet"]["spec"]["selector"]["matchLabels"] == OBJECTS["DaemonSet"]["spec"]["template"]["metadata"]["labels"]
    )
    assert CONTAINER["image"] == IMAGE
