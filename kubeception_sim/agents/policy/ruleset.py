"""Which traffic of a node's pods is allowed: policies, namespaces and pods of the cluster in, one value out. Pure.

Meaning, after the reference of `networking.k8s.io/v1`: a pod is isolated in a direction as soon as one policy of its namespace
selects it for that direction; it may then do what the union of those policies allows. A connection needs the egress of its
source and the ingress of its destination. Answers on an allowed connection are allowed, as is what a pod says to itself, and what
its own node says to it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from kubeception_sim.agents.policy.objects import (
    FIRST_PORT,
    LAST_PORT,
    Address,
    BlockPeer,
    Network,
    Pod,
    PodPeer,
    Policy,
    PolicyPort,
    PolicyRule,
    Protocol,
)
from kubeception_sim.agents.policy.selectors import Labels, Selector

Networks = frozenset[Network]


@dataclass(frozen=True, order=True)
class Ports:
    """A range of ports of a protocol, both ends included."""

    protocol: Protocol
    first: int = FIRST_PORT
    last: int = LAST_PORT


@dataclass(frozen=True)
class Allow:
    """Peers at these networks (None: anywhere), to these ports (None: everything, also protocols without ports)."""

    networks: Networks | None
    ports: frozenset[Ports] | None


@dataclass(frozen=True)
class Endpoint:
    """One port of one pod."""

    address: Address
    protocol: Protocol
    port: int


@dataclass(frozen=True)
class Reach:
    """Egress to a port by its name: each pod may have another number under that name."""

    endpoints: frozenset[Endpoint]


Gate = frozenset[Allow | Reach]
"""What an isolated pod may do in one direction: the union. An empty gate is shut."""
OPEN = Allow(None, None)


@dataclass(frozen=True)
class Ruleset:
    """The gates of this node's isolated pods, by address. What is in neither mapping is not isolated."""

    ingress: Mapping[Address, Gate] = field(default_factory=dict)
    egress: Mapping[Address, Gate] = field(default_factory=dict)

    @cached_property
    def isolated(self) -> frozenset[Address]:
        """All addresses with a gate."""
        return frozenset({*self.ingress, *self.egress})


def translate(policies: Sequence[Policy], namespaces: Mapping[str, Labels], pods: Sequence[Pod], node: str) -> Ruleset:
    """The ruleset of `node`. Pods of namespaces that are not known (yet) have labels for pod selectors only."""
    cluster = _Cluster(namespaces, pods)
    ingress: dict[Address, Gate] = {}
    egress: dict[Address, Gate] = {}
    for pod in (pod for pod in pods if pod.node == node):
        selecting = [policy for policy in policies if policy.namespace == pod.namespace and policy.pods.matches(pod.labels)]
        inward = [policy for policy in selecting if policy.ingress is not None]
        outward = [policy for policy in selecting if policy.egress is not None]
        if inward:
            gate = _gate(cluster.ingress(policy.namespace, rule, pod) for policy in inward for rule in policy.ingress or ())
            ingress |= dict.fromkeys(pod.addresses, gate)
        if outward:
            gate = _gate(cluster.egress(policy.namespace, rule) for policy in outward for rule in policy.egress or ())
            egress |= dict.fromkeys(pod.addresses, gate)
    return Ruleset(ingress, egress)


def _gate(entries: Iterable[Iterable[Allow | Reach]]) -> Gate:
    gate = frozenset(entry for of_rule in entries for entry in of_rule)
    return frozenset([OPEN]) if OPEN in gate else gate


class _Cluster:
    """Pods and namespaces, and what each rule means in them, worked out once however many pods share the rule."""

    def __init__(self, namespaces: Mapping[str, Labels], pods: Sequence[Pod]) -> None:
        self._namespaces = namespaces
        self._pods: dict[str, list[Pod]] = {}
        for pod in pods:
            self._pods.setdefault(pod.namespace, []).append(pod)
        self._whole = {address: ip_network(address) for pod in pods for address in pod.addresses}
        self._selected: dict[tuple[Selector | str, Selector], tuple[Pod, ...]] = {}
        self._peers: dict[tuple[str, tuple[PodPeer | BlockPeer, ...]], Networks] = {}
        self._outward: dict[tuple[str, PolicyRule], tuple[Allow | Reach, ...]] = {}

    def ingress(self, namespace: str, rule: PolicyRule, pod: Pod) -> tuple[Allow | Reach, ...]:
        """A rule of a policy of `namespace` for what comes to `pod`: the names of ports are those of that pod."""
        return self._allow(namespace, rule, lambda port: _own_ports(port, pod))

    def egress(self, namespace: str, rule: PolicyRule) -> tuple[Allow | Reach, ...]:
        """A rule for what goes out: the names of ports are those of the pods that are spoken to."""
        key = (namespace, rule)
        if key not in self._outward:
            named = [port for port in rule.ports or () if isinstance(port.port, str)]
            reach = Reach(frozenset(self._endpoints(namespace, rule, named)))
            self._outward[key] = (*self._allow(namespace, rule, lambda port: ()), *([reach] if reach.endpoints else []))
        return self._outward[key]

    def _allow(self, namespace: str, rule: PolicyRule, named: Callable[[PolicyPort], Iterable[Ports]]) -> tuple[Allow, ...]:
        networks = None if rule.peers is None else self._networks(namespace, rule.peers)
        ports = None if rule.ports is None else frozenset(_merged(each for port in rule.ports for each in _ports(port, named)))
        # Nobody, or nothing: left out, so that gates which mean the same are the same.
        return () if networks == frozenset() or ports == frozenset() else (Allow(networks, ports),)

    def _networks(self, namespace: str, peers: tuple[PodPeer | BlockPeer, ...]) -> Networks:
        key = (namespace, peers)
        if key not in self._peers:
            blocks = _collapsed(
                part for peer in peers if isinstance(peer, BlockPeer) for part in _without(peer.block, peer.excepted)
            )
            selected = (pod for peer in peers if isinstance(peer, PodPeer) for pod in self._select(namespace, peer))
            # Of intervals that overlap the kernel takes none, so an address within a block goes without saying.
            alone = (each for pod in selected for each in pod.addresses if not any(each in block for block in blocks))
            self._peers[key] = blocks.union(self._whole[each] for each in alone)
        return self._peers[key]

    def _select(self, namespace: str, peer: PodPeer) -> tuple[Pod, ...]:
        key = (namespace if peer.namespaces is None else peer.namespaces, peer.pods)
        if key not in self._selected:
            places = [namespace] if peer.namespaces is None else self._matching(peer.namespaces)
            chosen = (pod for place in places for pod in self._pods.get(place, ()) if peer.pods.matches(pod.labels))
            self._selected[key] = tuple(chosen)
        return self._selected[key]

    def _matching(self, namespaces: Selector) -> list[str]:
        return [name for name, labels in self._namespaces.items() if namespaces.matches(labels)]

    def _endpoints(self, namespace: str, rule: PolicyRule, named: Sequence[PolicyPort]) -> Iterable[Endpoint]:
        wanted = {(port.port, port.protocol) for port in named}
        for pod, address in self._spoken_to(namespace, rule.peers) if wanted else ():
            for port in pod.ports:
                if (port.name, port.protocol) in wanted:
                    yield Endpoint(address, port.protocol, port.number)

    def _spoken_to(self, namespace: str, peers: tuple[PodPeer | BlockPeer, ...] | None) -> Iterable[tuple[Pod, Address]]:
        everyone = [(pod, address) for pods in self._pods.values() for pod in pods for address in pod.addresses]
        if peers is None:
            yield from everyone
        for peer in peers or ():
            match peer:
                case PodPeer():
                    yield from ((pod, address) for pod in self._select(namespace, peer) for address in pod.addresses)
                case BlockPeer():
                    parts = _without(peer.block, peer.excepted)
                    yield from ((pod, address) for pod, address in everyone if any(address in part for part in parts))


def _own_ports(port: PolicyPort, pod: Pod) -> Iterable[Ports]:
    return (
        Ports(own.protocol, own.number, own.number)
        for own in pod.ports
        if own.name == port.port and own.protocol is port.protocol
    )


def _ports(port: PolicyPort, named: Callable[[PolicyPort], Iterable[Ports]]) -> Iterable[Ports]:
    match port.port:
        case None:
            return (Ports(port.protocol),)
        case int(number):
            return (Ports(port.protocol, number, number if port.last is None else port.last),)
        case str():
            return named(port)


def _merged(ports: Iterable[Ports]) -> list[Ports]:
    """The same ports in ranges that neither overlap nor touch: the kernel's intervals must not."""
    merged: list[Ports] = []
    for each in sorted(ports):
        before = merged[-1] if merged else None
        if before and before.protocol is each.protocol and each.first <= before.last + 1:
            merged[-1] = Ports(each.protocol, before.first, max(before.last, each.last))
        else:
            merged.append(each)
    return merged


def _without(block: Network, excepted: Iterable[Network]) -> list[Network]:
    left: list[Network] = [block]
    for hole in excepted:
        left = [rest for network in left for rest in _cut(network, hole)]
    return left


def _cut(network: Network, hole: Network) -> Iterable[Network]:
    # Of two networks that overlap, one holds the other.
    if not network.overlaps(hole):
        return (network,)
    if network.prefixlen >= hole.prefixlen:
        return ()
    if isinstance(network, IPv4Network) and isinstance(hole, IPv4Network):
        return network.address_exclude(hole)
    assert isinstance(network, IPv6Network), "networks of two families do not overlap"
    assert isinstance(hole, IPv6Network), "networks of two families do not overlap"
    return network.address_exclude(hole)


def _collapsed(networks: Iterable[Network]) -> Networks:
    found = list(networks)
    return frozenset(
        [
            *collapse_addresses(each for each in found if isinstance(each, IPv4Network)),
            *collapse_addresses(each for each in found if isinstance(each, IPv6Network)),
        ]
    )
