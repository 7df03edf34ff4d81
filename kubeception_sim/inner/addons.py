"""The add-ons of an inner cluster: those of the outer one, and its entrance, of one image that its machines boot with. Pure.

Who has the cluster's administrator applies them from outside, through the API, once it serves: nothing in the cluster holds a
credential for that. They are applied again whenever they are other than here (server-side apply, the manager `kubeception`).
"""

from collections.abc import Sequence
from typing import Any

from kubeception_sim.giantnetes import addons
from kubeception_sim.inner import ingress
from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.config import as_giantnetes
from kubeception_sim.inner.resource import Cluster


def objects(cluster: Cluster, vms: Sequence[Vm], image: str) -> list[dict[str, Any]]:
    """The objects, in the order in which they are to be applied. `image` is the one of the agents."""
    return [*addons.objects(as_giantnetes(cluster, vms), image), *map(addons.labelled, ingress.objects(image))]
