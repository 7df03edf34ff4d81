"""The disks of a cluster that goes: a pod on each node that has one removes its folder.

Which nodes these are is in the claims to machines' numbers, which go later. The pods are in the controller's namespace, since the
cluster's own is gone by then, and with it whoever wrote to a disk. They stay until the claims are gone: so whoever is ended in
between finds what was done already.
"""

from collections.abc import Iterable
from typing import Any

from kubeception_sim.inner.allocation import NAMESPACE
from kubeception_sim.inner.controller.api import Api, Document
from kubeception_sim.inner.controller.placing import NODES
from kubeception_sim.inner.placement import home, is_ready
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.inner.wanted import labels, owner
from kubeception_sim.inner.wanted_pod import CLUSTERS, folder

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
PURPOSE = {"kubeception.io/purpose": "sweep"}


class Sweep:
    """That of one cluster. `leases` are its claims; `image` has a shell's usual programs; `forced`: nodes that do not answer are
    left out."""

    def __init__(self, api: Api, cluster: Cluster, leases: Iterable[Document], image: str, *, forced: bool) -> None:
        self._api, self._cluster, self._image, self._forced = api, cluster, image, forced
        self._nodes = sorted({node for lease in leases if (node := home(lease))})
        self.left: list[str] = []
        """What was left where it is, and why, after `step`."""

    def step(self) -> str:
        """What has to be waited for; empty when every disk is gone or left. Raises HarnessError."""
        there = {each["metadata"]["name"]: each for each in self._sweepers()}
        self.left, waits = [], []
        for node in self._nodes:
            wanted = sweeper(self._cluster, node, self._image)
            found = there.get(wanted["metadata"]["name"])
            phase = found["status"].get("phase") if found else ""
            if phase == "Succeeded" or self._is_left(node):
                continue
            waits.append(node)
            if found is None:
                self._api.create(wanted)
            elif phase == "Failed":
                self._api.delete(f"{PODS}/{found['metadata']['name']}", found["metadata"]["uid"])
        return f"the disks on {', '.join(waits)} are removed" if waits else ""

    def end(self) -> None:
        """The pods, once nothing asks for what they did."""
        for each in self._sweepers():
            self._api.delete(f"{PODS}/{each['metadata']['name']}", each["metadata"]["uid"])

    def _sweepers(self) -> list[Document]:
        found = self._api.list(PODS, labels(self._cluster.name) | PURPOSE)
        return [each for each in found if _owner(each) == self._cluster.uid]

    def _is_left(self, name: str) -> bool:
        node = self._api.get(f"{NODES}/{name}")
        if node is not None and (is_ready(node) or not self._forced):
            return False
        why = "is gone" if node is None else "is not Ready"
        self.left.append(f"{folder(self._cluster)} on the node {name}, which {why}")
        return True


def sweeper(cluster: Cluster, node: str, image: str) -> Document:
    """The pod that removes the folder of a cluster on a node. Pure."""
    container = {
        "name": "sweep",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["rm", "-rf", "--one-file-system", folder(cluster)],
        "volumeMounts": [{"name": "clusters", "mountPath": CLUSTERS}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "runAsUser": 0,
            # The folder is the machine's user's, and closed to others.
            "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]},
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
        },
    }
    spec: dict[str, Any] = {
        # Not the scheduler's: it is this node, full or closed as it may be.
        "nodeName": node,
        "tolerations": [{"operator": "Exists"}],
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "clusters", "hostPath": {"path": CLUSTERS, "type": "DirectoryOrCreate"}}],
    }
    metadata = {
        "name": f"sweep-{cluster.name}-{cluster.uid[:8]}-{node}",
        "namespace": NAMESPACE,
        "labels": labels(cluster.name) | PURPOSE,
        "ownerReferences": [owner(cluster)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _owner(document: Document) -> str:
    return next((str(each["uid"]) for each in document["metadata"].get("ownerReferences", ())), "")
