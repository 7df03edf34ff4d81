"""The last passes of a cluster: each takes the next step that is possible, and all may be taken again.

    namespace      with every machine; what follows waits until it is gone
    disks          removed from the nodes that have any (`sweeping`)
    doors          the network's part in the store, then the authorities
    claims         only now may others have the numbers
    finalizer      and with it the cluster

A door or a node that is away for good would keep the cluster for ever: who annotates it with `kubeception.io/force-clean` has
that skipped.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.controller.api import Api, Document
from kubeception_sim.inner.controller.claims import is_held_by
from kubeception_sim.inner.controller.observed import CLUSTERS, LEASES, NAMESPACES
from kubeception_sim.inner.controller.sweeping import Sweep
from kubeception_sim.inner.controller.telling import announce, rfc3339, tell
from kubeception_sim.inner.doors import Doors
from kubeception_sim.inner.resource import About, Cluster, Condition, Phase, Status
from kubeception_sim.inner.status import News, Reason, Verdict, told

FINALIZER = "kubeception.io/clusters"
FORCE = "kubeception.io/force-clean"


def leave(api: Api, doors: Doors, document: Document, now: datetime) -> bool:
    """One pass. Whether the cluster is gone, as far as it is for us. Raises HarnessError, which the status tells, too."""
    if FINALIZER not in document["metadata"].get("finalizers", ()):
        return True
    try:
        waits = _steps(api, doors, document, now)
    except HarnessError as error:
        tell(api, document, _status(document, error.message, Reason.FAILED, now), now)
        raise
    if waits:
        tell(api, document, _status(document, waits, Reason.DELETING, now), now)
    return not waits


def ours(namespace: Mapping[str, Any], uid: str) -> bool:
    """Whether a namespace was made for the cluster with this uid. Pure."""
    return any(each["uid"] == uid for each in namespace["metadata"].get("ownerReferences", ()))


def _steps(api: Api, doors: Doors, document: Document, now: datetime) -> str:
    """What has to be waited for; empty when all is done."""
    metadata = document["metadata"]
    name, uid = metadata["name"], metadata["uid"]
    path = f"{NAMESPACES}/cluster-{name}"
    namespace = api.get(path)
    if namespace is not None and ours(namespace, uid):
        if "deletionTimestamp" not in namespace["metadata"]:
            api.delete(path, namespace["metadata"]["uid"])
        return f"the machines of {name} end"
    leases = [each for each in api.list(LEASES) if is_held_by(each, name, uid)]
    sweep = Sweep(api, Cluster(name, uid=uid), leases, doors.giantnetes.vm_image, forced=FORCE in metadata.get("annotations", {}))
    if waits := sweep.step():
        return waits
    # What doors have goes by the name, which is ours until the finalizer goes.
    _drop(api, document, "the network's store", lambda: doors.network.drop(name), now)
    _drop(api, document, "the authorities", lambda: doors.authorities.drop(name), now)
    announce(api, document, [News(True, "ForceClean", f"left where it is: {each}") for each in sweep.left], now)
    for lease in leases:
        api.delete(f"{LEASES}/{lease['metadata']['name']}", lease["metadata"]["uid"])
    sweep.end()
    left = [each for each in metadata["finalizers"] if each != FINALIZER]
    known = {"uid": uid, "resourceVersion": metadata["resourceVersion"]}
    api.merge(f"{CLUSTERS}/{name}", {"metadata": known | {"finalizers": left}})
    return ""


def _drop(api: Api, document: Document, what: str, drop: Callable[[], None], now: datetime) -> None:
    try:
        drop()
    except HarnessError as error:
        if FORCE not in document["metadata"].get("annotations", {}):
            hint = f"if it is gone for good: kubectl annotate clusters.kubeception.io {document['metadata']['name']} {FORCE}=true"
            raise HarnessError(f"{what}: {error.message}", hint=hint) from error
        skipped = News(True, "ForceClean", f"{what} was skipped, and may hold something of the cluster: {error.message}")
        announce(api, document, [skipped], now)


def _status(document: Mapping[str, Any], message: str, reason: Reason, now: datetime) -> Status:
    known = document.get("status", {})
    before = [Condition.read(each) for each in known.get("conditions", ())]
    generation = document["metadata"].get("generation", 0)
    verdicts = {
        About.READY: Verdict(False, Reason.DELETING),
        About.PROGRESSING: Verdict(reason is not Reason.FAILED, reason, message),
    }
    conditions = told(before, verdicts, generation, rfc3339(now))
    return Status(Phase.DELETING, conditions, known.get("vni", 0), (), known.get("endpoint", ""), generation)
