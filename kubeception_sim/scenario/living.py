"""The life of an inner cluster: its certificates become new and its machines are replaced, while somebody uses it."""

import json
import secrets
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import Any

from kubeception_sim.artifacts.node import systems
from kubeception_sim.checks.handshakes import Entrance
from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.door import Door
from kubeception_sim.inner import schema
from kubeception_sim.inner.certificates import ClusterPki
from kubeception_sim.inner.wanted import ROLE, VM
from kubeception_sim.inner.wanted_pod import API_PORT
from kubeception_sim.model.life import RotateCluster, UpgradeCluster
from kubeception_sim.network import inside
from kubeception_sim.network.fabric import socket_in
from kubeception_sim.pki.bao import BaoAuthority
from kubeception_sim.pki.server import Server
from kubeception_sim.pki.tenants import NAMESPACE
from kubeception_sim.scenario import clustering, garbage
from kubeception_sim.scenario.bench import Bench
from kubeception_sim.scenario.clustering import DOMAIN, Left

_POLL_SECONDS = 3.0
_OBJECT = "/api/v1/namespaces/default/configmaps"


def way_to(cluster: str, bench: Bench) -> Entrance:
    """The way to the API inside, as an administrator for some hours: at its first master's pod, from the node that this is on.
    Policies let nobody else come there but the controller. Raises HarnessError."""
    assert bench.outer is not None
    selector = f"{ROLE}=master"
    pods = bench.outer.kubectl.get("pods", "--namespace", f"cluster-{cluster}", "--selector", selector)["items"]
    found = [each for each in pods if each["status"].get("podIP") and "deletionTimestamp" not in each["metadata"]]
    if not found:
        raise HarnessError(f"{cluster} has no master that runs", hint=f"kubectl -n cluster-{cluster} get pods")
    pod = min(found, key=lambda each: str(each["metadata"]["labels"][VM]))
    network = bench.lab.namespace(pod["spec"]["nodeName"])
    ca, pair = _administrator(cluster, bench)
    door = Door(lambda: socket_in(network), pod["status"]["podIP"], API_PORT, ca, pair, pair)
    return Entrance(door, f"api.{cluster}.{DOMAIN}")


def _administrator(cluster: str, bench: Bench) -> tuple[Any, Any]:
    """Files: the cluster's authority; a certificate of an administrator with its key."""
    assert bench.outer is not None
    authority = bench.outer.certificates.authority
    assert isinstance(authority, BaoAuthority), "the rules of scenarios see to it"
    assert isinstance(authority.server, Server)
    access = replace(authority.server.access, namespace=NAMESPACE)
    pki = ClusterPki(access, DOMAIN, lambda *_: None)
    made = inside(bench.namespace, lambda: pki.administrator(cluster))
    folder = bench.lab.subdirectory(f"inner-{cluster}")
    ca, pair = folder / "ca.crt", folder / f"admin-{secrets.token_hex(4)}.pem"
    ca.write_text(made.ca)
    pair.touch(mode=0o600)
    pair.write_text(made.cert + made.key)
    return ca, pair


def unsettled(document: Mapping[str, Any]) -> str:
    """Why an inner cluster is not as it is wanted now, in a line; empty when it is: Ready, nothing is under way, and every
    machine has the certificates of the rotation that is asked for. Pure."""
    if problem := clustering.unready(document):
        return problem
    wanted, status = document["spec"].get("rotation", ""), document["status"]
    progress = next((each for each in status["conditions"] if each["type"] == "Progressing"), None)
    if progress is None or progress["observedGeneration"] < document["metadata"]["generation"]:
        return "nobody has looked at it yet"
    if progress["status"] != "False":
        return f"{progress['reason']}: {progress.get('message', '')}".rstrip(": ")
    late = [vm["name"] for vm in status["vms"] if vm.get("rotation", "") != wanted]
    return f"{', '.join(late)} without new certificates" if late else ""


def rotate(step: RotateCluster, bench: Bench, left: Left) -> str:
    """Ask for it and wait. What is wrong when its time is over; empty when every machine has new certificates, and the API shows
    a new one."""
    entrance = way_to(step.cluster, bench)
    before = entrance.serial()
    _change(step.cluster, {"rotation": step.to}, bench)
    if problem := _settle(step.cluster, bench, left):
        return problem
    return _until(lambda: "" if entrance.serial() != before else "the API shows the certificate that it had", left)


@dataclass(frozen=True)
class _Written:
    """An object inside."""

    name: str
    text: str


def upgrade(step: UpgradeCluster, bench: Bench, left: Left) -> str:
    """Ask for it and wait. What is wrong when its time is over; empty when all nodes are of the new system, and what was written
    before is there."""
    written = _Written(f"before-{step.os}", secrets.token_hex(16))
    status, said, _ = way_to(step.cluster, bench).ask(
        "POST", _OBJECT, {"metadata": {"name": written.name}, "data": {"text": written.text}}
    )
    if status != 201:
        raise HarnessError(f"{step.cluster} does not take an object: {status} {said[:200]!r}")
    _change(step.cluster, {"os": step.os}, bench)
    if step.interrupted:
        if problem := _until(lambda: _nobody_away(step.cluster, bench), left):
            return problem
        left.say("the controller is killed")
        garbage.kill_controller(bench.machines)
    if problem := _settle(step.cluster, bench, left):
        return problem
    return _until(lambda: _upgraded(step, bench, written), left)


def _upgraded(step: UpgradeCluster, bench: Bench, written: _Written) -> str:
    entrance = way_to(step.cluster, bench)
    status, said, _ = entrance.ask("GET", f"{_OBJECT}/{written.name}")
    if status != 200 or json.loads(said)["data"]["text"] != written.text:
        return f"what was written before is not there: {status}"
    nodes = json.loads(entrance.ask("GET", "/api/v1/nodes")[1])["items"]
    told = {each["metadata"]["name"]: each["status"]["nodeInfo"]["osImage"] for each in nodes}
    other = sorted(name for name, image in told.items() if image != systems.pretty(step.os))
    closed = sorted(each["metadata"]["name"] for each in nodes if each["spec"].get("unschedulable"))
    found = [f"{name} runs {told[name]}" for name in other] + [f"{name} takes no pods" for name in closed]
    return "; ".join(found)


def _nobody_away(cluster: str, bench: Bench) -> str:
    found = _state(cluster, bench)
    away = [vm["name"] for vm in found["status"].get("vms", ()) if vm["phase"] != "Ready"]
    return "" if away else "no machine is replaced yet"


def _change(cluster: str, spec: Mapping[str, Any], bench: Bench) -> None:
    assert bench.outer is not None
    bench.outer.kubectl("patch", schema.RESOURCE, cluster, "--type=merge", "--patch", json.dumps({"spec": spec}))


def _state(cluster: str, bench: Bench) -> Mapping[str, Any]:
    assert bench.outer is not None
    found = clustering.state(bench.outer, cluster)
    if found is None:
        raise HarnessError(f"{cluster} is gone")
    return found


def _settle(cluster: str, bench: Bench, left: Left) -> str:
    return _until(lambda: unsettled(_state(cluster, bench)), left)


def _until(look: Any, left: Left) -> str:
    """Ask until there is no problem, or the time is over. An API that does not answer is one."""
    while True:
        try:
            problem: str = look()
        except (HarnessError, OSError, ssl.SSLError, HTTPException, KeyError, ValueError) as error:
            problem = str(error).splitlines()[-1] if str(error) else type(error).__name__
        if not problem or left.seconds() <= 0:
            return problem
        left.say(problem)
        time.sleep(_POLL_SECONDS)
