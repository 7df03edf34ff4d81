"""The Kubernetes objects that make a cluster: (cluster, machines, facts) -> documents. Pure.

`shared` are the cluster's own, in the order in which they are to be applied; `machine` those of one machine. All of it but the
namespace is in that namespace, and carries `labels`, by which what is no longer wanted is found.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubeception_sim.inner import schema
from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.doors import Facts, Store
from kubeception_sim.inner.resource import Cluster, Role
from kubeception_sim.inner.wanted_pod import ACCOUNT, API_PORT, STORE_SECRET, token_secret, values_map
from kubeception_sim.inner.wanted_pod import pod as pod_of
from kubeception_sim.inner.wanted_policies import policies

Document = dict[str, Any]

MANAGED_BY = {"app.kubernetes.io/managed-by": "kubeception"}
CLUSTER, VM, ROLE, POOL = (f"kubeception.io/{each}" for each in ("cluster", "vm", "role", "pool"))
VALUES = "kubeception.io/values"
POD, MADE, EXPIRES, RENEWED = (f"kubeception.io/token-{each}" for each in ("of", "made", "expires", "renewed"))
ROTATION = "kubeception.io/rotation"
"""On the Secret with a token: which rotation it is for. On a pod: the one that it was told of last."""
TEMPLATE = "kubeception.io/template"
FIXED = "kubeception.io/fixed"
"""On the namespace: what cannot be changed once the cluster is there."""
API_SERVICE = "api"


def labels(cluster: str) -> dict[str, str]:
    """What everything of a cluster carries."""
    return MANAGED_BY | {CLUSTER: cluster}


def vm_labels(cluster: Cluster, vm: Vm) -> dict[str, str]:
    """What everything of a machine carries."""
    return labels(cluster.name) | {VM: vm.name, ROLE: str(vm.role), POOL: vm.pool}


def owner(cluster: Cluster) -> Document:
    """A reference to the cluster, which was there first and goes last."""
    return {
        "apiVersion": schema.API_VERSION,
        "kind": schema.KIND,
        "name": cluster.name,
        "uid": cluster.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def shared(cluster: Cluster, facts: Facts) -> tuple[Document, ...]:
    """The objects of the cluster itself, the namespace first."""
    return (
        namespace(cluster),
        _account(cluster),
        *_policies(cluster, facts),
        _credentials(cluster, facts.store),
        _service(cluster),
    )


def machine(cluster: Cluster, vm: Vm, facts: Facts) -> tuple[Document, Document]:
    """The objects of one machine, as they are applied: its values, and the pod that runs it."""
    values = _values(cluster, vm, facts)
    return values, _deployment(cluster, vm, facts, values)


def namespace(cluster: Cluster) -> Document:
    """Where all of it is."""
    metadata = {
        "name": cluster.namespace,
        "labels": labels(cluster.name),
        "annotations": {FIXED: _json(fixed(cluster))},
        "ownerReferences": [owner(cluster)],
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def fixed(cluster: Cluster) -> Document:
    """What cannot be changed once the cluster is there: its networks, and the members of its etcd."""
    network = cluster.spec.network
    return {
        "masters.count": cluster.spec.masters.count,
        "network": {
            "vms": str(network.vms),
            "pods": str(network.pods),
            "services": str(network.services),
            "domain": network.domain,
        },
    }


@dataclass(frozen=True)
class Start:
    """The token for one start of a machine, by the pod with this uid: times in seconds of UTC, whole ones.

    `renewed`: the same pod had one before. `wrapped` is empty when the pod has its certificates. `rotation` is what they are for.
    """

    pod: str
    made: int
    expires: int
    renewed: bool = False
    wrapped: str = field(default="", repr=False)
    rotation: str = ""


def token(cluster: Cluster, vm: Vm, start: Start) -> Document:
    """The Secret with the token for one start. Without one it stays, since the kubelet mounts it for as long as the pod is."""
    said = {"wrapped": start.wrapped} | ({"rotation": start.rotation} if start.rotation else {})
    data = {"data": {key: _b64(text) for key, text in said.items()}} if start.wrapped else {}
    found = _object(cluster, "v1", "Secret", token_secret(vm), data, vm_labels(cluster, vm))
    notes = {POD: start.pod, MADE: str(start.made), EXPIRES: str(start.expires), ROTATION: start.rotation}
    found["metadata"]["annotations"] = notes | ({RENEWED: "true"} if start.renewed else {})
    return found | {"type": "Opaque"}


def _object(
    cluster: Cluster, version: str, kind: str, name: str, content: Mapping[str, Any], marks: Mapping[str, str] | None = None
) -> Document:
    metadata: Document = {
        "name": name,
        "namespace": cluster.namespace,
        "labels": dict(marks or labels(cluster.name)),
        "ownerReferences": [owner(cluster)],
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def _account(cluster: Cluster) -> Document:
    # Machines have nothing to say to the outer API: no token is in their pods.
    return _object(cluster, "v1", "ServiceAccount", ACCOUNT, {"automountServiceAccountToken": False})


def _policies(cluster: Cluster, facts: Facts) -> list[Document]:
    found = policies(cluster, facts, role_label=ROLE)
    return [_object(cluster, "networking.k8s.io/v1", "NetworkPolicy", name, {"spec": spec}) for name, spec in found.items()]


def _credentials(cluster: Cluster, store: Store) -> Document:
    data = {"ca.crt": _b64(store.ca), "user": _b64(store.user), "password": _b64(store.password)}
    return _object(cluster, "v1", "Secret", STORE_SECRET, {"type": "Opaque", "data": data})


def _service(cluster: Cluster) -> Document:
    ports = [{"name": "https", "port": API_PORT, "protocol": "TCP", "targetPort": API_PORT}]
    selector = {CLUSTER: cluster.name, ROLE: str(Role.MASTER)}
    return _object(cluster, "v1", "Service", API_SERVICE, {"spec": {"type": "ClusterIP", "selector": selector, "ports": ports}})


def _values(cluster: Cluster, vm: Vm, facts: Facts) -> Document:
    data = {
        "values.json": _json(facts.values[vm.name]),
        "wanted.json": _json(facts.issuer.wanted[vm.name]),
        "ca.crt": facts.issuer.ca,
    }
    return _object(cluster, "v1", "ConfigMap", values_map(vm), {"data": data}, vm_labels(cluster, vm))


def _deployment(cluster: Cluster, vm: Vm, facts: Facts, values: Document) -> Document:
    selector = {CLUSTER: cluster.name, VM: vm.name}
    template = {
        # A machine reads its values when it boots: others want another boot.
        "metadata": {"labels": vm_labels(cluster, vm), "annotations": {VALUES: fingerprint(values["data"])}},
        "spec": pod_of(cluster, vm, facts, cluster_label=CLUSTER, role_label=ROLE),
    }
    spec = {
        "replicas": 0 if cluster.spec.hibernated else 1,
        # Two of one machine would be two of one address and of one disk.
        "strategy": {"type": "Recreate"},
        "revisionHistoryLimit": 1,
        # Longer than a boot under emulation takes, so that a machine that boots is not said to have failed.
        "progressDeadlineSeconds": 1800,
        "selector": {"matchLabels": selector},
        "template": template,
    }
    found = _object(cluster, "apps/v1", "Deployment", vm.name, {"spec": spec}, vm_labels(cluster, vm))
    # Another template ends the pod: that it is another is known before it is applied.
    found["metadata"]["annotations"] = {TEMPLATE: fingerprint(template)}
    return found


def fingerprint(value: Any) -> str:
    """Sixteen digits that differ when the value does."""
    return hashlib.sha256(_json(value).encode()).hexdigest()[:16]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _b64(text: str) -> str:
    return b64encode(text.encode()).decode()
