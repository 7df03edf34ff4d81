"""A machine that is no longer wanted: what runs on it inside is asked to leave first.

Its node is closed, and its pods are evicted, as far as their disruption budgets allow; those of a DaemonSet go with the machine.
When the drain began is written on the machine's Deployment, so that its deadline outlives the controller. With nobody to ask
inside, and with budgets that never allow it, the machine goes when the deadline is over.
"""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.controller.api import Api, Document
from kubeception_sim.inner.controller.observed import collection
from kubeception_sim.inner.doors import Inside
from kubeception_sim.inner.resource import Cluster

SECONDS = 300
BEGAN = "kubeception.io/drain-began"
"""Seconds of UTC, whole ones."""


@dataclass(frozen=True)
class Drain:
    """`at` is where the API inside can be asked, None when nobody answers there; `now` in UTC."""

    api: Api
    inside: Inside
    cluster: Cluster
    at: IPv4Address | None
    now: datetime

    def is_over(self, vm: str, deployment: Document) -> bool:
        """Whether the machine may go now. Raises HarnessError when the outer API does not answer."""
        if self.cluster.spec.hibernated or not deployment["spec"].get("replicas"):
            return True
        began = self._began(vm, deployment)
        if self.now.timestamp() - began >= SECONDS:
            return True
        if self.at is None:
            return False
        try:
            return not self.inside.drain(self.cluster, self.at, vm)
        except HarnessError:
            # It is asked again; what is wrong inside is told by the conditions.
            return False

    def call_off(self, vm: str, deployment: Document) -> None:
        """The machine is wanted after all. Raises HarnessError when the outer API does not answer."""
        if BEGAN not in deployment["metadata"].get("annotations", {}) or self.at is None:
            return
        try:
            self.inside.welcome(self.cluster, self.at, vm)
        except HarnessError:
            return
        self._note(vm, deployment, None)

    def _began(self, vm: str, deployment: Document) -> int:
        metadata = deployment["metadata"]
        if known := metadata.get("annotations", {}).get(BEGAN):
            return int(known)
        now = int(self.now.timestamp())
        self._note(vm, deployment, str(now))
        return now

    def _note(self, vm: str, deployment: Document, began: str | None) -> None:
        path = f"{collection(self.cluster.name, 'Deployment')}/{vm}"
        self.api.merge(path, {"metadata": {"uid": deployment["metadata"]["uid"], "annotations": {BEGAN: began}}})
