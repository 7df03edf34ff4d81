"""A node before its machine is started anew, and after: nothing new comes to it and what can leave does, then it is let in again.

It is asked again and again, and all that it knows is on the node: who is ended half-way goes on at the next look.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from kubeception_sim.inner.controller.api import Api

DRAINED, CLOSED = "kubeception.io/drained", "kubeception.io/was-closed"
"""As a label, the first says that we have closed the node; as an annotation, since when. The second is an annotation."""
DRAIN_SECONDS = 300.0
"""So long pods may resist (a PodDisruptionBudget, a long end). Then the machine ends with them."""
_NODES, _PODS = "/api/v1/nodes", "/api/v1/pods"
_MIRROR = "kubernetes.io/config.mirror"
_OVER = ("Succeeded", "Failed")


def drained(api: Api, node: str, now: datetime) -> bool:
    """Close the node and have its pods evicted. Whether none is left that could go, or they had time enough."""
    if (there := api.get(f"{_NODES}/{node}")) is None:
        return True
    metadata, is_closed = there["metadata"], bool(there["spec"].get("unschedulable"))
    notes = metadata.get("annotations", {})
    since = notes.get(DRAINED, now.isoformat())
    if DRAINED not in notes or not is_closed:
        # Who has closed it before us wants it closed after us.
        known = {DRAINED: since, CLOSED: notes.get(CLOSED, str(is_closed).lower())}
        marks = {"labels": {DRAINED: "true"}, "annotations": known}
        api.merge(f"{_NODES}/{node}", {"metadata": marks, "spec": {"unschedulable": True}})
    left = [each for each in api.list(_PODS, fields={"spec.nodeName": node}) if _can_go(each)]
    for each in left:
        if "deletionTimestamp" not in each["metadata"]:
            api.evict(each)
    return not left or now - datetime.fromisoformat(since) > timedelta(seconds=DRAIN_SECONDS)


def admit(api: Api, nodes: Collection[str]) -> None:
    """Open those of these nodes that we have closed."""
    for each in api.list(_NODES, {DRAINED: "true"}):
        metadata = each["metadata"]
        if metadata["name"] in nodes:
            marks = {"labels": {DRAINED: None}, "annotations": {DRAINED: None, CLOSED: None}}
            stays = metadata.get("annotations", {}).get(CLOSED) == "true"
            opened = {} if stays else {"spec": {"unschedulable": None}}
            api.merge(f"{_NODES}/{metadata['name']}", {"metadata": marks} | opened)


def _can_go(pod: Mapping[str, Any]) -> bool:
    """Not what comes with the node itself: static pods, those of DaemonSets; nor what is over."""
    metadata = pod["metadata"]
    owners = {each["kind"] for each in metadata.get("ownerReferences", ())}
    return (
        _MIRROR not in metadata.get("annotations", {}) and "DaemonSet" not in owners and pod["status"].get("phase") not in _OVER
    )
