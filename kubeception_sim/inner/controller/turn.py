"""Whose turn it is to be started: a machine that boots takes all the processor it can have, and others wait for it. Pure."""

from collections.abc import Mapping
from typing import Any

from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.controller.api import Document
from kubeception_sim.inner.resource import Cluster, Role
from kubeception_sim.inner.status import Seen
from kubeception_sim.inner.wanted import TEMPLATE


class Turn:
    """Which machines may be started, or started anew, in this pass."""

    def __init__(self, cluster: Cluster, seen: Seen, deployments: Mapping[str, Document]) -> None:
        self._hibernated = cluster.spec.hibernated
        self._deployments = deployments
        self._ready = {vm.name: self._runs(seen, vm) for vm in seen.vms}
        self._masters_run = all(self._ready[vm.name] for vm in seen.vms if vm.role is Role.MASTER)
        self._taken = False

    def has_come(self, vm: Vm, wanted: Mapping[str, Any]) -> bool:
        """For a machine as it is wanted. One machine a pass is told so that has to be started anew."""
        there = self._deployments.get(vm.name)
        if self._hibernated:
            return True
        if there is None or not there["spec"].get("replicas"):
            return vm.role is Role.MASTER or self._masters_run
        if there["metadata"].get("annotations", {}).get(TEMPLATE) == wanted["metadata"]["annotations"][TEMPLATE]:
            return True
        others = all(is_ready for name, is_ready in self._ready.items() if name != vm.name and name in self._deployments)
        may = not self._taken and (others or not self._ready[vm.name])
        self._taken = self._taken or may
        return may

    def _runs(self, seen: Seen, vm: Vm) -> bool:
        pod = seen.pods.get(vm.name)
        return pod is not None and pod.ready and not pod.leaving
