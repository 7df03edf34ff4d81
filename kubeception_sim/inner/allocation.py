"""Who holds which number. Pure.

Whoever needs a number that nobody else may have writes a claim: a Lease of coordination.k8s.io named after the number
(`vni-100`). The API server creates an object of a name once, so that two who want the same number meet there and nowhere else:
the second is refused, reads again, and takes another. A claim is not given up by itself when its holder is away; it ends when
it is deleted, which is done when nothing that used the number is left.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.resource import MASTER, VM_PREFIX, Cluster, Network, Role

NAMESPACE = "kubeception-system"
KIND_LABEL = "kubeception.io/claim"


@dataclass(frozen=True)
class Numbers:
    """Numbers of one kind, `first` to `last`. `prefix` and a number are a claim's name."""

    kind: str
    prefix: str
    first: int
    last: int

    def name(self, number: int) -> str:
        """The name of the claim to a number."""
        return f"{self.prefix}-{number}"


VNIS = Numbers("vni", "vni", 100, 9999)
"""Networks of clusters. Below 100 there is room for those of other programs (flannel's is 1)."""


def vm_indexes(cluster: Cluster) -> Numbers:
    """The machines of a cluster. The first /30 goes to nobody: its first address would be the network's own."""
    return Numbers("vm", f"{cluster.name}.vm", 1, cluster.spec.network.capacity)


@dataclass(frozen=True)
class Claim:
    """`uid` tells it from another of the same name."""

    number: int
    holder: str
    uid: str = ""


def holding(claims: Iterable[Claim], holder: str) -> tuple[Claim, ...]:
    """The claims of a holder, the lowest number first: that is the one which counts, should there be several."""
    return tuple(sorted((claim for claim in claims if claim.holder == holder), key=lambda claim: claim.number))


def free(numbers: Numbers, claims: Iterable[Claim]) -> int:
    """The lowest number without a claim. Raises HarnessError when there is none."""
    taken = {claim.number for claim in claims}
    found = next((number for number in range(numbers.first, numbers.last + 1) if number not in taken), None)
    if found is None:
        raise HarnessError(
            f"all {numbers.kind} numbers from {numbers.first} to {numbers.last} are taken",
            hint=f"kubectl --namespace {NAMESPACE} get leases --selector {KIND_LABEL}={numbers.kind}",
        )
    return found


def lease(numbers: Numbers, number: int, holder: str, owner: Mapping[str, Any]) -> dict[str, Any]:
    """The claim as an object. `owner` is a reference: the object goes with it at the latest."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": numbers.name(number),
            "namespace": NAMESPACE,
            "labels": {KIND_LABEL: numbers.kind},
            "ownerReferences": [dict(owner)],
        },
        "spec": {"holderIdentity": holder},
    }


def claims_of(numbers: Numbers, leases: Iterable[Mapping[str, Any]]) -> tuple[Claim, ...]:
    """The claims among objects. One whose name is not of this kind is none of ours."""
    return tuple(claim for each in leases if (claim := _claim(numbers, each["metadata"], each.get("spec", {}))))


def _claim(numbers: Numbers, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Claim | None:
    prefix, _, number = metadata["name"].rpartition("-")
    if prefix != numbers.prefix or not number.isdecimal():
        return None
    return Claim(int(number), spec.get("holderIdentity") or "", metadata.get("uid", ""))


@dataclass(frozen=True)
class Vm:
    """One machine. Memory and disk in MiB; a worker has no disk. `node` of the outer cluster is where the disk is, or will be."""

    name: str
    role: Role
    pool: str
    index: int
    address: IPv4Address
    cpus: int
    memory: int
    disk: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    node: str = ""


def address(network: Network, index: int) -> IPv4Address:
    """The address of a machine: the second in its /30. The first is its bridge's."""
    return network.vms.network_address + (index << (32 - VM_PREFIX)) + 2


def names(cluster: Cluster) -> tuple[str, ...]:
    """The machines that are wanted, masters first."""
    pools = [(MASTER, cluster.spec.masters.count), *((pool.name, pool.replicas) for pool in cluster.spec.pools)]
    return tuple(f"{pool}-{number}" for pool, count in pools for number in range(count))


def machines(cluster: Cluster, indexes: Mapping[str, int]) -> tuple[Vm, ...]:
    """The machines that are wanted and have a number, masters first; `indexes` by their names."""
    return (*_masters(cluster, indexes), *_workers(cluster, indexes))


def _masters(cluster: Cluster, indexes: Mapping[str, int]) -> Iterator[Vm]:
    masters, network = cluster.spec.masters, cluster.spec.network
    for name in (name for number in range(masters.count) if (name := f"{MASTER}-{number}") in indexes):
        where = address(network, indexes[name])
        yield Vm(name, Role.MASTER, MASTER, indexes[name], where, masters.cpus, masters.memory, masters.etcd_disk)


def _workers(cluster: Cluster, indexes: Mapping[str, int]) -> Iterator[Vm]:
    for pool in cluster.spec.pools:
        for name in (name for number in range(pool.replicas) if (name := f"{pool.name}-{number}") in indexes):
            where = address(cluster.spec.network, indexes[name])
            yield Vm(name, Role.WORKER, pool.name, indexes[name], where, pool.cpus, pool.memory, labels=pool.labels)
