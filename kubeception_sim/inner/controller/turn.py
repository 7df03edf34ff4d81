"""Whose turn it is to be started: a machine that boots takes all the processor it can have, and others wait for it. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.controller.api import Document
from kubeception_sim.inner.resource import Cluster, Role
from kubeception_sim.inner.status import Seen
from kubeception_sim.inner.wanted import TEMPLATE


class Turn:
    """Which machines may be started, or started anew, in this pass. `drained` is asked, again and again, for one whose turn it is
    and that runs: whether it may end."""

    def __init__(
        self,
        cluster: Cluster,
        seen: Seen,
        deployments: Mapping[str, Document],
        drained: Callable[[Vm], bool] = lambda _: True,
    ) -> None:
        self._hibernated = cluster.spec.hibernated
        self._deployments = deployments
        self._drained = drained
        self._pods = {name: pod.ready and not pod.leaving for name, pod in seen.pods.items()}
        self._ready = {vm.name: self._runs(vm) for vm in seen.vms}
        self._masters_run = all(self._pods.get(vm.name, False) for vm in seen.vms if vm.role is Role.MASTER)
        self._taken = False

    def has_come(self, vm: Vm, wanted: Mapping[str, Any]) -> bool:
        """For a machine as it is wanted. One machine a pass is told so that has to be started anew."""
        there = self._deployments.get(vm.name)
        if self._hibernated:
            return True
        if there is None or not there["spec"].get("replicas"):
            return vm.role is Role.MASTER or self._masters_run
        if is_of(there, wanted):
            return True
        others = all(is_ready for name, is_ready in self._ready.items() if name != vm.name and name in self._deployments)
        may = not self._taken and (others or not self._ready[vm.name])
        self._taken = self._taken or may
        return may and (not self._ready[vm.name] or self._drained(vm))

    def is_behind(self, vm: Vm, wanted: Mapping[str, Any]) -> bool:
        """Whether a machine is not yet what it was started for, or is to be started anew."""
        there = self._deployments.get(vm.name)
        if there is None or self._hibernated:
            return False
        return not is_of(there, wanted) or (self._pods.get(vm.name, False) and not is_settled(there))

    def _runs(self, vm: Vm) -> bool:
        there = self._deployments.get(vm.name)
        return self._pods.get(vm.name, False) and (there is None or is_settled(there))


def is_of(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a deployment was applied with this template. Pure."""
    return bool(there["metadata"].get("annotations", {}).get(TEMPLATE) == wanted["metadata"]["annotations"][TEMPLATE])


def is_settled(there: Mapping[str, Any]) -> bool:
    """Whether the pod of a deployment is one of its present template: until it is replaced, the old one looks as ready as ever.

    Nobody has looked yet at one without a status, and it has no pod. Pure.
    """
    status: Mapping[str, Any] = there.get("status", {})
    if "observedGeneration" not in status or not there["spec"].get("replicas"):
        return True
    return bool(status["observedGeneration"] >= there["metadata"].get("generation", 0) and status.get("updatedReplicas"))
