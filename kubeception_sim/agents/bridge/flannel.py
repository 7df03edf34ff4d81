"""What pods tell each other, in the words that flanneld has for it in etcd (version 3). Pure.

    /coreos.com/network/ID/config                      {"Network": .., "SubnetLen": 30, "Backend": {..}}
    /coreos.com/network/ID/subnets/172.23.0.4-30       {"PublicIP": .., "PublicIPv6": null, "BackendType": "vxlan", ..}

(flannel: Documentation/configuration.md, Documentation/reservations.md, pkg/subnet/etcd.) The only difference is who chooses the
subnet: here it is the machine's number, and not whoever comes first.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from kubeception_sim.agents.bridge.place import BLOCK_PREFIX, Place, index_of

PORT = 8472
"""Linux's own port for VXLAN, which is flannel's; RFC 7348 has 4789."""
_ROOT = "/coreos.com/network"
_TYPE = "vxlan"


@dataclass(frozen=True)
class Peer:
    """Another machine of the cluster: its number, and the address of its pod."""

    index: int
    pod: IPv4Address


def prefix(cluster: str) -> str:
    """What all keys of a cluster begin with. It ends in a slash: none of another cluster does."""
    return f"{_ROOT}/{cluster}/"


def config_key(cluster: str) -> str:
    """The key of the network's config."""
    return f"{prefix(cluster)}config"


def leases_prefix(cluster: str) -> str:
    """What the keys of leases begin with."""
    return f"{prefix(cluster)}subnets/"


def lease_key(cluster: str, block: IPv4Network) -> str:
    """The key of the lease of a /30."""
    return f"{leases_prefix(cluster)}{block.network_address}-{block.prefixlen}"


def config(network: IPv4Network, vni: int) -> str:
    """The network's config."""
    backend = {"Type": _TYPE, "VNI": vni, "Port": PORT}
    return _json({"Network": str(network), "SubnetLen": BLOCK_PREFIX, "Backend": backend})


def lease(place: Place) -> str:
    """The lease of a machine, as its pod writes it."""
    data = {"VNI": place.vni, "VtepMAC": place.vtep_mac}
    return _json({"PublicIP": str(place.pod), "PublicIPv6": None, "BackendType": _TYPE, "BackendData": data})


def peers(place: Place, leases: Mapping[str, str]) -> tuple[tuple[Peer, ...], tuple[str, ...]]:
    """The peers of a machine by their number, and what is wrong with leases that name none. `leases` by their keys."""
    found: list[Peer] = []
    problems: list[str] = []
    for key, value in sorted(leases.items()):
        try:
            peer = _peer(place, key, value)
        except (ValueError, KeyError, TypeError) as error:
            problems.append(f"{key}: {type(error).__name__}: {error}")
        else:
            found += [peer] if peer.index != place.index else []
    return tuple(sorted(found, key=lambda peer: peer.index)), tuple(problems)


def _peer(place: Place, key: str, value: str) -> Peer:
    address, _, length = key.removeprefix(leases_prefix(place.cluster)).partition("-")
    index = index_of(place.subnet, IPv4Network(f"{address}/{length}"))
    content: Any = json.loads(value)
    if content["BackendType"] != _TYPE or content["BackendData"]["VNI"] != place.vni:
        raise ValueError(f"is not of VXLAN {place.vni}")
    pod = IPv4Address(content["PublicIP"])
    if pod == place.pod and index != place.index:
        raise ValueError(f"has {pod}, which is this pod's own address")
    if pod.is_multicast or pod.is_unspecified or pod.is_loopback or pod in place.subnet:
        raise ValueError(f"{pod} is no pod's address")
    return Peer(index, pod)


def pods(found: Iterable[Peer]) -> frozenset[IPv4Address]:
    """The addresses of the peers' pods."""
    return frozenset(peer.pod for peer in found)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
