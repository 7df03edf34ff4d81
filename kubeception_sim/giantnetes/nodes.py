"""What the API says of nodes and add-ons, judged. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CONFIG = "giantnetes/config"
"""The annotation in which a node says which config it was given (mayu's `config_id`)."""

_MIRROR = "kubernetes.io/config.mirror"


@dataclass(frozen=True)
class Node:
    """A node as the API shows it. `reason` says why it is not Ready."""

    name: str
    ready: bool
    config: str
    address: str
    version: str
    reason: str = ""


def nodes_of(document: Mapping[str, Any]) -> dict[str, Node]:
    """The nodes of a NodeList, by name."""
    return {item["metadata"]["name"]: _node(item) for item in document["items"]}


def _node(item: Mapping[str, Any]) -> Node:
    status = item.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    ready = conditions.get("Ready", {"status": "Unknown", "message": "it has no condition Ready yet"})
    addresses = {each["type"]: each["address"] for each in status.get("addresses", ())}
    good = ready["status"] == "True"
    return Node(
        name=item["metadata"]["name"],
        ready=good,
        config=item["metadata"].get("annotations", {}).get(CONFIG, ""),
        address=addresses.get("InternalIP", ""),
        version=status.get("nodeInfo", {}).get("kubeletVersion", ""),
        reason="" if good else ready.get("message", ready["status"]),
    )


def unready(nodes: Mapping[str, Node], wanted: Mapping[str, str]) -> list[str]:
    """Why the nodes of `wanted` (name -> expected config id; empty for any) are not all as they should be; a line each."""
    lines = []
    for name, config in wanted.items():
        node = nodes.get(name)
        if node is None:
            lines.append(f"{name} is no node")
        elif not node.ready:
            lines.append(f"{name}: {node.reason}")
        elif config and node.config != config:
            lines.append(f"{name} runs the config {node.config or 'of nobody knows when'}, not {config}")
    return lines


def left_over(pods: Sequence[Mapping[str, Any]], booted: Mapping[str, datetime]) -> list[str]:
    """Which pods of nodes that have booted are not ready, or are only said to be by a kubelet that is gone: their containers are
    older than the boot; a line each. `booted` maps the names of nodes to times with a zone; other nodes are not looked at.

    A kubelet that is killed takes nothing back, and its successor needs seconds to find out what of it is true. The pods of its
    own manifests are left out: it calls them ready up to a minute late, and an API that answers is proof of the ones it needs.
    """
    lines = []
    for item in pods:
        node, name = item["spec"].get("nodeName", ""), item["metadata"]["name"]
        if (since := booted.get(node)) is None or _MIRROR in item["metadata"].get("annotations", {}):
            continue
        states = [each.get("state", {}).get("running", {}) for each in item.get("status", {}).get("containerStatuses", ())]
        conditions = {each["type"]: each["status"] for each in item.get("status", {}).get("conditions", ())}
        # The API rounds down to seconds.
        if any(state and datetime.fromisoformat(state["startedAt"]) < since.replace(microsecond=0) for state in states):
            lines.append(f"{name} on {node}: not seen since the node booted")
        elif conditions.get("Ready") != "True":
            lines.append(f"{name} on {node}: not ready")
    return lines


def unavailable(workloads: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which Deployments and DaemonSets do not have all their pods available; a line each."""
    lines = []
    for item in workloads:
        status, name = item.get("status", {}), f"{item['kind']} {item['metadata']['name']}"
        if item["kind"] == "DaemonSet":
            wanted, there = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
            current = status.get("observedGeneration", 0) >= item["metadata"].get("generation", 0)
            seen = wanted > 0 and current and status.get("updatedNumberScheduled", 0) >= wanted
        else:
            wanted, there = item["spec"].get("replicas", 1), status.get("availableReplicas", 0)
            seen = status.get("observedGeneration", 0) >= item["metadata"].get("generation", 0)
        if not seen or there < wanted:
            lines.append(f"{name}: {there} of {wanted} available")
    return lines
