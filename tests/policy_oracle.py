"""NetworkPolicy straight from the reference of networking.k8s.io/v1, one packet at a time, over the API's own objects.

Nothing here is shared with the agent: this is what it is compared with.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Cluster:
    """The API's objects."""

    policies: tuple[Object, ...]
    namespaces: tuple[Object, ...]
    pods: tuple[Object, ...]

    def having(self, *policies: Object) -> "Cluster":
        """The same with these policies."""
        return replace(self, policies=policies)

    def allowed(self, source: str, target: str, protocol: str, port: int) -> bool:
        """Whether a connection may be opened between two addresses. Protocol `ICMP` has no ports."""
        if source == target:
            return True
        out = self._direction("Egress", self._pod(source), target, self._pod(target), protocol, port)
        return out and self._direction("Ingress", self._pod(target), source, self._pod(target), protocol, port)

    def _pod(self, address: str) -> Object | None:
        """The pod at an address: neither one on a node's network, nor one that is over."""
        for pod in self.pods:
            status = pod.get("status", {})
            addresses = {status.get("podIP"), *(entry["ip"] for entry in status.get("podIPs", ()))}
            is_over = status.get("phase") in ("Succeeded", "Failed")
            if address in addresses and not is_over and not pod["spec"].get("hostNetwork"):
                return pod
        return None

    def _direction(self, way: str, own: Object | None, other: str, target: Object | None, protocol: str, port: int) -> bool:
        """`own` is the pod that is isolated or not; `target` the one whose ports have names, whatever the way."""
        if own is None:
            return True
        isolating = [each for each in self.policies if way in _types(each) and _selects(each, own)]
        if not isolating:
            return True
        key, peers = ("egress", "to") if way == "Egress" else ("ingress", "from")
        return any(
            self._peers(policy, rule.get(peers), other) and _ports(rule.get("ports"), target, protocol, port)
            for policy in isolating
            for rule in policy["spec"].get(key) or ()
        )

    def _peers(self, policy: Object, peers: Iterable[Object] | None, address: str) -> bool:
        """`from`, `to`: "If this field is empty or missing, this rule matches all"."""
        return not peers or any(self._peer(policy, peer, address) for peer in peers)

    def _peer(self, policy: Object, peer: Object, address: str) -> bool:
        if "ipBlock" in peer:
            block, each = peer["ipBlock"], ip_address(address)
            return each in ip_network(block["cidr"]) and not any(each in ip_network(hole) for hole in block.get("except", ()))
        pod = self._pod(address)
        if pod is None:
            return False
        home = pod["metadata"]["namespace"]
        if "namespaceSelector" not in peer:
            return bool(home == policy["metadata"]["namespace"]) and _matches(peer["podSelector"], _labels(pod))
        space = next((each for each in self.namespaces if each["metadata"]["name"] == home), None)
        return (
            space is not None
            and _matches(peer["namespaceSelector"], _labels(space))
            and ("podSelector" not in peer or _matches(peer["podSelector"], _labels(pod)))
        )


def _types(policy: Object) -> list[str]:
    """`policyTypes`: "defaults to Ingress, and to Egress where there are egress rules"."""
    spec = policy["spec"]
    return list(spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]))


def _selects(policy: Object, pod: Object) -> bool:
    return bool(policy["metadata"]["namespace"] == pod["metadata"]["namespace"]) and _matches(
        policy["spec"]["podSelector"], _labels(pod)
    )


def _ports(ports: Iterable[Object] | None, target: Object | None, protocol: str, number: int) -> bool:
    """`ports`: "If this field is empty or missing, this rule matches all traffic (traffic not restricted by port)"."""
    return not ports or any(_port(port, target, protocol, number) for port in ports)


def _port(port: Object, target: Object | None, protocol: str, number: int) -> bool:
    if port.get("protocol", "TCP") != protocol:
        return False
    match port.get("port"):
        case None:
            return True
        case str(name):
            containers = target["spec"]["containers"] if target else ()
            return any(
                own.get("name") == name and own.get("protocol", "TCP") == protocol and own["containerPort"] == number
                for container in containers
                for own in container.get("ports", ())
            )
        case first:
            return bool(first <= number <= port.get("endPort", first))


def _matches(selector: Object, labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for each in selector.get("matchExpressions", ()):
        value = labels.get(each["key"])
        holds = {
            "In": value in each.get("values", ()),
            "NotIn": value not in each.get("values", ()),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds[each["operator"]]:
            return False
    return True


def _labels(item: Object) -> dict[str, str]:
    name = {"kubernetes.io/metadata.name": item["metadata"]["name"]} if "namespace" not in item["metadata"] else {}
    return {**name, **item["metadata"].get("labels", {})}
