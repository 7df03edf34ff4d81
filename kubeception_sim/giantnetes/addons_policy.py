"""NetworkPolicy as an add-on: the objects of `kubeception_sim.agents.policy`. Pure."""

from typing import Any

NAME = "network-policy"
NAMESPACE = "kube-system"
LABELS = {"k8s-app": NAME}
# On the node's loopback, where it must not meet the ports of Kubernetes: 10248 to 10259.
HEALTH_PORT = 9797
_META = {"name": NAME, "namespace": NAMESPACE, "labels": LABELS}
_CLUSTER_META = {"name": f"kubeception:{NAME}", "labels": LABELS}


def manifests(image: str) -> list[dict[str, Any]]:
    """The objects, in the order in which they are to be applied. `image` holds Python, this package, and nft."""
    return [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _META}, _role(), _binding(), _daemon_set(image)]


def _role() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": _CLUSTER_META,
        "rules": [
            {"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": ["list", "watch"]},
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list", "watch"]},
        ],
    }


def _binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": _CLUSTER_META,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _CLUSTER_META["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    }


def _daemon_set(image: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": _META,
        "spec": {
            "selector": {"matchLabels": LABELS},
            # The rules stay while the program is replaced, so nothing is open meanwhile.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}},
            "template": {"metadata": {"labels": LABELS}, "spec": _pod(image)},
        },
    }


def _pod(image: str) -> dict[str, Any]:
    return {
        "serviceAccountName": NAME,
        "priorityClassName": "system-node-critical",
        "hostNetwork": True,
        # Whatever a node is tainted with, its pods have policies.
        "tolerations": [{"operator": "Exists"}],
        "containers": [_container(image)],
    }


def _container(image: str) -> dict[str, Any]:
    return {
        "name": "policy",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "kubeception_sim.agents.policy", f"--health={HEALTH_PORT}"],
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
        "readinessProbe": {"httpGet": _page("/readyz"), "periodSeconds": 2, "timeoutSeconds": 5},
        "livenessProbe": {"httpGet": _page("/healthz"), "initialDelaySeconds": 30, "timeoutSeconds": 5, "failureThreshold": 5},
        "resources": {"requests": {"cpu": "20m", "memory": "60Mi"}, "limits": {"memory": "300Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            # Capabilities that are added reach root's programs only; it has no other.
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            "readOnlyRootFilesystem": True,
            "runAsUser": 0,
        },
    }


def _page(path: str) -> dict[str, Any]:
    return {"host": "127.0.0.1", "path": path, "port": HEALTH_PORT, "scheme": "HTTP"}
