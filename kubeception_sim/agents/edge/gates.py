"""Which pods are whose entrance: pods of machines -> gates. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kubeception_sim.agents.api import Object

CLUSTER, VM, ROLE = (f"kubeception.io/{each}" for each in ("cluster", "vm", "role"))
MASTER, WORKER = "master", "worker"


@dataclass(frozen=True, order=True)
class Server:
    """Where connections can go: a name for the log, and the address of a pod."""

    name: str
    address: str


@dataclass(frozen=True, order=True)
class Gate:
    """An inner cluster as it is seen from outside: who answers for its API, and who for what runs in it."""

    cluster: str
    masters: tuple[Server, ...] = ()
    workers: tuple[Server, ...] = ()


def gates(pods: Iterable[Object]) -> tuple[Gate, ...]:
    """The gates of all clusters of which a machine serves, by name.

    A label is anybody's to write who may make pods. So a pod counts for the cluster only in whose own namespace it is.
    """
    found: dict[str, dict[str, list[Server]]] = {}
    for pod in pods:
        labels = pod["metadata"].get("labels", {})
        cluster, machine, role = (labels.get(each, "") for each in (CLUSTER, VM, ROLE))
        if not machine or pod["metadata"]["namespace"] != f"cluster-{cluster}" or not _serves(pod):
            continue
        servers = found.setdefault(cluster, {MASTER: [], WORKER: []})
        if role in servers:
            servers[role].append(Server(machine, pod["status"]["podIP"]))
    return tuple(
        Gate(name, tuple(sorted(servers[MASTER])), tuple(sorted(servers[WORKER]))) for name, servers in sorted(found.items())
    )


def kept(pod: Object) -> Object:
    """What matters of a pod: everything else may change without a reload."""
    metadata, status = pod["metadata"], pod.get("status", {})
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name in (CLUSTER, VM, ROLE)}
    told: dict[str, Any] = {"namespace": metadata["namespace"], "name": metadata["name"], "labels": labels}
    if not labels:
        return {"metadata": told, "status": {}}
    told |= {"deletionTimestamp": True} if "deletionTimestamp" in metadata else {}
    ready = [each["status"] for each in status.get("conditions") or () if each["type"] == "Ready"]
    return {"metadata": told, "status": {"podIP": status.get("podIP", ""), "ready": ready == ["True"]}}


def _serves(pod: Object) -> bool:
    return bool("deletionTimestamp" not in pod["metadata"] and pod["status"].get("ready") and pod["status"].get("podIP"))
