"""Who may speak with the pods of a cluster: nobody, but for what is named here. Pure.

A policy is about pods, not about their containers: what an init container needs, the machine's pod may always. What the guest
itself can reach is the business of the rules inside the pod (`kubeception_sim.agents.bridge`); these are the second wall.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit

from kubeception_sim.errors import BadInput
from kubeception_sim.inner.allocation import NAMESPACE
from kubeception_sim.inner.doors import Facts
from kubeception_sim.inner.resource import Cluster, Role
from kubeception_sim.inner.wanted_pod import API_PORT, INGRESS_PORT, VM_PORT, VXLAN_PORT

_NAME_LABEL = "kubernetes.io/metadata.name"
CONTROLLER = {"app.kubernetes.io/name": "kubeception-controller"}
"""The labels of the controller's pod, in `NAMESPACE`: it applies add-ons, and asks for nodes and certificates."""
_HTTP = 80


def policies(cluster: Cluster, facts: Facts, *, role_label: str) -> dict[str, dict[str, Any]]:
    """The specs by their names."""
    entrance = [_pods(NAMESPACE, facts.giantnetes.entrance)]
    controller = [_pods(NAMESPACE, CONTROLLER)]
    return {
        "nothing": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        "machines": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}], "ports": [_port("UDP", VXLAN_PORT)]}],
            "egress": [{"to": [{"podSelector": {}}], "ports": [_port("UDP", VXLAN_PORT)]}, *_steps(cluster, facts)],
        },
        "api": _open(role_label, Role.MASTER, [*entrance, *controller], API_PORT),
        "ingress": _open(role_label, Role.WORKER, entrance, INGRESS_PORT),
        # Of each machine it asks which certificates it has.
        "certificates": {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": controller, "ports": [_port("TCP", VM_PORT)]}],
        },
    }


def _open(role_label: str, role: Role, sources: list[dict[str, Any]], port: int) -> dict[str, Any]:
    return {
        "podSelector": {"matchLabels": {role_label: str(role)}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": sources, "ports": [_port("TCP", port)]}],
    }


def _steps(cluster: Cluster, facts: Facts) -> list[dict[str, Any]]:
    """What the steps before a machine ask: images, the store of the network, certificates."""
    image = urlsplit(facts.giantnetes.guest(cluster).url)
    return [
        _to_address(literal(image.hostname or "", image.geturl()), image.port or _HTTP),
        _to_address(facts.issuer.address, facts.issuer.port),
        {"to": [_pods(NAMESPACE, facts.store.selector)], "ports": [_port("TCP", facts.store.port)]},
    ]


def literal(host: str, url: str) -> IPv4Address:
    """The address in a URL: a policy knows no names. Raises BadInput for one without."""
    try:
        return IPv4Address(host)
    except ValueError as error:
        raise BadInput(f"{url}: {error}", hint="machines' pods ask no DNS: give the image server by its address") from error


def _to_address(address: IPv4Address, port: int) -> dict[str, Any]:
    return {"to": [{"ipBlock": {"cidr": f"{address}/32"}}], "ports": [_port("TCP", port)]}


def _pods(namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
    selector = {"matchLabels": {_NAME_LABEL: namespace}}
    return {"namespaceSelector": selector, "podSelector": {"matchLabels": dict(labels)}}


def _port(protocol: str, port: int) -> dict[str, Any]:
    return {"protocol": protocol, "port": port}
