"""What runs in a cluster beside its control plane: cluster DNS and the NetworkPolicy agent. Pure."""

from typing import Any

from kubeception_sim.giantnetes import addons_dns, addons_policy
from kubeception_sim.giantnetes.cluster import Cluster
from kubeception_sim.model.kubernetes import Version

LABEL = "kubeception.io/addon"
"""All objects have it, with the value true; by it their state is asked."""
_DNS_REPLICAS = 2


def objects(cluster: Cluster, image: str) -> list[dict[str, Any]]:
    """The objects, in the order in which they are to be applied. `image` is the one of the agents."""
    replicas = min(_DNS_REPLICAS, len(cluster.hosts))
    dns = addons_dns.manifests(image, cluster.dns, cluster.domain, replicas, Version.parse(cluster.version))
    return [labelled(item) for item in (*addons_policy.manifests(image), *dns)]


def labelled(item: dict[str, Any]) -> dict[str, Any]:
    """An object with LABEL."""
    labels = {**item["metadata"].get("labels", {}), LABEL: "true"}
    return {**item, "metadata": {**item["metadata"], "labels": labels}}
