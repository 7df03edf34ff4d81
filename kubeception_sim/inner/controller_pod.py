"""The controller's pod, and what it may do in the outer API. Pure."""

from typing import Any

from kubeception_sim.inner import schema
from kubeception_sim.inner.allocation import NAMESPACE
from kubeception_sim.inner.wanted_policies import CONTROLLER

NAME = "kubeception-controller"
PORT = 9082
USER = 64057
"""Of the controller, which needs no privilege."""
_FOLDER = "/run/controller"
_ALL = ["get", "list", "watch", "create", "update", "patch", "delete"]
_RBAC = "rbac.authorization.k8s.io"

Document = dict[str, Any]

RULES: tuple[Document, ...] = (
    {"apiGroups": [schema.GROUP], "resources": [schema.PLURAL], "verbs": ["get", "list", "watch", "patch"]},
    {
        "apiGroups": [schema.GROUP],
        "resources": [f"{schema.PLURAL}/status", f"{schema.PLURAL}/finalizers"],
        "verbs": ["get", "patch", "update"],
    },
    # kopf asks which resources there are before it watches any.
    {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": _ALL},
    {"apiGroups": [""], "resources": ["namespaces", "configmaps", "secrets", "services", "serviceaccounts"], "verbs": _ALL},
    # Pods it makes are those that remove disks; one that is told something looks for its new token at once. It reads nodes, to
    # choose where a disk is to be.
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete", "patch"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": _ALL},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": _ALL},
)
"""Namespaces of clusters come and go, and no rule can name them by a pattern: so these are everywhere."""


def rights() -> list[Document]:
    """Its account, and what this may do."""
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    role = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": NAME}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAMESPACE}},
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": NAME}, "rules": list(RULES)},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": role,
            "subjects": [subject],
        },
    ]


def deployment(image: str, revision: str) -> Document:
    """One controller; another `revision` of what it is told starts another."""
    template = {"metadata": {"labels": CONTROLLER, "annotations": {"kubeception.io/settings": revision}}, "spec": _pod(image)}
    spec = {
        "replicas": 1,
        # Two at once do no harm, and are of no use.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": CONTROLLER},
        "template": template,
    }
    metadata = {"name": NAME, "namespace": NAMESPACE, "labels": CONTROLLER}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _pod(image: str) -> Document:
    probe = {"timeoutSeconds": 5, "periodSeconds": 5}
    container = {
        "name": "controller",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "kubeception_sim.inner.controller"],
        "ports": [{"name": "health", "containerPort": PORT, "protocol": "TCP"}],
        "volumeMounts": [
            {"name": "settings", "mountPath": _FOLDER, "readOnly": True},
            # OpenSSL takes an administrator's key from a file only.
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        "readinessProbe": probe | {"httpGet": {"path": "/readyz", "port": PORT}},
        "livenessProbe": probe
        | {"httpGet": {"path": "/healthz", "port": PORT}, "initialDelaySeconds": 30, "failureThreshold": 6},
        "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    return {
        "serviceAccountName": NAME,
        "enableServiceLinks": False,
        # It asks for nothing by name.
        "dnsPolicy": "Default",
        "securityContext": {
            "runAsUser": USER,
            "runAsGroup": USER,
            "runAsNonRoot": True,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "settings", "secret": {"secretName": NAME, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        ],
    }
