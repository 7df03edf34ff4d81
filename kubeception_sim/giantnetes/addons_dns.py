"""Cluster DNS as an add-on: the objects of `kubeception_sim.agents.dns`. Pure."""

from ipaddress import IPv4Address
from typing import Any

from kubeception_sim.model.kubernetes import NEWEST, Kind, Version, api_version, control_plane_taints

NAME = "kube-dns"
NAMESPACE = "kube-system"
LABELS = {"k8s-app": NAME}
HEALTH_PORT = 8080
# Not 53: so the program needs neither root nor a capability. Clients see the service, and that has 53.
PORT = 5353
USER = 65534
_META = {"name": NAME, "namespace": NAMESPACE, "labels": LABELS}


def manifests(image: str, cluster_ip: IPv4Address, domain: str, replicas: int, version: Version = NEWEST) -> list[dict[str, Any]]:
    """The objects, in the order in which they are to be applied. `version` is the API server's."""
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _META},
        _role(),
        _binding(),
        _service(cluster_ip),
        _deployment(image, domain, replicas, version),
        {
            "apiVersion": api_version(Kind.POD_DISRUPTION_BUDGET, version),
            "kind": "PodDisruptionBudget",
            "metadata": _META,
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}},
        },
    ]


def _role() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"kubeception:{NAME}", "labels": LABELS},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    }


def _binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"kubeception:{NAME}", "labels": LABELS},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"kubeception:{NAME}"},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    }


def _service(cluster_ip: IPv4Address) -> dict[str, Any]:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": PORT},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": PORT},
    ]
    spec = {"clusterIP": str(cluster_ip), "ports": ports, "selector": LABELS, "type": "ClusterIP"}
    labels = LABELS | {"kubernetes.io/cluster-service": "true", "kubernetes.io/name": "KubeDNS"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _META | {"labels": labels}, "spec": spec}


def _deployment(image: str, domain: str, replicas: int, version: Version) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _META,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}},
            "template": {"metadata": {"labels": LABELS}, "spec": _pod(image, domain, version)},
        },
    }


def _pod(image: str, domain: str, version: Version) -> dict[str, Any]:
    return {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        # The node's resolv.conf: this pod is what the others' points to.
        "dnsPolicy": "Default",
        # Who may read the token of the service account.
        "securityContext": {"fsGroup": USER},
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_apart()]}},
        "tolerations": [
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            *({"key": taint, "operator": "Exists", "effect": "NoSchedule"} for taint in control_plane_taints(version)),
            # From a node that is gone, sooner than after the 300 s that are usual: each lost replica is every second question.
            *(
                {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}
                for state in ("not-ready", "unreachable")
            ),
        ],
        "containers": [_container(image, domain)],
    }


def _apart() -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": LABELS}, "topologyKey": "kubernetes.io/hostname"}
    return {"weight": 100, "podAffinityTerm": term}


def _container(image: str, domain: str) -> dict[str, Any]:
    return {
        "name": "dns",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "python3",
            "-m",
            "kubeception_sim.agents.dns",
            f"--domain={domain}",
            f"--port={PORT}",
            f"--health={HEALTH_PORT}",
        ],
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "ports": [
            {"name": "dns", "containerPort": PORT, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": PORT, "protocol": "TCP"},
            {"name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": HEALTH_PORT}, "periodSeconds": 2, "timeoutSeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": HEALTH_PORT},
            "initialDelaySeconds": 30,
            "timeoutSeconds": 5,
            "failureThreshold": 5,
        },
        "resources": {"requests": {"cpu": "50m", "memory": "70Mi"}, "limits": {"memory": "300Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": USER,
        },
    }
