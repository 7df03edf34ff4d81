"""What a host of the outer cluster does with each of its certificates: where it lies, and who reads it there. Pure.

A static pod has its certificates mounted file by file. A file that is replaced as a whole is a new one, which a running container
does not see, and one that is written over holds for a moment a certificate that is not its key's. So pods start again. kube-proxy
mounts a folder and the kubelet is no pod: both read their certificates anew by themselves, every five minutes
(Kubernetes, client-go/transport/cert_rotation.go).

The pair for service accounts is no certificate and is not among them: every token in the cluster is signed with it.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath

from kubeception_sim.giantnetes.cluster import Cluster
from kubeception_sim.giantnetes.components import ADMINISTRATOR, administrator, of_host
from kubeception_sim.giantnetes.values import Pair
from kubeception_sim.pki.rotation import Held

USERS: Mapping[str, tuple[str, ...]] = {
    # In the order of restarts: the API server wants etcd, and the others want the API server.
    "etcd_server": ("etcd",),
    "etcd_peer": ("etcd",),
    "apiserver": ("kube-apiserver",),
    "apiserver_etcd_client": ("kube-apiserver",),
    "apiserver_kubelet_client": ("kube-apiserver",),
    "front_proxy_client": ("kube-apiserver",),
    "controller_manager": ("kube-controller-manager",),
    "scheduler": ("kube-scheduler",),
    "etcd_client": (),
    "kubelet": (),
    "kube_proxy": (),
    "admin": (),
}
"""The static pods that must start again for a new certificate, by its name in mayu's role templates."""

_PKI = PurePosixPath("/etc/kubernetes/pki")
_ELSEWHERE = {
    "etcd_server": _PKI / "etcd/server",
    "etcd_peer": _PKI / "etcd/peer",
    "etcd_client": _PKI / "etcd/healthcheck-client",
    "kube_proxy": PurePosixPath("/etc/kubernetes/kube-proxy/client"),
}


def files(name: str) -> tuple[PurePosixPath, PurePosixPath]:
    """Where a host has a certificate and its key; as kubeadm calls them, where kubeadm has them."""
    stem = _ELSEWHERE.get(name, _PKI / name.replace("_", "-"))
    return stem.with_suffix(".crt"), stem.with_suffix(".key")


def held(cluster: Cluster, hosts: Mapping[str, Mapping[str, Pair]], administrators: str) -> tuple[Held, ...]:
    """All certificates of a cluster: each host's by name, and the administrator's (PEM), which is the last."""
    own = (
        Held(host.name, name, request, hosts[host.name][name].cert)
        for host in cluster.hosts
        for name, request in of_host(cluster, host).items()
    )
    return (*own, Held(ADMINISTRATOR, "admin", administrator(), administrators))
