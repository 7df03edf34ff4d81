"""The last level of the entrance, inside an inner cluster: HAProxy on its workers that follows Ingresses (agents.edge). Pure."""

from typing import Any

from kubeception_sim.agents.edge.config import INGRESSES
from kubeception_sim.agents.edge.ingress import CLASS, PORT
from kubeception_sim.inner.edge import container, identity, volume
from kubeception_sim.inner.wanted_pod import INGRESS_PORT

NAME, NAMESPACE = "ingress", "kube-system"
USER = 64058
_LABELS = {"k8s-app": NAME}
_META = {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS}
_CLUSTER_META = {"name": f"kubeception:{NAME}"}
_RBAC = "rbac.authorization.k8s.io"

Document = dict[str, Any]


def objects(image: str) -> list[Document]:
    """The objects, in the order in which they are to be applied. It reads the cluster's TLS secrets, as entrances must."""
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": CLASS},
            "spec": {"controller": "kubeception.io/ingress"},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _META},
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": _CLUSTER_META, "rules": _rules()},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": _CLUSTER_META,
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": _CLUSTER_META["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
        _service(),
        _daemon_set(image),
    ]


def _rules() -> list[Document]:
    verbs = ["list", "watch"]
    return [
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": verbs},
        {"apiGroups": [""], "resources": ["services", "endpoints", "secrets"], "verbs": verbs},
    ]


def _service() -> Document:
    # Local: who comes to a machine is answered on it, and a machine without an answer is found to be down.
    port = {"name": "entry", "port": 80, "targetPort": PORT, "nodePort": INGRESS_PORT, "protocol": "TCP"}
    spec = {"type": "NodePort", "externalTrafficPolicy": "Local", "selector": _LABELS, "ports": [port]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _META, "spec": spec}


def _daemon_set(image: str) -> Document:
    pod = {
        "serviceAccountName": NAME,
        "enableServiceLinks": False,
        "priorityClassName": "system-node-critical",
        "securityContext": identity(USER),
        "containers": [container(image, (INGRESSES,), {"entry": PORT})],
        "volumes": [volume()],
    }
    spec = {"selector": {"matchLabels": _LABELS}, "template": {"metadata": {"labels": _LABELS}, "spec": pod}}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": _META, "spec": spec}
