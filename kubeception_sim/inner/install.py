"""What the outer cluster gets so that clusters can be made in it: the definition of the resource, the store of networks, and the
controller.

    objects(parts)    all of it, in the order in which it is to be applied. Pure; twice the same for the same parts.

The controller is a pod. Its way into OpenBao is a token of its own, its way into the outer API a service account, and all else
that it is told is in one Secret (`inner.controller.settings`).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from kubeception_sim.artifacts import images
from kubeception_sim.giantnetes.addons import labelled
from kubeception_sim.inner import edge, schema, store
from kubeception_sim.inner.allocation import NAMESPACE
from kubeception_sim.inner.controller_pod import NAME, deployment, rights
from kubeception_sim.inner.doors import GuestImage
from kubeception_sim.pki import Issued

STORE_OFFSET = 11
"""The store has this address in the range of services; cluster DNS has the tenth."""

Document = dict[str, Any]


def store_address(services: IPv4Network) -> IPv4Address:
    """The address of the store's Service: known before it is there, so that its certificate can name it."""
    return services[STORE_OFFSET]


@dataclass(frozen=True)
class Parts:
    """What was made for this outer cluster. PEM, and secrets; `guests` by the version of Kubernetes and the name of the image.

    `authority` certifies `store_tls`. `etcd_image` is the store's, and one of those in what guests boot. `balancer` is who
    comes to the entrance, which has `entrances` pods.
    """

    services: IPv4Network
    bao_url: str
    bao_ca: str
    bao_token: str = field(repr=False)
    authority: str
    store_tls: Issued = field(repr=False)
    store_password: str = field(repr=False)
    guests: Mapping[str, Mapping[str, GuestImage]]
    etcd_image: str
    addons_image: str
    accelerator: str
    domain: str
    balancer: IPv4Address
    entrances: int = 2
    admin_keys: tuple[str, ...] = ()


def objects(parts: Parts) -> list[Document]:
    """All of it. The definition comes first: until it is established, nobody can have a cluster."""
    address = store_address(parts.services)
    secret = _settings(parts, address)
    revision = hashlib.sha256(json.dumps(secret["stringData"], sort_keys=True).encode()).hexdigest()[:16]
    return [
        schema.crd(),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        *map(labelled, store.objects(parts.etcd_image, parts.store_tls, parts.authority, parts.store_password, address)),
        *map(labelled, rights()),
        *map(labelled, edge.objects(parts.addons_image, parts.domain, parts.balancer, parts.entrances)),
        secret,
        labelled(deployment(images.CONTROLLER, revision)),
    ]


def _settings(parts: Parts, address: IPv4Address) -> Document:
    told = {
        "openbao": {"url": parts.bao_url, "ca": "openbao-ca.crt", "token": "openbao-token"},
        "network": {"address": str(address), "ca": "network-ca.crt", "password": "network-password"},
        "guests": {version: {name: vars(each) for name, each in found.items()} for version, found in parts.guests.items()},
        "vm_image": images.VM,
        "addons_image": parts.addons_image,
        "etcd_image": parts.etcd_image,
        "accelerator": parts.accelerator,
        "domain": parts.domain,
        "admin_keys": list(parts.admin_keys),
    }
    files = {
        "settings.json": json.dumps(told, sort_keys=True),
        "openbao-ca.crt": parts.bao_ca,
        "openbao-token": parts.bao_token,
        "network-ca.crt": parts.authority,
        "network-password": parts.store_password,
    }
    metadata = {"name": NAME, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": files}
