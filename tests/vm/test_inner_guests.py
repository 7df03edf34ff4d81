"""The machines of an inner cluster, configured as their pods would configure them, are a cluster: nodes, routes, DNS, add-ons."""

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from kubeception_sim.artifacts import images, kubernetes, node
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.giantnetes.nodes import nodes_of, unavailable, unready
from kubeception_sim.inner import addons
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.lab import Lab
from kubeception_sim.run import require
from tests.vm.inner_guests import Guests, guests, vms_of

log = logging.getLogger(__name__)
pytestmark = pytest.mark.timeout(1800)

# Emulated, on a machine that may be busy with other tests.
BOOT_SECONDS, POD_SECONDS = 600.0, 300.0


@pytest.fixture
def cluster(lab: Lab) -> Iterator[Guests]:
    if os.geteuid() != 0:
        pytest.skip("tried to make a network namespace; that needs root")
    try:
        require("qemu-system-x86_64", "qemu-system-x86")
        image = node.ensure(default_cache(), lambda step, done: None)
        programs = kubernetes.ensure(default_cache(), lambda step, done: None)
        made = images.ensure(default_cache(), programs, lambda step, done: None)
    except MissingTool as missing:
        pytest.skip(f"tried to build the node image; {missing.message} ({missing.hint})")
    with guests(Cluster("rack"), lab, image, programs.directory / "kubectl", made) as found:
        yield found


def refused(found: Guests, *question: str) -> str:
    """Why a question to the API is not answered with yes; nothing when it is."""
    try:
        found.kubectl(*question, timeout=20)
    except HarnessError as error:
        return str(error)
    return ""


def pod(name: str, on: str, image: str, *program: str) -> dict[str, Any]:
    container = {"name": "main", "image": image, "imagePullPolicy": "Never", "command": ["python3", "-c", *program]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "nodeName": on,
            "restartPolicy": "Never",
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
        },
    }


SERVES = """
from http.server import *
class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(self.client_address[0].encode())
HTTPServer(("", 8000), Hello).serve_forever()
"""
# By the pod's own address, and by the name of a service: routes, cluster DNS, kube-proxy.
ASKS = """
import socket, time, urllib.request
def asked(url):
    for attempt in range(60):
        try:
            return urllib.request.urlopen(url, timeout=10).read().decode()
        except OSError as error:
            said = error; time.sleep(1)
    raise SystemExit(f"{url}: {said}")
mine = socket.gethostbyname(socket.gethostname())
seen = [asked("http://SERVER:8000/"), asked("http://server.default.svc.cluster.local:8000/")]
raise SystemExit(0 if seen[0] == mine else f"{seen}, not {mine}")
"""


def phase(found: Guests, name: str) -> dict[str, Any]:
    return dict(found.kubectl.get("pod", name, timeout=20)["status"])


def test_a_master_and_a_worker_are_a_cluster(cluster: Guests) -> None:
    cluster.start("master-0")
    api = cluster.wait("the API", lambda: refused(cluster, "get", "--raw", "/readyz"), BOOT_SECONDS)
    cluster.until_running("master-0", seconds=BOOT_SECONDS)
    cluster.start("worker-0")
    cluster.kubectl.apply(addons.objects(cluster.cluster, vms_of(cluster.cluster), cluster.agent), timeout=120)
    cluster.until_running("worker-0", seconds=BOOT_SECONDS)
    for name in ("master-0", "worker-0"):
        log.info("%s: %s", name, {stage: round(cluster.seconds(name, stage), 1) for stage in cluster.stages[name]})

    def missing() -> str:
        try:
            nodes = nodes_of(cluster.kubectl.get("nodes", timeout=20))
            found = cluster.kubectl.get("-n", "kube-system", "deployments,daemonsets", timeout=20)["items"]
        except HarnessError as error:
            # While the last programs start, an API server on an emulated processor may be silent for a while.
            return str(error)
        return "; ".join((*unready(nodes, {"master-0": "", "worker-0": ""}), *unavailable(found)))

    waited = cluster.wait("nodes and add-ons", missing, POD_SECONDS)
    log.info("API after %.1f s; all Ready %.1f s after the worker", api, waited)
    service = {"selector": {"app": "server"}, "ports": [{"port": 8000, "protocol": "TCP"}]}
    server = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server", "namespace": "default"}, "spec": service}
    cluster.kubectl.apply([pod("server", "worker-0", cluster.agent, SERVES), server])
    cluster.wait("a pod", lambda: "" if phase(cluster, "server")["phase"] == "Running" else "server", POD_SECONDS)
    asks = ASKS.replace("SERVER", phase(cluster, "server")["podIP"])
    cluster.kubectl.apply([pod("client", "master-0", cluster.agent, asks)])
    cluster.wait(
        "an answer", lambda: "" if phase(cluster, "client")["phase"] in ("Succeeded", "Failed") else "client", POD_SECONDS
    )
    assert phase(cluster, "client")["phase"] == "Succeeded", cluster.kubectl("logs", "client").stdout


def test_a_master_that_starts_again_has_its_cluster_again(cluster: Guests) -> None:
    cluster.start("master-0")
    cluster.until_running("master-0", seconds=BOOT_SECONDS)
    kept = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kept", "namespace": "default"},
        "data": {"for": "later"},
    }
    cluster.kubectl.apply([kept])
    cluster.end("master-0")
    cluster.start("master-0")
    cluster.until_running("master-0", seconds=BOOT_SECONDS)
    log.info("again: %s", {stage: round(cluster.seconds("master-0", stage), 1) for stage in cluster.stages["master-0"]})
    assert cluster.kubectl.get("configmap", "kept")["data"] == {"for": "later"}
