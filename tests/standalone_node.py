"""What a node image is told in tests: a kubelet without an API server, and one pod in its manifests folder."""

import json
from typing import Any
from urllib.parse import quote

# What every node image holds, whatever the version of the rest.
IMAGES = frozenset({"kubeception.local/pause:3.2", "kubeception.local/tools:1"})
_POD = """\
apiVersion: v1
kind: Pod
metadata: {name: still, namespace: default}
spec:
  containers:
    - {name: still, image: "kubeception.local/pause:3.2", imagePullPolicy: IfNotPresent}
"""
_KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: systemd
staticPodPath: /etc/kubernetes/manifests
"""
_UNIT = """\
[Unit]
Wants=network-online.target
After=network-online.target containerd.service
[Service]
# The kubelet asks the metadata services of clouds, and would wait for none to answer.
ExecStartPre=/sbin/ip route replace unreachable 169.254.169.254
ExecStart=/usr/bin/kubelet --config=/etc/kubernetes/kubelet.yaml --container-runtime=remote \
  --container-runtime-endpoint=unix:///run/containerd/containerd.sock
[Install]
WantedBy=multi-user.target
"""
_CNI = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": False,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.60.1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def files() -> list[dict[str, Any]]:
    """For `storage.files` of an Ignition config."""
    contents = {
        "/etc/kubernetes/manifests/still.yaml": _POD,
        "/etc/kubernetes/kubelet.yaml": _KUBELET,
        "/etc/cni/net.d/10-pods.conflist": json.dumps(_CNI),
        "/etc/modules-load.d/kubernetes.conf": "br_netfilter\noverlay\n",
        "/etc/sysctl.d/90-kubernetes.conf": "net.ipv4.ip_forward=1\nnet.bridge.bridge-nf-call-iptables=1\n",
    }
    return [{"path": path, "contents": {"source": f"data:,{quote(text)}"}} for path, text in contents.items()]


def units() -> list[dict[str, Any]]:
    """For `systemd.units`."""
    return [
        {"name": "kubelet.service", "enabled": True, "contents": _UNIT},
        {"name": "bird.service", "enabled": True},
    ]
