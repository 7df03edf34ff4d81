"""The entrance in the outer cluster: HAProxy in pods that follow the machines of all inner clusters (agents.edge). Pure.

balancer 10.77.0.2:6443, :80, :443 --PROXY v2--> NodePorts of the workers that have such a pod --> pods of machines
"""

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

from kubeception_sim.agents.edge.config import API_PORT, CLUSTERS, HEALTH_PORT, HTTP_PORT, HTTPS_PORT
from kubeception_sim.giantnetes.cluster import Host
from kubeception_sim.inner.allocation import NAMESPACE
from kubeception_sim.inner.doors import EDGE
from kubeception_sim.network.haproxy import Backend, Health, Service

NAME = "edge"
USER = 64058
PORTS = {"api": (6443, API_PORT, 30643), "http": (80, HTTP_PORT, 30680), "https": (443, HTTPS_PORT, 30681)}
"""By name: where clients connect, where the pod listens, and the node's port between."""
_FOLDER = "/run/edge"
_RBAC = "rbac.authorization.k8s.io"
_META = {"name": NAME, "namespace": NAMESPACE, "labels": EDGE}

Document = dict[str, Any]


def services(hosts: Sequence[Host], address: IPv4Address) -> tuple[Service, ...]:
    """What the balancer before the racks is told. `address` is its own: where clients come, and what nodes see."""
    return tuple(
        Service(
            name,
            address,
            port,
            tuple(Backend(host.name, host.address, node_port) for host in hosts),
            health=Health.TCP,
            source=address,
            tells_client=True,
        )
        for name, (port, _, node_port) in PORTS.items()
    )


def objects(image: str, domain: str, balancer: IPv4Address, replicas: int) -> list[Document]:
    """The objects, in the order in which they are to be applied. Nobody but `balancer` is let in: it alone is believed."""
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _META},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"kubeception:{NAME}"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}],
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"kubeception:{NAME}"},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": f"kubeception:{NAME}"},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
        _service(),
        _policy(balancer),
        _deployment(image, domain, replicas),
    ]


def _service() -> Document:
    ports = [
        {"name": name, "port": port, "targetPort": target, "nodePort": node, "protocol": "TCP"}
        for name, (port, target, node) in PORTS.items()
    ]
    # Local: the pod sees who the balancer is, and a node without a pod is found to be down.
    spec = {"type": "NodePort", "externalTrafficPolicy": "Local", "selector": EDGE, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _META, "spec": spec}


def _policy(balancer: IPv4Address) -> Document:
    ports = [{"protocol": "TCP", "port": target} for _, target, _ in PORTS.values()]
    rule = {"from": [{"ipBlock": {"cidr": f"{balancer}/32"}}], "ports": ports}
    spec = {"podSelector": {"matchLabels": EDGE}, "policyTypes": ["Ingress"], "ingress": [rule]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": _META, "spec": spec}


def _deployment(image: str, domain: str, replicas: int) -> Document:
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": EDGE},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        "template": {"metadata": {"labels": EDGE}, "spec": _pod(image, domain)},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _META, "spec": spec}


def _pod(image: str, domain: str) -> Document:
    apart = {"labelSelector": {"matchLabels": EDGE}, "topologyKey": "kubernetes.io/hostname"}
    return {
        "serviceAccountName": NAME,
        "enableServiceLinks": False,
        "dnsPolicy": "Default",
        "securityContext": identity(USER),
        # Two on one node have one node's life.
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "containers": [
            container(image, (CLUSTERS, f"--domain={domain}"), {name: target for name, (_, target, _) in PORTS.items()})
        ],
        "volumes": [volume()],
    }


def identity(user: int) -> Document:
    """The security context of a pod that needs no privilege."""
    return {
        "runAsUser": user,
        "runAsGroup": user,
        "runAsNonRoot": True,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def volume() -> Document:
    """Where HAProxy's files are: certificates and keys never touch a disk."""
    return {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}


def container(image: str, arguments: tuple[str, ...], ports: dict[str, int]) -> Document:
    """The container of an entrance, outside and inside."""
    probe = {"timeoutSeconds": 5, "periodSeconds": 5}
    return {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "kubeception_sim.agents.edge", *arguments],
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}, {"name": "TMPDIR", "value": _FOLDER}],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()],
        "volumeMounts": [{"name": "run", "mountPath": _FOLDER}],
        "readinessProbe": probe | {"httpGet": {"path": "/readyz", "port": HEALTH_PORT}},
        "livenessProbe": probe
        | {"httpGet": {"path": "/healthz", "port": HEALTH_PORT}, "initialDelaySeconds": 30, "failureThreshold": 6},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "320Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
