"""The records of a cluster. Pure.

Kubernetes DNS-Based Service Discovery, version 1.1.0; section numbers below are its own. Objects are those of the API, as decoded
JSON: Service v1, EndpointSlice discovery.k8s.io/v1 or v1beta1 (what we read of it is the same), Pod v1.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

Object = Mapping[str, Any]

SCHEMA = "1.1.0"
TTL = 5
SERVICE_NAME = "kubernetes.io/service-name"
TOLERATE_UNREADY = "service.alpha.kubernetes.io/tolerate-unready-endpoints"
NO_CLUSTER_IP = "None"
LONGEST_NAME = 253
_NAME = re.compile(r"[!-\-/-~]{1,63}(\.[!-\-/-~]{1,63})*")  # printable ASCII, the dot between labels


class Type(IntEnum):
    """Types of records that a cluster has (RFC 1035, 2782, 3596)."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33


@dataclass(frozen=True, order=True, slots=True)
class Record:
    """One record of a name. `data` is an address, a name without the last dot, or a text; `port` is a SRV record's."""

    type: Type
    data: str
    port: int = 0


@dataclass(frozen=True)
class Zone:
    """All names, in lower case and without the last dot. A name with no records of its own has others below it."""

    domain: str
    serial: int
    names: Mapping[str, tuple[Record, ...]]

    def covers(self, name: str) -> bool:
        """Is it for us to say that a name does not exist? Reverse names that we know are ours, the others are not."""
        return name == self.domain or name.endswith("." + self.domain) or name in self.names


@dataclass(frozen=True, slots=True)
class _Endpoint:
    hostname: str
    address: str
    type: Type
    ports: tuple[tuple[str, str, int], ...]


def records(services: Iterable[Object], slices: Iterable[Object], pods: Iterable[Object], domain: str, serial: int = 1) -> Zone:
    """The zone of a cluster. `domain` is the cluster's, without the last dot; `serial` is the SOA's, 1 to 2**32 - 1.

    What cannot be served is left out, never an error: a single strange object must not take all names away.
    """
    domain = domain.rstrip(".").lower()
    found: dict[str, set[Record]] = defaultdict(set)
    found[domain] |= {Record(Type.NS, f"ns.dns.{domain}")}
    found[f"dns-version.{domain}"] = {Record(Type.TXT, SCHEMA)}  # 2.2
    by_service = _by_service(slices)
    for service in services:
        key = service["metadata"]["namespace"], service["metadata"]["name"]
        for name, record in _of_service(service, by_service.get(key, []), domain):
            found[name.lower()].add(record)
    for name, record in _of_pods(pods, domain):
        found[name].add(record)
    for empty in (f"svc.{domain}", f"pod.{domain}"):
        found[empty] |= set()
    for address in found.get(f"kube-dns.kube-system.svc.{domain}", ()):
        if address.type in (Type.A, Type.AAAA):
            found[f"ns.dns.{domain}"].add(address)
    for name in [name for name in found if name.endswith("." + domain)]:
        # RFC 8020: a name with others below it exists.
        while (name := name.partition(".")[2]) != domain and name not in found:
            found[name] = set()
    return Zone(domain, serial, {name: tuple(sorted(entries)) for name, entries in found.items()})


def _by_service(slices: Iterable[Object]) -> dict[tuple[str, str], list[Object]]:
    found: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for item in slices:
        if service := (item["metadata"].get("labels") or {}).get(SERVICE_NAME):
            found[item["metadata"]["namespace"], service].append(item)
    return found


def _of_service(service: Object, slices: Iterable[Object], domain: str) -> Iterator[tuple[str, Record]]:
    spec = service.get("spec") or {}
    owner = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.{domain}".lower()
    if spec.get("type") == "ExternalName":  # 2.5
        target = spec.get("externalName", "").rstrip(".")
        if _NAME.fullmatch(target) and len(target) <= LONGEST_NAME:
            yield owner, Record(Type.CNAME, target)
    elif spec.get("clusterIP") == NO_CLUSTER_IP:  # 2.4
        yield from _of_headless(owner, _endpoints(slices, _serves_unready(service)))
    else:
        yield from _of_cluster_ip(owner, spec)


def _of_cluster_ip(owner: str, spec: Object) -> Iterator[tuple[str, Record]]:
    # A service that has no address yet has the empty one.
    for text in spec.get("clusterIPs") or [spec.get("clusterIP")]:
        if address := _address(text):
            yield owner, Record(_type(address), str(address))  # 2.3.1
            yield address.reverse_pointer, Record(Type.PTR, owner)  # 2.3.3
    for port in spec.get("ports") or ():
        if name := port.get("name"):
            yield _srv_owner(name, port.get("protocol"), owner), Record(Type.SRV, owner, port["port"])  # 2.3.2


def _of_headless(owner: str, endpoints: Iterable[_Endpoint]) -> Iterator[tuple[str, Record]]:
    for endpoint in endpoints:
        target = f"{endpoint.hostname}.{owner}"
        for name in (owner, target):
            yield name, Record(endpoint.type, endpoint.address)  # 2.4.1
        yield ip_address(endpoint.address).reverse_pointer, Record(Type.PTR, target)  # 2.4.3
        for port, protocol, number in endpoint.ports:
            yield _srv_owner(port, protocol, owner), Record(Type.SRV, target, number)  # 2.4.2


def _endpoints(slices: Iterable[Object], serves_unready: bool) -> Iterator[_Endpoint]:
    for item in slices:
        ports = tuple(
            (port["name"], port.get("protocol") or "TCP", port["port"])
            for port in item.get("ports") or ()
            if port.get("name") and port.get("port")
        )
        for endpoint in item.get("endpoints") or ():
            # "A nil value should be interpreted as ready" (EndpointConditions).
            is_ready = (endpoint.get("conditions") or {}).get("ready") is not False
            if not (is_ready or serves_unready):
                continue
            for text in endpoint.get("addresses") or ():
                if address := _address(text):
                    hostname = endpoint.get("hostname") or _dashed(address)
                    yield _Endpoint(hostname.lower(), str(address), _type(address), ports)


def _serves_unready(service: Object) -> bool:
    annotations = service["metadata"].get("annotations") or {}
    return bool(service["spec"].get("publishNotReadyAddresses")) or annotations.get(TOLERATE_UNREADY) == "true"


def _of_pods(pods: Iterable[Object], domain: str) -> Iterator[tuple[str, Record]]:
    """2.6, but for addresses of pods that are there only: a certificate for such a name then proves something."""
    for pod in pods:
        status = pod.get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            continue
        addresses = [each.get("ip") for each in status.get("podIPs") or ()] or [status.get("podIP")]
        for address in map(_address, addresses):
            if address is None:
                continue
            yield f"{_dashed(address)}.{pod['metadata']['namespace']}.pod.{domain}", Record(_type(address), str(address))


def _srv_owner(port: str, protocol: str | None, owner: str) -> str:
    return f"_{port}._{protocol or 'TCP'}.{owner}".lower()


def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text or "")
    except ValueError:
        return None


def _type(address: IPv4Address | IPv6Address) -> Type:
    return Type.A if address.version == 4 else Type.AAAA


def _dashed(address: IPv4Address | IPv6Address) -> str:
    # Not the short form of IPv6, which may begin with a dash: a label must not.
    return (address.exploded if address.version == 6 else str(address)).replace(".", "-").replace(":", "-")
