"""The certificates of a cluster: one for each component of each host, of three authorities. Pure.

Three on purpose. If etcd trusted the cluster's authority, the certificate of any node would open it; if the API server took the
cluster's for the front proxy's, anybody with one could pretend to be anybody (Kubernetes, "PKI certificates and requirements").
"""

from ipaddress import IPv4Address

from kubeception_sim.giantnetes.cluster import Cluster, Host
from kubeception_sim.model.scenario import Role
from kubeception_sim.pki import Request

CLUSTER, ETCD, FRONT_PROXY = "g8s", "g8s-etcd", "g8s-front-proxy"
MOUNTS = (CLUSTER, ETCD, FRONT_PROXY)
LOOPBACK = IPv4Address("127.0.0.1")
TTL_HOURS = 24 * 30
ADMINISTRATOR = "harness.administrator"
"""Who holds the harness's own certificate. No host is called that: their names have no dots."""

_MASTERS = "system:masters"


def of_host(cluster: Cluster, host: Host) -> dict[str, Request]:
    """The certificates of a host, by the names that mayu's role templates have for them."""
    found = {"kube_proxy": _client(host, "kube_proxy", "system:kube-proxy")}
    if host.role is Role.MASTER:
        found |= _control_plane(cluster, host) | _etcd(host)
    return found


def administrator() -> Request:
    """The harness's own, and the one that a person's kubectl uses."""
    return Request(CLUSTER, "kubernetes-admin", "kubernetes-admin", _MASTERS, client=True, ttl_hours=TTL_HOURS)


def _control_plane(cluster: Cluster, host: Host) -> dict[str, Request]:
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{cluster.domain}")
    return {
        "apiserver": Request(
            CLUSTER,
            f"{host.name}.apiserver",
            "kube-apiserver",
            dns=(host.name, "localhost", *service),
            # The order is that of the addresses: kept when one of them serves two purposes.
            addresses=tuple(sorted({cluster.service, host.address, cluster.api, LOOPBACK})),
            server=True,
            ttl_hours=TTL_HOURS,
        ),
        "apiserver_kubelet_client": _client(host, "apiserver_kubelet_client", "kube-apiserver-kubelet-client"),
        "front_proxy_client": _client(host, "front_proxy_client", "front-proxy-client", mount=FRONT_PROXY),
        "controller_manager": _client(host, "controller_manager", "system:kube-controller-manager"),
        "scheduler": _client(host, "scheduler", "system:kube-scheduler"),
        "kubelet": _client(host, "kubelet", f"system:node:{host.name}", "system:nodes"),
        "admin": _client(host, "admin", f"{host.name}-admin", _MASTERS),
    }


def _etcd(host: Host) -> dict[str, Request]:
    names, addresses = (host.name, "localhost"), tuple(sorted({host.address, LOOPBACK}))

    def member(part: str) -> Request:
        # A server is its own client in health checks, and members are clients of each other: etcd wants both usages in both.
        return Request(
            ETCD, f"{host.name}.{part}", host.name, "", names, addresses, client=True, server=True, ttl_hours=TTL_HOURS
        )

    return {
        "etcd_server": member("server"),
        "etcd_peer": member("peer"),
        "etcd_client": _client(host, "etcd_client", "kube-etcd-healthcheck-client", mount=ETCD),
        "apiserver_etcd_client": _client(host, "apiserver_etcd_client", "kube-apiserver-etcd-client", mount=ETCD),
    }


def _client(host: Host, part: str, common_name: str, organization: str = "", *, mount: str = CLUSTER) -> Request:
    # No host's name has a dot: the apiserver-etcd-client of "a" is not the etcd-client of "a-apiserver".
    name = f"{host.name}.{part.replace('_', '-')}"
    return Request(mount, name, common_name, organization, client=True, ttl_hours=TTL_HOURS)
