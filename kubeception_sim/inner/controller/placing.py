"""The homes of machines with disks: chosen, written down, and looked after. See `inner.placement`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lightkube.utils.quantity import parse_quantity

from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.controller.api import Api, Document
from kubeception_sim.inner.controller.claims import holder
from kubeception_sim.inner.controller.observed import LEASES, Observed
from kubeception_sim.inner.placement import NODE, Place, Room, choose, home, is_ready, takes_pods
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.inner.wanted_pod import requested

NODES = "/api/v1/nodes"
_PODS = "/api/v1/pods"
_OVER = ("Succeeded", "Failed")
_MEBIBYTE = 1 << 20


class Homes:
    """Those of one cluster. `leases` are all claims that there are."""

    def __init__(self, api: Api, cluster: Cluster, leases: Iterable[Document]) -> None:
        self._api, self._cluster = api, cluster
        self._leases = {each["spec"].get("holderIdentity", ""): each for each in leases}

    def known(self, vms: Iterable[Vm]) -> tuple[Vm, ...]:
        """The machines with their homes, as far as they have any."""
        return tuple(replace(vm, node=self._home(vm)) for vm in vms)

    def have(self, vms: Iterable[Vm], observed: Observed) -> tuple[Vm, ...]:
        """The machines; each that has a disk has a home, and that is written down. Raises HarnessError when no node has room.

        A disk that is somewhere already is at home there.
        """
        found = []
        for vm in self.known(vms):
            pod = observed.pods.get(vm.name)
            if not vm.disk or vm.node:
                found.append(vm)
            else:
                node = pod.node if pod and pod.node else choose(self._places(), Room(*requested(vm)))
                self._write_down(vm, node)
                found.append(replace(vm, node=node))
        return tuple(found)

    def away(self, vms: Iterable[Vm], observed: Observed) -> dict[str, str]:
        """Why machines cannot run that do not: their homes are not there. By machine."""
        late = (vm for vm in vms if vm.node and not ((pod := observed.pods.get(vm.name)) and pod.ready))
        return {vm.name: why for vm in late if (why := self._trouble(vm.node))}

    def _trouble(self, name: str) -> str:
        node = self._api.get(f"{NODES}/{name}")
        if node is None:
            return f"its disk is on the node {name}, which is gone: unless that node returns, the cluster has to be made anew"
        return "" if is_ready(node) else f"its disk is on the node {name}, which is not Ready"

    def _home(self, vm: Vm) -> str:
        lease = self._leases.get(holder(self._cluster, vm.name))
        return home(lease) if lease else ""

    def _write_down(self, vm: Vm, node: str) -> None:
        lease = self._leases[holder(self._cluster, vm.name)]
        metadata = lease["metadata"]
        # With the version: of two that choose at once, one is refused, and reads again.
        known = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        changed = {"metadata": known | {"annotations": {NODE: node}}}
        written = self._api.merge(f"{LEASES}/{metadata['name']}", changed)
        self._leases[written["spec"]["holderIdentity"]] = written

    def _places(self) -> Iterator[Place]:
        homes = [(who, home(lease)) for who, lease in self._leases.items()]
        ours = f"{holder(self._cluster)}/"
        pods = self._api.list(_PODS)
        for node in self._api.list(NODES):
            if takes_pods(node):
                name = node["metadata"]["name"]
                own = sum(who.startswith(ours) and at == name for who, at in homes)
                yield Place(name, _left(node, pods), own, sum(at == name for _, at in homes))


def _left(node: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> Room:
    """What a node has, less what the pods on it ask for. Pure."""
    has = _room(node["status"]["allocatable"])
    there = [pod for pod in pods if pod["spec"].get("nodeName") == node["metadata"]["name"]]
    asked = [_asked(pod["spec"]) for pod in there if pod.get("status", {}).get("phase") not in _OVER]
    return Room(has.memory - sum(each.memory for each in asked), has.cpu - sum(each.cpu for each in asked))


def _asked(spec: Mapping[str, Any]) -> Room:
    """As the scheduler has it: the containers together, or the largest step before them. Pure."""
    together = [_requests(each) for each in spec["containers"]]
    steps = [_requests(each) for each in spec.get("initContainers", ())]
    memory, cpu = sum(each.memory for each in together), sum(each.cpu for each in together)
    return Room(max([memory, *(each.memory for each in steps)]), max([cpu, *(each.cpu for each in steps)]))


def _requests(container: Mapping[str, Any]) -> Room:
    return _room(container.get("resources", {}).get("requests", {}))


def _room(resources: Mapping[str, str]) -> Room:
    memory, cpu = parse_quantity(resources.get("memory", "0")) or 0, parse_quantity(resources.get("cpu", "0")) or 0
    return Room(int(memory / _MEBIBYTE), int(cpu * 1000))
