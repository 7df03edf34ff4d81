"""What there is of a cluster now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubeception_sim.inner import schema
from kubeception_sim.inner.allocation import KIND_LABEL, NAMESPACE
from kubeception_sim.inner.controller.api import Api, Document
from kubeception_sim.inner.pods import Pod, current
from kubeception_sim.inner.wanted import VM, labels

CLUSTERS = f"/apis/{schema.API_VERSION}/{schema.PLURAL}"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
NAMESPACES = "/api/v1/namespaces"
# Everything that is applied for a cluster, in the order in which it is pruned: who runs before what it runs with.
_KINDS = {
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Service": ("/api/v1", "services"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "Secret": ("/api/v1", "secrets"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
}
Key = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True)
class Observed:
    """`objects` are those in the namespace that carry the cluster's labels, `running` all pods of machines, `pods` those that
    count; `claims` are all there are, of whomever."""

    claims: tuple[Document, ...]
    namespace: Document | None
    objects: Mapping[Key, Document]
    running: tuple[Pod, ...]

    @property
    def pods(self) -> dict[str, Pod]:
        """By machine."""
        return current(self.running)

    @property
    def deployments(self) -> dict[str, Document]:
        """By machine."""
        return {name: each for (kind, name), each in self.objects.items() if kind == "Deployment"}

    @property
    def there(self) -> set[str]:
        """The machines of which something runs, or will."""
        return {*self.deployments, *(pod.vm for pod in self.running)}

    def of(self, document: Mapping[str, Any]) -> Document | None:
        """What there is of an object that is wanted."""
        return self.objects.get(key(document))


def observe(api: Api, cluster: str) -> Observed:
    """Asked anew. Raises HarnessError."""
    claims = tuple(each for each in api.list(LEASES) if is_claim(each))
    namespace = api.get(f"{NAMESPACES}/cluster-{cluster}")
    if namespace is None:
        return Observed(claims, None, {}, ())
    objects = dict(item for kind in _KINDS for item in _objects(api, cluster, kind))
    pods = api.list(f"{_within('/api/v1', cluster)}/pods", labels(cluster))
    return Observed(claims, namespace, objects, tuple(Pod.read(each) for each in pods if VM in each["metadata"]["labels"]))


def _objects(api: Api, cluster: str, kind: str) -> Iterator[tuple[Key, Document]]:
    # What all of a list have in common is not in its items.
    common = {"apiVersion": _KINDS[kind][0].removeprefix("/apis/").removeprefix("/api/"), "kind": kind}
    for each in api.list(collection(cluster, kind), labels(cluster)):
        yield (kind, each["metadata"]["name"]), each | common


def collection(cluster: str, kind: str) -> str:
    """Where the objects of a kind are. Pure."""
    root, plural = _KINDS[kind]
    return f"{_within(root, cluster)}/{plural}"


def key(document: Mapping[str, Any]) -> Key:
    """By what an object is known. Pure."""
    return document["kind"], document["metadata"]["name"]


def is_claim(document: Mapping[str, Any]) -> bool:
    """Other programs have leases, too. Pure."""
    return KIND_LABEL in document["metadata"].get("labels", {})


def _within(root: str, cluster: str) -> str:
    return f"{root}/namespaces/cluster-{cluster}"
