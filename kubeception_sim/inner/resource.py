"""A cluster as a person asks for it, and what they are told of it. Pure.

`Cluster.read` takes the object as the API server has it, or as it stands in a file. The name is the cluster's id, and part of
names of network links and of authorities: at most 11 characters.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import Any

from kubeception_sim.errors import BadInput
from kubeception_sim.inner import schema

VM_PREFIX = 30
POD_PREFIX = 24
MASTER = "master"
"""The pool of the masters; none of the workers' is called that."""
_MEBIBYTES = {"Mi": 1, "Gi": 1024}
_VMS, _PODS, _SERVICES = (IPv4Network(each) for each in ("172.23.0.0/24", "10.80.0.0/16", "10.81.0.0/16"))
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


class Role(StrEnum):
    """What a machine is inside."""

    MASTER = "master"
    WORKER = "worker"


@dataclass(frozen=True)
class Masters:
    """Machines with a control plane; memory and etcd's disk in MiB."""

    count: int = 1
    cpus: int = 2
    memory: int = 3072
    etcd_disk: int = 2048


@dataclass(frozen=True)
class Pool:
    """Equal workers; memory in MiB. `labels` are those of their nodes."""

    name: str = "worker"
    replicas: int = 1
    cpus: int = 2
    memory: int = 2048
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """The networks of a cluster; other clusters may have the same. `domain` is that of services inside."""

    vms: IPv4Network = _VMS
    pods: IPv4Network = _PODS
    services: IPv4Network = _SERVICES
    domain: str = "cluster.local"

    @property
    def capacity(self) -> int:
        """How many machines have an address: a /30 each but the first, and a /24 for the pods of each but the first."""
        bits = min(VM_PREFIX - self.vms.prefixlen, POD_PREFIX - self.pods.prefixlen)
        return (1 << max(bits, 0)) - 1


@dataclass(frozen=True)
class Spec:
    """What is wanted."""

    kubernetes: str = "v1.20.2"
    masters: Masters = Masters()
    pools: tuple[Pool, ...] = (Pool(),)
    network: Network = Network()
    paused: bool = False
    hibernated: bool = False
    os: str = ""
    rotation: str = ""


class Phase(StrEnum):
    """The whole in a word; conditions say more."""

    PENDING = "Pending"
    CREATING = "Creating"
    RUNNING = "Running"
    DEGRADED = "Degraded"
    HIBERNATED = "Hibernated"
    DELETING = "Deleting"
    FAILED = "Failed"


class VmPhase(StrEnum):
    """A machine's pod, and its guest."""

    WAITING = "Waiting"  # for its turn
    PENDING = "Pending"  # for a node
    PREPARING = "Preparing"  # image, network, certificates
    BOOTING = "Booting"
    READY = "Ready"
    FAILED = "Failed"
    STOPPED = "Stopped"
    LEAVING = "Leaving"


class About(StrEnum):
    """The types of conditions."""

    READY = "Ready"
    NETWORK = "NetworkReady"
    CERTIFICATES = "CertificatesReady"
    CONTROL_PLANE = "ControlPlaneReady"
    WORKERS = "WorkersReady"
    PROGRESSING = "Progressing"


@dataclass(frozen=True)
class Condition:
    """KEP-1623. `since` is RFC 3339, in UTC; `truth` is None when nobody knows."""

    about: About
    truth: bool | None
    reason: str
    message: str = ""
    since: str = ""
    generation: int = 0

    def document(self) -> dict[str, Any]:
        """As the API has it."""
        found = {
            "type": str(self.about),
            "status": {True: "True", False: "False", None: "Unknown"}[self.truth],
            "reason": self.reason,
            "lastTransitionTime": self.since,
            "observedGeneration": self.generation,
        }
        return found | _said("message", self.message)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Condition":
        """One that we wrote."""
        truth = {"True": True, "False": False}.get(document["status"])
        about, reason, message = About(document["type"]), document["reason"], document.get("message", "")
        return cls(about, truth, reason, message, document["lastTransitionTime"], document.get("observedGeneration", 0))


@dataclass(frozen=True)
class VmStatus:
    """One machine; `node` is the one of the outer cluster, empty while there is none. `rotation` and `until` are those of its
    certificates, `until` in RFC 3339 and empty while nobody knows."""

    name: str
    role: Role
    index: int
    address: IPv4Address
    phase: VmPhase
    node: str = ""
    rotation: str = ""
    until: str = ""

    def document(self) -> dict[str, Any]:
        """As the API has it."""
        found = {"role": str(self.role), "index": self.index, "address": str(self.address), "phase": str(self.phase)}
        said = _said("node", self.node) | _said("rotation", self.rotation) | _said("certificatesUntil", self.until)
        return {"name": self.name} | found | said


def _said(key: str, text: str) -> dict[str, str]:
    """Empty strings are left out: API servers of 1.20 that Debian built take one in a list for null, and refuse it."""
    return {key: text} if text else {}


@dataclass(frozen=True)
class Status:
    """What there is. `vni` 0 and `endpoint` "" mean none yet."""

    phase: Phase
    conditions: tuple[Condition, ...] = ()
    vni: int = 0
    vms: tuple[VmStatus, ...] = ()
    endpoint: str = ""
    generation: int = 0

    def document(self) -> dict[str, Any]:
        """As the API has it."""
        ready = sum(vm.phase is VmPhase.READY for vm in self.vms)
        known: dict[str, Any] = {"vni": self.vni, "endpoint": self.endpoint}
        return {
            "phase": str(self.phase),
            "observedGeneration": self.generation,
            "machines": f"{ready}/{len(self.vms)}",
            "conditions": [condition.document() for condition in self.conditions],
            "vms": [vm.document() for vm in self.vms],
        } | {key: value for key, value in known.items() if value}


@dataclass(frozen=True)
class Cluster:
    """The resource. `uid` is empty for one that no API server has seen."""

    name: str
    spec: Spec = Spec()
    uid: str = ""
    generation: int = 0
    conditions: tuple[Condition, ...] = ()

    @property
    def namespace(self) -> str:
        """Where its objects are in the outer cluster."""
        return f"cluster-{self.name}"

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Cluster":
        """A cluster from its object. Raises BadInput with all that is wrong with it, a line each."""
        metadata, raw = document.get("metadata", {}), schema.completed(schema.SPEC, document.get("spec", {}))
        found = [*_kind(document), *schema.name_problems(metadata.get("name", "")), *schema.problems(schema.SPEC, raw, "spec")]
        if not found:
            spec = _spec(raw, found)
            found += _contradictions(spec)
        if found:
            raise BadInput("\n".join(found), hint="kubectl explain clusters.spec --recursive")
        conditions = tuple(Condition.read(each) for each in document.get("status", {}).get("conditions", ()))
        return cls(metadata["name"], spec, metadata.get("uid", ""), metadata.get("generation", 0), conditions)


def _kind(document: Mapping[str, Any]) -> Iterator[str]:
    if (what := (document.get("apiVersion"), document.get("kind"))) != (schema.API_VERSION, schema.KIND):
        yield f"{what[0]} {what[1]}: is not {schema.API_VERSION} {schema.KIND}"


def _spec(raw: Mapping[str, Any], problems: list[str]) -> Spec:
    """Of what the schema allows. An address that is none is a problem; the rest is then judged by the default."""
    masters = raw["masters"]
    network = {key: _network(raw["network"][key], f"spec.network.{key}", problems) for key in ("vms", "pods", "services")}
    return Spec(
        raw["kubernetes"],
        Masters(masters["count"], masters["cpus"], mebibytes(masters["memory"]), mebibytes(masters["etcdDisk"])),
        tuple(replace(Pool(**each | {"memory": 0}), memory=mebibytes(each["memory"])) for each in raw["pools"]),
        Network(**{key: each for key, each in network.items() if each}, domain=raw["network"]["domain"]),
        raw["paused"],
        raw["hibernated"],
        raw.get("os", ""),
        raw.get("rotation", ""),
    )


def _network(text: str, where: str, problems: list[str]) -> IPv4Network | None:
    try:
        return IPv4Network(text)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return None


def _contradictions(spec: Spec) -> Iterator[str]:
    """What a schema cannot say."""
    network = spec.network
    names = {"vms": network.vms, "pods": network.pods, "services": network.services}
    for (one, first), (two, second) in combinations(names.items(), 2):
        if first.overlaps(second):
            yield f"spec.network: {one} {first} and {two} {second} overlap"
    if network.services.prefixlen > POD_PREFIX:
        yield f"spec.network.services: {network.services} is smaller than a /{POD_PREFIX}"
    wanted = spec.masters.count + sum(pool.replicas for pool in spec.pools)
    if wanted > (room := network.capacity):
        yield f"spec: {wanted} machines, but {network.vms} and {network.pods} have room for {room}"
    for pool in spec.pools:
        if pool.name == MASTER:
            yield f"spec.pools: {MASTER!r} is the name of the masters"
        yield from (f"spec.pools.{pool.name}.labels: {key!r} {why}" for key, why in map(_key_problem, pool.labels) if why)


def _key_problem(key: str) -> tuple[str, str]:
    if not _LABEL_KEY.fullmatch(key):
        return key, "is no key of a label"
    # A kubelet may not label itself with names that belong to Kubernetes (NodeRestriction).
    prefix = key.rpartition("/")[0]
    return key, "belongs to Kubernetes" if f".{prefix}".endswith((".kubernetes.io", ".k8s.io")) else ""


def mebibytes(quantity: str) -> int:
    """A quantity that the schema allows, in MiB."""
    return int(quantity[:-2]) * _MEBIBYTES[quantity[-2:]]
