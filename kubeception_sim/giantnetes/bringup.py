"""What the outer cluster needs before its machines start, and how one sees from outside that it serves."""

import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from kubeception_sim.artifacts import images, kubernetes, node
from kubeception_sim.artifacts.images import Images
from kubeception_sim.artifacts.node import Image
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.giantnetes import addons
from kubeception_sim.giantnetes.certificates import Certificates, authority, issue
from kubeception_sim.giantnetes.cluster import API_PORT, Cluster, Host
from kubeception_sim.giantnetes.door import Door
from kubeception_sim.giantnetes.kubectl import Kubectl
from kubeception_sim.giantnetes.nodes import left_over, nodes_of, unavailable, unready
from kubeception_sim.giantnetes.values import Flags, Shared, host_values, profile_values
from kubeception_sim.lab import Lab
from kubeception_sim.model.kubernetes import Component, Version, control_plane_labels, extra_flags
from kubeception_sim.model.scenario import Pki, Role
from kubeception_sim.network import Fabric
from kubeception_sim.network.balancer import Balancer
from kubeception_sim.network.haproxy import Backend, Service
from kubeception_sim.network.router import Router

API_SERVICE = "api"
_APPLY_SECONDS = 60.0
_ASK_SECONDS = 10.0

Progress = Callable[[str, float], None]


@dataclass
class OuterCluster:
    """The outer cluster of a lab: what its hosts are told, and the ways to it. Made by `prepare`, before any machine starts.

    `more` is applied beside the add-ons; what has their label is waited for.
    """

    cluster: Cluster
    kubectl: Kubectl
    certificates: Certificates
    shared: Shared
    images: Images
    balancer: Balancer
    router: Router
    connect: Callable[[], socket.socket]
    applied: bool = False
    more: list[dict[str, Any]] = field(default_factory=list)

    @property
    def door(self) -> Door:
        """How probes get in: as an administrator, through the balancer."""
        certificates = self.certificates
        return Door(
            self.connect, str(self.cluster.api), API_PORT, certificates.ca, certificates.admin_cert, certificates.admin_key
        )

    @classmethod
    @contextmanager
    def prepare(cls, cluster: Cluster, pki: Pki, lab: Lab, fabric: Fabric, progress: Progress) -> Iterator["OuterCluster"]:
        """Its authorities, with a certificate for each component; the balancer before its API servers; the router of its hosts.

        Raises what these raise: a HarnessError, most of the time a MissingTool.
        """
        programs = kubernetes.ensure(default_cache(), progress, cluster.version)
        made = images.ensure(default_cache(), programs, progress)
        with ExitStack() as stack:
            certificates = issue(cluster, stack.enter_context(authority(pki, lab, fabric, progress)), lab)
            backends = tuple(Backend(host.name, host.address, API_PORT) for host in cluster.masters)
            service = Service(API_SERVICE, cluster.api, API_PORT, backends, ca=certificates.ca)
            balancer = stack.enter_context(Balancer.start(lab, fabric, (service,)))
            subnets = {host.address: host.pods for host in cluster.hosts}
            router = stack.enter_context(Router.start(lab, fabric, subnets))
            kubeconfig = lab.directory / "kubeconfig"
            write_kubeconfig(kubeconfig, cluster, certificates)
            yield cls(
                cluster=cluster,
                kubectl=Kubectl(programs.directory / "kubectl", kubeconfig, fabric.namespace, lab.env),
                certificates=certificates,
                shared=certificates.shared(bootstrap_token(), made.etcd),
                images=made,
                balancer=balancer,
                router=router,
                connect=fabric.socket,
            )

    @property
    def version(self) -> Version:
        """Of its API servers."""
        return Version.parse(self.cluster.version)

    def profile_values(self, role: Role, admin_keys: tuple[str, ...]) -> dict[str, Any]:
        """What mayu's template of the role finds in `values` of the profile."""
        return profile_values(role, self.cluster, self.shared, flags_of(self.version), admin_keys=admin_keys)

    def host_values(self, host: Host) -> dict[str, Any]:
        """What it finds in those of the host."""
        return host_values(host, self.certificates.of(host))

    def problems(self, wanted: Mapping[str, str], booted: Mapping[str, datetime] | None = None) -> list[str]:
        """Why it does not serve yet; a line each, none when it does. Applies the add-ons, once there is an API to apply them to.

        `wanted` maps the names of nodes to the config that each must run, `booted` to the times, with a zone, before which
        nothing on them can have started. Raises HarnessError while the API does not answer.
        """
        if not self.applied:
            self.kubectl.apply([*self.addons(), *self.more], timeout=_APPLY_SECONDS)
            self.applied = True
        lines = unready(nodes_of(self.kubectl.get("nodes", timeout=_ASK_SECONDS)), wanted)
        # The pods first: what counts them is then at least as new.
        pods = self.kubectl.get("-n", "kube-system", "pods", timeout=_ASK_SECONDS)["items"] if booted else ()
        kinds = ("--all-namespaces", "deployments,daemonsets", "-l", addons.LABEL)
        found = self.kubectl.get(*kinds, timeout=_ASK_SECONDS)["items"]
        return lines + left_over(pods, booted or {}) + unavailable(found)

    def addons(self) -> list[dict[str, Any]]:
        """What runs in it beside the control plane: cluster DNS and the NetworkPolicy agent."""
        return addons.objects(self.cluster, self.images.agent)


def outer_image(cache: Path, version: str, progress: Progress, *, clusters: bool = False) -> Image:
    """The image of the cluster's machines, from the cache; built there first, with all that is in it, if need be.

    With `clusters` they can run machines of inner clusters.
    """
    return node.ensure(cache, progress, version, clusters=clusters)


def flags_of(version: Version) -> Flags:
    """What this version wants beside the flags in the templates."""
    return Flags(
        kubelet=extra_flags(Component.KUBELET, version),
        apiserver=extra_flags(Component.APISERVER, version),
        controller_manager=extra_flags(Component.CONTROLLER_MANAGER, version),
        scheduler=extra_flags(Component.SCHEDULER, version),
        role_label=control_plane_labels(version)[-1],
    )


def bootstrap_token() -> str:
    """A new one: ID.SECRET, of 6 and 16 hex digits (Kubernetes, "Authenticating with Bootstrap Tokens")."""
    return f"{secrets.token_hex(3)}.{secrets.token_hex(8)}"


def write_kubeconfig(path: Path, cluster: Cluster, certificates: Certificates) -> None:
    """A kubeconfig of an administrator, through the balancer. Whoever reads it is root in the cluster."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "giantnetes", "cluster": {"server": cluster.api_url, "certificate-authority": str(certificates.ca)}}
        ],
        "users": [
            {
                "name": "admin",
                "user": {"client-certificate": str(certificates.admin_cert), "client-key": str(certificates.admin_key)},
            }
        ],
        "contexts": [{"name": "giantnetes", "context": {"cluster": "giantnetes", "user": "admin"}}],
        "current-context": "giantnetes",
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
