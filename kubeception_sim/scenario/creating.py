"""Collects how an inner cluster came to be, once it is: the resource, its pods, and a log for each machine."""

import json
import time

from kubeception_sim.checks.creations import creation_of
from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.bringup import OuterCluster
from kubeception_sim.inner import schema
from kubeception_sim.inner.wanted import CLUSTER, VM
from kubeception_sim.model.results import Creation
from kubeception_sim.scenario.observer import Clock

_ASK_SECONDS = 10.0


def collect(cluster: str, asked: float, ready: float | None, outer: OuterCluster, clock: Clock) -> Creation:
    """What can be had. An API that does not answer leaves a creation without spans: it is no reason to fail a step."""
    try:
        found = json.loads(outer.kubectl("get", schema.RESOURCE, cluster, "-o", "json", timeout=_ASK_SECONDS).stdout)
        listed = outer.kubectl("get", "pods", "-A", "-l", f"{CLUSTER}={cluster},{VM}", "-o", "json", timeout=_ASK_SECONDS)
        pods = json.loads(listed.stdout)["items"]
        logs = {pod["metadata"]["name"]: _log(pod["metadata"]["namespace"], pod["metadata"]["name"], outer) for pod in pods}
    except HarnessError:
        return Creation(cluster, asked, ready)
    since = clock.now() - time.time()
    return creation_of(found, pods, logs, asked, ready, lambda utc: utc + since)


def _log(namespace: str, pod: str, outer: OuterCluster) -> str:
    # A machine that never started has no log, which says as much.
    said = outer.kubectl("logs", pod, "-n", namespace, "-c", "vm", "--timestamps", timeout=_ASK_SECONDS, check=False)
    return said.stdout
