"""The inner cluster is what it says, its machines have no privilege, and nobody in the outer cluster reaches what is theirs."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CLUSTER = "customera"
DOMAIN = "customera.clusters.example"
ENTRANCE, NAMES = "10.77.0.2", "10.77.1.1"
HELLO = Path(__file__).with_name("helloworld.yml")
NAMESPACE = f"cluster-{CLUSTER}"
MACHINES = ["master-0", "worker-0"]
VM, BRIDGE = "kubeception.io/vm", 9081
TOOLS = "kubeception.local/tools:1"
ALLOWED = {"CHOWN", "FOWNER", "NET_ADMIN"}
SECONDS = 3
PATIENCE = 300.0


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
    """For a moment at least: on an emulated processor, the API inside may be silent while add-ons start."""
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


# The entrance: balancer, HAProxy in the outer cluster, HAProxy in the inner one


def _inner(arguments: str) -> str:
    return f"kubectl --kubeconfig {os.environ['CLUSTERS']}/{CLUSTER}.kubeconfig {arguments}"


def _eventually(what: Callable[[], bool], why: Callable[[], str], within: float) -> None:
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(1)


@pytest.fixture(scope="module")
def secured(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the names below the cluster's, as its customer has it, in a Secret; the authority's file."""
    folder = tmp_path_factory.mktemp("tls")
    subject = f"/CN=hello.{DOMAIN}"
    names = f"subjectAltName=DNS:hello.{DOMAIN}"
    made = host.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj {subject} -addext {names}"
        f" -keyout {folder}/key.pem -out {folder}/cert.pem"
    )
    assert made.rc == 0, made.stderr
    secret = host.run(_inner(f"create secret tls hello-tls --cert={folder}/cert.pem --key={folder}/key.pem"))
    assert secret.rc == 0, secret.stderr
    return folder / "cert.pem"


@pytest.fixture(scope="module")
def hello(host: Any, secured: Path) -> Path:
    """helloworld runs in the cluster, and its entrance knows it."""
    applied = host.run(_inner(f"apply -f {HELLO}"))
    assert applied.rc == 0, applied.stderr

    def answers() -> bool:
        return "hello from" in host.run(f"curl -s -m 10 --resolve hello.{DOMAIN}:80:{ENTRANCE} http://hello.{DOMAIN}/").stdout

    def pods() -> str:
        return str(host.run(_inner("get pods -A -o wide")).stdout)

    _eventually(answers, pods, 300)
    return secured


def test_every_name_of_a_cluster_is_the_entrance(host: Any) -> None:
    for name in (f"api.{DOMAIN}", f"hello.{DOMAIN}", f"whatever.{DOMAIN}"):
        assert host.check_output(f"dig +short +time=3 @{NAMES} {name}") == ENTRANCE


def test_the_api_inside_answers_by_its_name(host: Any) -> None:
    """Its certificate is the cluster's own authority's, and kubectl has verified it."""
    nodes = json.loads(host.check_output(_inner("get nodes -o json")))["items"]
    assert sorted(each["metadata"]["name"] for each in nodes) == MACHINES


def test_helloworld_answers_through_every_level_over_tls(host: Any, hello: Path) -> None:
    said = host.run(f"curl -s -m 30 --cacert {hello} --resolve hello.{DOMAIN}:443:{ENTRANCE} https://hello.{DOMAIN}/")
    assert said.rc == 0
    assert said.stdout.startswith("hello from helloworld-")
    # Who asks is known to the end: this computer's address in the machines' network.
    assert "for 10.77." in said.stdout


def test_a_name_that_nobody_has_gets_nothing(host: Any, hello: Path) -> None:
    status = "curl -s -m 10 -o /dev/null -w '%{http_code}'"
    other = "hello.customerb.clusters.example"
    assert host.run(f"{status} --resolve {other}:80:{ENTRANCE} http://{other}/").stdout == "404"
    assert host.run(f"{status} --resolve other.{DOMAIN}:80:{ENTRANCE} http://other.{DOMAIN}/").stdout == "404"
    assert host.run(f"curl -sk -m 10 --resolve {other}:443:{ENTRANCE} https://{other}/").rc != 0
