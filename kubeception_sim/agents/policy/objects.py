"""Pods, namespaces and policies as values, read from the API's objects.

What cannot be read in a rule (a protocol that is newer than we are) makes that rule allow nothing, and is named in
`Policy.problems`: the pods that the policy selects are isolated all the same. (`NetworkPolicyPeer` in the API's reference asks
the same of a peer with fields that are not known.)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from kubeception_sim.agents.policy.selectors import Labels, Selector

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Object = Mapping[str, Any]

FIRST_PORT, LAST_PORT = 0, 65535
OVER = frozenset({"Succeeded", "Failed"})
"""Phases whose pods have given their addresses back: another pod may have them already."""


class Protocol(StrEnum):
    """Protocols with ports that a policy can name."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


@dataclass(frozen=True)
class NamedPort:
    """A port of a pod that has a name."""

    name: str
    protocol: Protocol
    number: int


@dataclass(frozen=True)
class Pod:
    """A pod on the pods' network that has an address. Those on a node's own network are no pods for policies."""

    namespace: str
    name: str
    labels: Labels
    node: str
    addresses: tuple[Address, ...]
    ports: frozenset[NamedPort] = frozenset()


@dataclass(frozen=True)
class PodPeer:
    """Pods. Without `namespaces`, those of the policy's own namespace."""

    namespaces: Selector | None
    pods: Selector


@dataclass(frozen=True)
class BlockPeer:
    """Addresses: a block without the blocks that are excepted from it."""

    block: Network
    excepted: tuple[Network, ...] = ()


@dataclass(frozen=True)
class PolicyPort:
    """A port of a rule: a number, a range of them (`last` included), a name, or with None every port of the protocol."""

    protocol: Protocol
    port: int | str | None = None
    last: int | None = None


@dataclass(frozen=True)
class PolicyRule:
    """What one rule allows. No peers at all are everyone, no ports at all are everything, portless protocols included."""

    peers: tuple[PodPeer | BlockPeer, ...] | None
    ports: tuple[PolicyPort, ...] | None


@dataclass(frozen=True)
class Policy:
    """A policy. A direction that is None is none of its business; an empty one isolates and allows nothing."""

    namespace: str
    name: str
    pods: Selector
    ingress: tuple[PolicyRule, ...] | None
    egress: tuple[PolicyRule, ...] | None
    problems: tuple[str, ...] = ()


def read_pods(items: Iterable[Object]) -> tuple[Pod, ...]:
    """The pods that policies can be about: on the pods' network, with an address, not over."""
    return tuple(_pod(item) for item in items if _counts(item))


def read_namespaces(items: Iterable[Object]) -> dict[str, Labels]:
    """The labels of each namespace. The API server adds `kubernetes.io/metadata.name` since 1.21; we do for those before."""
    return {
        item["metadata"]["name"]: {"kubernetes.io/metadata.name": item["metadata"]["name"], **_labels(item)} for item in items
    }


def read_policy(item: Object) -> Policy:
    """A policy. Raises KeyError or ValueError when it cannot be said which pods it selects."""
    spec, metadata = item["spec"], item["metadata"]
    # The API server fills in the types; its rule is repeated for what was stored before it did.
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    problems: list[str] = []
    ingress = _rules(spec.get("ingress"), "from", problems) if "Ingress" in types else None
    egress = _rules(spec.get("egress"), "to", problems) if "Egress" in types else None
    pods = Selector.read(spec.get("podSelector") or {})
    return Policy(metadata["namespace"], metadata["name"], pods, ingress, egress, tuple(problems))


def _rules(rules: Iterable[Object] | None, peers: str, problems: list[str]) -> tuple[PolicyRule, ...]:
    read = []
    for number, rule in enumerate(rules or ()):
        try:
            read.append(_rule(rule, peers))
        except (KeyError, ValueError) as error:
            problems.append(f"rule {number} ({peers}) allows nothing: {error}")
    return tuple(read)


def _rule(rule: Object, peers: str) -> PolicyRule:
    return PolicyRule(
        tuple(_peer(peer) for peer in rule[peers]) if rule.get(peers) else None,
        tuple(_port(port) for port in rule["ports"]) if rule.get("ports") else None,
    )


def _peer(peer: Object) -> PodPeer | BlockPeer:
    block, namespaces, pods = peer.get("ipBlock"), peer.get("namespaceSelector"), peer.get("podSelector")
    if block is not None:
        # Old API servers took an address with bits behind the mask; they meant the network.
        return BlockPeer(
            ip_network(block["cidr"], strict=False),
            tuple(ip_network(each, strict=False) for each in block.get("except") or ()),
        )
    if namespaces is None and pods is None:
        raise ValueError(f"a peer of a kind that is not known: {', '.join(peer) or 'empty'}")
    return PodPeer(None if namespaces is None else Selector.read(namespaces), Selector.read(pods or {}))


def _port(port: Object) -> PolicyPort:
    return PolicyPort(Protocol(port.get("protocol") or Protocol.TCP), port.get("port"), port.get("endPort"))


def _counts(item: Object) -> bool:
    status = item.get("status") or {}
    return not item["spec"].get("hostNetwork") and bool(status.get("podIP")) and status.get("phase") not in OVER


def _pod(item: Object) -> Pod:
    metadata, spec, status = item["metadata"], item["spec"], item["status"]
    addresses = [entry["ip"] for entry in status.get("podIPs") or ()] or [status["podIP"]]
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        labels=_labels(item),
        node=spec.get("nodeName") or "",
        addresses=tuple(ip_address(address) for address in addresses),
        ports=frozenset(
            NamedPort(port["name"], Protocol(port.get("protocol") or Protocol.TCP), port["containerPort"])
            for container in spec.get("containers") or ()
            for port in container.get("ports") or ()
            if port.get("name")
        ),
    )


def _labels(item: Object) -> Labels:
    return dict(item["metadata"].get("labels") or {})
