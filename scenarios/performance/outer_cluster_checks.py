"""The outer cluster serves: pods on every worker, across racks, by name, with logs and exec, and as far as policies let them."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

TOOLS = "kubeception.local/tools:1"
NAMESPACE = "checks"
PODS = 6
SECONDS = 90.0


def _kubectl(host: Any, arguments: str, stdin: str = "") -> Any:
    if not stdin:
        return host.run(f"kubectl {arguments}")
    return host.run(f"kubectl {arguments} <<'END'\n{stdin}\nEND")


def _get(host: Any, arguments: str) -> Any:
    return json.loads(host.check_output(f"kubectl get {arguments} -o json"))


def _eventually(what: Callable[[], bool], why: Callable[[], str], within: float = SECONDS) -> None:
    """A poll with a deadline, which says what it saw last."""
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(0.5)


def _deployment() -> dict[str, Any]:
    labels = {"app": "hello"}
    # Its own name is what a web server of ours says, so that an answer tells which pod it came from.
    serve = "mkdir /tmp/www && hostname > /tmp/www/index.html && exec busybox httpd -f -p 8080 -h /tmp/www"
    container = {
        "name": "hello",
        "image": TOOLS,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", f"echo serving; {serve}"],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",  # a master counts as a node without pods, and takes none
        "labelSelector": {"matchLabels": labels},
    }
    spec = {"containers": [container], "topologySpreadConstraints": [spread], "terminationGracePeriodSeconds": 0}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "hello", "namespace": NAMESPACE},
        "spec": {"replicas": PODS, "selector": {"matchLabels": labels}, "template": template},
    }


@pytest.fixture(scope="module")
def pods(host: Any) -> Iterator[list[Any]]:
    """Six pods and a service in front of them, all ready."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "hello", "namespace": NAMESPACE},
        "spec": {"selector": {"app": "hello"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    items = [namespace, _deployment(), service]
    applied = _kubectl(host, "apply -f -", json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert applied.rc == 0, applied.stderr
    rolled = host.run(f"kubectl -n {NAMESPACE} rollout status deployment/hello --timeout={SECONDS:g}s")
    assert rolled.rc == 0, rolled.stdout + rolled.stderr + host.run(f"kubectl -n {NAMESPACE} describe pods").stdout[-4000:]
    yield _get(host, f"-n {NAMESPACE} pods -l app=hello")["items"]
    host.run(f"kubectl delete namespace {NAMESPACE} --wait=false")


def _name(pod: Any) -> str:
    return str(pod["metadata"]["name"])


def _node(pod: Any) -> str:
    return str(pod["spec"]["nodeName"])


def _one_per_node(pods: list[Any]) -> list[Any]:
    return list({_node(pod): pod for pod in pods}.values())


def _ask(host: Any, pod: Any, url: str) -> Any:
    return host.run(f"kubectl -n {NAMESPACE} exec {_name(pod)} -- curl --silent --show-error --max-time 5 {url}")


def test_every_machine_is_a_ready_node_at_its_address(host: Any, rack: dict[str, Any]) -> None:
    nodes = _get(host, "nodes")["items"]
    found = {
        node["metadata"]["name"]: (
            next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"),
            next(each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready"),
            node["metadata"]["labels"]["topology.kubernetes.io/zone"],
        )
        for node in nodes
    }
    assert found == {name: (machine["address"], "True", machine["rack"]) for name, machine in rack.items()}


def test_the_control_plane_comes_from_the_manifests_folder_of_the_masters(host: Any, rack: dict[str, Any]) -> None:
    parts = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    masters = [name for name, machine in rack.items() if machine["role"] == "master"]
    expected = sorted(f"{part}-{master}" for part in parts for master in masters)
    pods: dict[str, str] = {}

    def look() -> bool:
        for pod in _get(host, "-n kube-system pods -l tier=control-plane")["items"]:
            pods[_name(pod)] = pod["metadata"]["annotations"]["kubernetes.io/config.source"]
        return sorted(pods) == expected

    # A kubelet that had no API server when it started its pods tells of them within a minute.
    _eventually(look, lambda: f"{sorted(pods)} are not {expected}")
    assert set(pods.values()) == {"file"}


def test_the_pods_are_spread_over_all_workers(pods: list[Any], rack: dict[str, Any]) -> None:
    workers = {name for name, machine in rack.items() if machine["role"] == "worker"}
    assert len(pods) == PODS
    assert {_node(pod) for pod in pods} == workers


def test_each_pod_reaches_each_other_by_its_address_and_is_seen_with_its_own(host: Any, pods: list[Any]) -> None:
    for source in _one_per_node(pods):
        for target in pods:
            answer = _ask(host, source, f"http://{target['status']['podIP']}:8080/")
            assert (answer.rc, answer.stdout.strip()) == (0, _name(target)), (
                f"{_node(source)} -> {_node(target)}: {answer.stderr}"
            )


def test_the_service_answers_by_address_and_by_name_from_every_node(host: Any, pods: list[Any]) -> None:
    address = _get(host, f"-n {NAMESPACE} service hello")["spec"]["clusterIP"]
    names = {_name(pod) for pod in pods}
    for source in _one_per_node(pods):
        for url in (address, "hello", f"hello.{NAMESPACE}.svc.cluster.local"):
            answer = _ask(host, source, f"http://{url}/")
            assert answer.rc == 0, f"{_node(source)} -> {url}: {answer.stderr}"
            assert answer.stdout.strip() in names


def test_logs_and_exec_reach_every_pod(host: Any, pods: list[Any]) -> None:
    for pod in pods:
        logs = host.check_output(f"kubectl -n {NAMESPACE} logs {_name(pod)}")
        inside = host.check_output(f"kubectl -n {NAMESPACE} exec {_name(pod)} -- hostname")
        assert (logs.strip(), inside.strip()) == ("serving", _name(pod))


POLICIES = {
    "nobody": {"podSelector": {}, "policyTypes": ["Ingress"]},
    "the same namespace": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]},
    "another port": {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 9090}]}],
    },
}
EXPECTED = {"nobody": False, "the same namespace": True, "another port": False}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_network_policy_holds_between_all_pairs_of_nodes(host: Any, pods: list[Any], policy: str) -> None:
    document = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "check", "namespace": NAMESPACE},
        "spec": POLICIES[policy],
    }
    assert _kubectl(host, "apply -f -", json.dumps(document)).rc == 0
    pairs = [(one, other) for one in _one_per_node(pods) for other in pods if one is not other]
    try:
        table: dict[tuple[str, str], bool] = {}

        def look() -> bool:
            for source, target in pairs:
                answer = host.run(
                    f"kubectl -n {NAMESPACE} exec {_name(source)} -- curl -s -o /dev/null --max-time 1 http://{target['status']['podIP']}:8080/"
                )
                table[_name(source), _name(target)] = answer.rc == 0
            return set(table.values()) == {EXPECTED[policy]}

        _eventually(look, lambda: f"{policy}: expected {EXPECTED[policy]}, saw {table}", within=30.0)
    finally:
        host.run(f"kubectl -n {NAMESPACE} delete networkpolicy check")
