"""What a host of the outer cluster does with each of its certificates: where it lies, who reads it there, and in which order
all of that becomes new. Pure; turning.py does it.

A static pod has its certificates mounted file by file. A file that is replaced as a whole is a new one, which a running container
does not see, and one that is written over holds for a moment a certificate that is not its key's. So pods start again. kube-proxy
mounts a folder and reads its certificate anew by itself, every five minutes (Kubernetes, client-go/transport/cert_rotation.go).
A kubelet that may rotate its certificate itself reads the file when it starts, and not again.

The pair for service accounts is no certificate and is not among them: every token in the cluster is signed with it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from kubeception_sim.giantnetes.cluster import API_PORT, Cluster
from kubeception_sim.giantnetes.components import ADMINISTRATOR, administrator, of_host
from kubeception_sim.giantnetes.values import Pair
from kubeception_sim.pki.rotation import Held, Turn

KUBELET, ETCD, API_SERVER = "kubelet", "etcd", "kube-apiserver"

USERS: Mapping[str, tuple[str, ...]] = {
    # In the order of restarts: the API server wants etcd, and the others want the API server. A kubelet that is new asks the API
    # server before it cares for any pod, and would keep etcd waiting for half a minute, so it is the last.
    "etcd_server": (ETCD,),
    "etcd_peer": (ETCD,),
    "apiserver": (API_SERVER,),
    "apiserver_etcd_client": (API_SERVER,),
    "apiserver_kubelet_client": (API_SERVER,),
    "front_proxy_client": (API_SERVER,),
    "controller_manager": ("kube-controller-manager",),
    "scheduler": ("kube-scheduler",),
    "kubelet": (KUBELET,),
    "etcd_client": (),
    "kube_proxy": (),
    "admin": (),
}
"""What must start again for a new certificate, by its name in mayu's role templates: static pods, and the kubelet."""

HEALTH: Mapping[str, str] = {
    KUBELET: "http://127.0.0.1:10248/healthz",
    ETCD: "http://127.0.0.1:2381/health",
    API_SERVER: f"https://127.0.0.1:{API_PORT}/readyz",
    "kube-controller-manager": "https://127.0.0.1:10257/healthz",
    "kube-scheduler": "https://127.0.0.1:10259/healthz",
}
"""Where each of these says on its own host that it works. etcd reads through the quorum for its answer."""

SERVED: Mapping[str, int] = {"apiserver": API_PORT, "etcd_server": 2379, "etcd_peer": 2380}
"""The certificates that a client sees in a handshake, and the ports on which it does."""

_READERS = {**{name: users[0] for name, users in USERS.items() if users}, "kube_proxy": "kube-proxy"}
_PKI = PurePosixPath("/etc/kubernetes/pki")
_ELSEWHERE = {
    "etcd_server": _PKI / "etcd/server",
    "etcd_peer": _PKI / "etcd/peer",
    "etcd_client": _PKI / "etcd/healthcheck-client",
    "kube_proxy": PurePosixPath("/etc/kubernetes/kube-proxy/client"),
}


class Do(StrEnum):
    """One thing of a turn, as people and programs read it."""

    ISSUE = "issue"  # new keys and certificates, by the lab's authority
    TELL = "tell mayu"  # from now on a machine that boots gets the new ones
    WRITE = "write"  # what is different in the config that mayu would serve now
    DRAIN = "drain"  # no new connections from the balancer to this host's API server
    QUORUM = "check quorum"  # etcd keeps its majority without this member
    RESTART = "restart"  # and wait until it works again
    ADMIT = "admit"  # the balancer may send clients there again, and does
    VERIFY = "verify"  # in files, in containers and in handshakes
    MARK = "mark"  # the node says that it runs the config that mayu would serve; over when it is Ready and all add-ons are there
    ADOPT = "adopt"  # the harness's own certificate, in its kubeconfig


@dataclass(frozen=True)
class Step:
    """What is done at once. `what` are certificates or what restarts, for people to read."""

    host: str
    do: Do
    what: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.host}: {self.do} {', '.join(self.what)}".rstrip()


def steps(turn: Turn, masters: Collection[str]) -> tuple[Step, ...]:
    """A turn, step by step. `masters` are the members of etcd: with no other there is no quorum that could be kept.

    Between the first restart of etcd or of the API server and the end of the last no client is sent to this host, so that none
    finds its API server without etcd.
    """
    host, names = turn.host, tuple(title(name) for name in turn.renewed)
    if host == ADMINISTRATOR:
        return (Step(host, Do.ISSUE, names), Step(host, Do.ADOPT))
    found = [Step(host, Do.ISSUE, names), Step(host, Do.TELL), Step(host, Do.WRITE)]
    away = [user for user in turn.restarts if user in (ETCD, API_SERVER)]
    for user in turn.restarts:
        if away and user == away[0]:
            found.append(Step(host, Do.DRAIN))
        if user == ETCD and len(masters) > 1:
            found.append(Step(host, Do.QUORUM, tuple(name for name in masters if name != host)))
        found.append(Step(host, Do.RESTART, (user,)))
        if away and user == away[-1]:
            found.append(Step(host, Do.ADMIT))
    return (*found, Step(host, Do.VERIFY), Step(host, Do.MARK))


def majority(members: int) -> int:
    """How many members of etcd must work for it to work."""
    return members // 2 + 1


def title(name: str) -> str:
    """A certificate as people call it."""
    return name.replace("_", "-")


def users(name: str) -> tuple[str, ...]:
    """Who uses a certificate, for people to read."""
    return {"admin": ("kubectl",), "etcd_client": ("etcdctl",)}.get(name) or ((_READERS[name],) if name in _READERS else ())


def pod(name: str) -> str | None:
    """The static pod in which a certificate is mounted; None when it is in none."""
    reader = _READERS.get(name)
    return None if reader == KUBELET else reader


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
