"""What mayu's templates giantnetes-master and giantnetes-worker want of each host. Pure.

The first lines of the templates (mayu_py/templates) name these values; `mayu check` finds one that is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubeception_sim.giantnetes.cluster import ROUTER_AS, Cluster, Host
from kubeception_sim.model.scenario import Role

IMAGES = "kubeception.local"
JOIN_SECONDS = 600


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    cert: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Shared:
    """What all hosts of a role are given alike.

    `ca` holds every authority that clients of the API may have: the cluster's, and the one that signs nodes' certificates.
    `bootstrap_token` is written ID.SECRET, 6 and 16 characters.
    """

    ca: str
    etcd_ca: str
    front_proxy_ca: str
    signer: Pair
    service_account_key: str = field(repr=False)
    service_account_public: str
    bootstrap_token: str = field(repr=False)
    etcd_image: str


@dataclass(frozen=True)
class Flags:
    """What this version of Kubernetes wants beside the flags that every version takes."""

    kubelet: tuple[str, ...] = ()
    apiserver: tuple[str, ...] = ()
    controller_manager: tuple[str, ...] = ()
    scheduler: tuple[str, ...] = ()
    role_label: str = "node-role.kubernetes.io/control-plane"


def profile_values(role: Role, cluster: Cluster, shared: Shared, flags: Flags, *, admin_keys: tuple[str, ...]) -> dict[str, Any]:
    """The values of a role's profile. A worker's hold no secret but the bootstrap token."""
    kubernetes = kubernetes_values(role, cluster, flags, etcd_image=shared.etcd_image) | shared_values(role, shared)
    return {"admin_keys": list(admin_keys), "kubernetes": kubernetes}


def kubernetes_values(
    role: Role,
    cluster: Cluster,
    flags: Flags,
    *,
    etcd_image: str,
    api: str = "",
    pod_mtu: int = 1500,
    join_seconds: int = JOIN_SECONDS,
) -> dict[str, Any]:
    """What a role's template finds in `values.kubernetes`, but for what is certified or secret.

    `api` is the URL at which the host finds the API servers, the cluster's own if empty.
    """
    found: dict[str, Any] = {
        "api": api or cluster.api_url,
        "domain": cluster.domain,
        "dns_address": str(cluster.dns),
        "pod_mtu": pod_mtu,
        "pod_range": str(cluster.pods),
        "join_seconds": join_seconds,
        "images": IMAGES,
        "version": cluster.version,
        "kubelet_flags": list(flags.kubelet),
    }
    if role is Role.MASTER:
        found |= {
            "etcd_members": [{"name": host.name, "address": str(host.address)} for host in cluster.masters],
            "etcd_image": etcd_image,
            "service_range": str(cluster.services),
            "role_label": flags.role_label,
            "apiserver_flags": list(flags.apiserver),
            "controller_manager_flags": list(flags.controller_manager),
            "scheduler_flags": list(flags.scheduler),
        }
    return found


def shared_values(role: Role, shared: Shared) -> dict[str, Any]:
    """The rest of `values.kubernetes`."""
    found: dict[str, Any] = {"ca": shared.ca, "bootstrap_token": shared.bootstrap_token}
    if role is Role.MASTER:
        found |= {
            "etcd_ca": shared.etcd_ca,
            "front_proxy_ca": shared.front_proxy_ca,
            "signer": _pair(shared.signer),
            "service_account": {"key": shared.service_account_key, "public": shared.service_account_public},
        }
    return found


def host_values(host: Host, certificates: Mapping[str, Pair]) -> dict[str, Any]:
    """A host's own values; `certificates` by the names that the templates have for them."""
    return {
        "pod_subnet": str(host.pods),
        "rack": host.rack,
        "bgp": {"peers": [{"name": "rack", "address": str(host.gateway), "as": ROUTER_AS}], "as": host.asn},
        "pki": pki_values(certificates),
    }


def pki_values(certificates: Mapping[str, Pair]) -> dict[str, Any]:
    """A host's own certificates, by the names that the templates have for them."""
    return {name: _pair(pair) for name, pair in certificates.items()}


def _pair(pair: Pair) -> dict[str, str]:
    return {"cert": pair.cert, "key": pair.key}
