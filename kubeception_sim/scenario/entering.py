"""The way into inner clusters of a lab: the balancer before the outer one, and kubeconfigs of their administrators."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import yaml

from kubeception_sim.giantnetes.bringup import OuterCluster
from kubeception_sim.inner import edge
from kubeception_sim.inner.certificates import Administrator, ClusterPki
from kubeception_sim.inner.wanted_pod import API_PORT
from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric, inside
from kubeception_sim.network.balancer import Balancer
from kubeception_sim.pki.bao import BaoAuthority
from kubeception_sim.pki.server import Server
from kubeception_sim.pki.tenants import admit_controller
from kubeception_sim.scenario.clustering import DOMAIN
from kubeception_sim.scenario.keeper import INNER


@contextmanager
def balanced(lab: Lab, fabric: Fabric, outer: OuterCluster, address: IPv4Address) -> Iterator[None]:
    """The balancer before all inner clusters, at `address`; returns when it listens."""
    fabric.add_address(address)
    with Balancer.start(lab, fabric, edge.services(outer.cluster.workers, address), "entrance"):
        yield


def write_kubeconfig(lab: Lab, outer: OuterCluster, cluster: str, address: IPv4Address) -> Path:
    """A kubeconfig of an administrator of an inner cluster, through the entrance at `address`. Whoever reads it is root there.

    Raises HarnessError when OpenBao refuses or does not answer.
    """
    authority = outer.certificates.authority
    assert isinstance(authority, BaoAuthority), "the rules of scenarios see to it"
    server = authority.server
    assert isinstance(server, Server)

    def issued() -> Administrator:
        return ClusterPki(admit_controller(server.access), DOMAIN, lambda *_: None).administrator(cluster)

    path = lab.subdirectory(INNER) / f"{cluster}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(kubeconfig(cluster, inside(outer.kubectl.namespace, issued), address))
    return path


def kubeconfig(cluster: str, who: Administrator, address: IPv4Address) -> str:
    """The text of it, with everything in it. Pure."""

    def data(pem: str) -> str:
        return b64encode(pem.encode()).decode()

    server = {
        "server": f"https://{address}:{API_PORT}",
        # By this name the entrance knows which cluster is meant, and the client that it is the right one.
        "tls-server-name": f"api.{cluster}.{DOMAIN}",
        "certificate-authority-data": data(who.ca),
    }
    user = {"client-certificate-data": data(who.cert), "client-key-data": data(who.key)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": server}],
        "users": [{"name": "admin", "user": user}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": "admin"}}],
        "current-context": cluster,
    }
    return yaml.safe_dump(document, sort_keys=False)
