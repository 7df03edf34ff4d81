"""What inner clusters need of others, in memory: each door does what it promises, and can be shut."""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.config import RoleValues
from kubeception_sim.inner.doors import Doors, Giantnetes, GuestImage, Held, Issuer, Store, Wrapped
from kubeception_sim.inner.resource import Cluster

GUEST = GuestImage("http://10.77.0.1:4081/images/node", "a" * 64, "b" * 64, "c" * 64)
OLDER = replace(GUEST, initrd="d" * 64)
GIANTNETES = Giantnetes("kubeception.local/vm:1", {"v1.20.2": {"testbed-1": OLDER, "testbed-2": GUEST}}, "tcg", "k8s.example")
TOKEN_SECONDS = 900


@dataclass
class _Door:
    """`shut` is why it raises; empty while it is open."""

    shut: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def pass_through(self) -> None:
        if self.shut:
            raise HarnessError(self.shut)


@dataclass
class MemoryAuthorities(_Door):
    """Members by cluster, and every token that was made, by machine."""

    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tokens: list[tuple[str, str]] = field(default_factory=list)

    def ensure(self, cluster: Cluster, vms: Sequence[Vm]) -> Issuer:
        self.pass_through()
        self.members[cluster.name] = tuple(vm.name for vm in vms)
        wanted = {vm.name: {"role": str(vm.role), "cluster": cluster.name} for vm in vms}
        return Issuer(IPv4Address("10.77.0.1"), 8200, "the authority of OpenBao\n", wanted)

    def token(self, cluster: Cluster, vm: Vm) -> Wrapped:
        self.pass_through()
        with self.lock:
            self.tokens.append((cluster.name, vm.name))
            return Wrapped(f"wrapped-{len(self.tokens)}", TOKEN_SECONDS)

    def drop(self, cluster: str) -> None:
        self.pass_through()
        self.members.pop(cluster, None)


@dataclass
class MemoryNetwork(_Door):
    """VNIs by cluster."""

    vnis: dict[str, int] = field(default_factory=dict)

    def ensure(self, cluster: Cluster, vni: int) -> Store:
        self.pass_through()
        self.vnis[cluster.name] = vni
        return store(cluster.name)

    def drop(self, cluster: str) -> None:
        self.pass_through()
        self.vnis.pop(cluster, None)


@dataclass
class MemoryInside(_Door):
    """Nodes by cluster, whether they are Ready; what was applied last; pods that have to leave a node; nodes that are closed."""

    names: dict[str, dict[str, bool]] = field(default_factory=dict)
    applied: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    pods: dict[str, tuple[str, ...]] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)

    def nodes(self, cluster: Cluster, at: IPv4Address) -> Mapping[str, bool]:
        self.pass_through()
        return dict(self.names.get(cluster.name, {}))

    def apply(self, cluster: Cluster, at: IPv4Address, objects: Sequence[Mapping[str, Any]]) -> None:
        self.pass_through()
        self.applied[cluster.name] = list(objects)

    def drain(self, cluster: Cluster, at: IPv4Address, node: str) -> tuple[str, ...]:
        self.pass_through()
        self.closed.add(node)
        return self.pods.get(node, ())

    def welcome(self, cluster: Cluster, at: IPv4Address, node: str) -> None:
        self.pass_through()
        self.closed.discard(node)

    def forget(self, cluster: Cluster, at: IPv4Address, node: str) -> None:
        self.pass_through()
        self.names[cluster.name].pop(node, None)

    def drained(self, cluster: Cluster, at: IPv4Address, node: str) -> bool:
        self.pass_through()
        self.closed.add(node)
        return node not in self.busy

    def admit(self, cluster: Cluster, at: IPv4Address, nodes: Collection[str]) -> None:
        self.pass_through()
        self.closed -= {*nodes}


@dataclass
class MemoryPods:
    """What machines say of their certificates, by the address of their pods."""

    says: dict[IPv4Address, Held] = field(default_factory=dict)

    def held(self, at: IPv4Address) -> Held | None:
        return self.says.get(at)


@dataclass(frozen=True)
class Memory:
    """All doors."""

    authorities: MemoryAuthorities = field(default_factory=MemoryAuthorities)
    network: MemoryNetwork = field(default_factory=MemoryNetwork)
    inside: MemoryInside = field(default_factory=MemoryInside)
    pods: MemoryPods = field(default_factory=MemoryPods)

    def doors(self) -> Doors:
        return Doors(self.authorities, self.network, RoleValues("kubeception.local/etcd:3.4.23"), GIANTNETES)


def store(cluster: str) -> Store:
    """What a cluster is told of the store of networks."""
    selector = {"app.kubernetes.io/name": "network-etcd"}
    return replace(
        Store("network-etcd", IPv4Address("10.97.0.11"), 2379, selector, "the authority of the store\n", "", ""),
        user=f"network-{cluster}",
        password=f"password of {cluster}",
    )
