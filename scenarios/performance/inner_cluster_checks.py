"""The inner cluster is what it says, its machines have no privilege, and nobody in the outer cluster reaches what is theirs."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

CLUSTER = "customera"
NAMESPACE = f"cluster-{CLUSTER}"
MACHINES = ["master-0", "worker-0"]
VM, BRIDGE = "kubeception.io/vm", 9081
TOOLS = "kubeception.local/tools:1"
ALLOWED = {"CHOWN", "FOWNER", "NET_ADMIN"}
SECONDS = 3
PATIENCE = 90.0


def _get(host: Any, arguments: str) -> Any:
    return json.loads(host.check_output(f"kubectl get {arguments} -o json"))


@pytest.fixture(scope="module")
def pods(host: Any) -> dict[str, Any]:
    """The pods of the machines, by machine."""
    return {each["metadata"]["labels"][VM]: each for each in _get(host, f"-n {NAMESPACE} pods -l {VM}")["items"]}


@pytest.fixture(scope="module")
def stranger(host: Any) -> Iterator[str]:
    """A pod of somebody else, which asks. It can ask: cluster DNS answers it."""
    command = f"kubectl run stranger --image={TOOLS} --image-pull-policy=IfNotPresent --restart=Never --command -- sleep 600"
    assert host.run(command).rc == 0
    assert host.run("kubectl wait --for=condition=Ready pod/stranger --timeout=60s").rc == 0
    assert host.run("kubectl exec stranger -- dig +short +time=5 kubernetes.default.svc.cluster.local").stdout.strip()
    yield "kubectl exec stranger --"
    host.run("kubectl delete pod stranger --grace-period=0 --force")


WANTED = {
    "Ready": "True",
    "NetworkReady": "True",
    "CertificatesReady": "True",
    "ControlPlaneReady": "True",
    "WorkersReady": "True",
    "Progressing": "False",
}


def test_every_condition_is_true(host: Any) -> None:
    """For a moment at least: on an emulated processor, the API inside may be silent while its last add-ons start."""
    deadline = time.monotonic() + PATIENCE
    while (status := _status(host)) != (WANTED, dict.fromkeys(MACHINES, "Ready")):
        assert time.monotonic() < deadline, status
        time.sleep(1)


def _status(host: Any) -> tuple[dict[str, str], dict[str, str]]:
    found = _get(host, f"clusters.kubeception.io {CLUSTER}")["status"]
    conditions = {each["type"]: each["status"] for each in found["conditions"]}
    return conditions, {vm["name"]: vm["phase"] for vm in found["vms"]}


def test_a_machine_is_a_pod_without_privilege(pods: dict[str, Any]) -> None:
    assert sorted(pods) == MACHINES
    for pod in pods.values():
        spec = pod["spec"]
        assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
        for container in (*spec["initContainers"], *spec["containers"]):
            security = container["securityContext"]
            assert not security.get("privileged")
            assert security["capabilities"]["drop"] == ["ALL"]
            assert set(security["capabilities"].get("add", ())) <= ALLOWED
        (qemu,) = (each for each in spec["containers"] if each["name"] == "vm")
        assert qemu["securityContext"]["runAsNonRoot"]
        assert "add" not in qemu["securityContext"]["capabilities"]


def test_machines_know_each_other_by_their_leases(host: Any, pods: dict[str, Any]) -> None:
    addresses = {pod["status"]["podIP"] for pod in pods.values()}
    for pod in pods.values():
        name, own = pod["metadata"]["name"], pod["status"]["podIP"]
        said = host.check_output(f"kubectl -n {NAMESPACE} exec {name} -c bridge -- curl -s http://127.0.0.1:{BRIDGE}/peers")
        assert {address for address in addresses if address in said} >= addresses - {own}, said


@pytest.mark.parametrize("port", [6443, 30080, 9080, 9081, 2379, 10250, 22])
@pytest.mark.parametrize("machine", MACHINES)
def test_a_stranger_does_not_get_in(host: Any, pods: dict[str, Any], stranger: str, machine: str, port: int) -> None:
    address = pods[machine]["status"]["podIP"]
    asked = host.run(f"{stranger} socat -T{SECONDS} - TCP:{address}:{port},connect-timeout={SECONDS} </dev/null")
    assert asked.rc != 0, f"{address}:{port} answers a pod of somebody else"


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_is_not_pinged_by_strangers(host: Any, pods: dict[str, Any], stranger: str, machine: str) -> None:
    assert host.run(f"{stranger} ping -c 1 -W {SECONDS} {pods[machine]['status']['podIP']}").rc != 0
