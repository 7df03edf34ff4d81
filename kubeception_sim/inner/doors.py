"""What an inner cluster needs of others: protocols, and what goes through them.

All are level-triggered: `ensure` is asked again and again, makes what is missing and changes what is different; `drop` may be
asked of what is not there any more. Both raise a HarnessError, whose message a person reads in a condition of the cluster. They
are called from several threads, but for one cluster by one at a time.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Protocol

from kubeception_sim.errors import BadInput
from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.resource import Cluster

TOKEN_REFUSED = 77
"""How the pki step ends when its token was used before (EX_NOPERM of sysexits.h): somebody else has had it. Nobody makes it
another."""


EDGE = {"app.kubernetes.io/name": "edge"}
"""The labels of the entrance's pods, in `NAMESPACE`."""


@dataclass(frozen=True)
class Issuer:
    """Who certifies the machines of a cluster: OpenBao, over TLS, certified by `ca` (PEM).

    `wanted` by the machine's name: what its pki step asks for, JSON.
    """

    address: IPv4Address
    port: int
    ca: str
    wanted: Mapping[str, Any]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://{self.address}:{self.port}"


@dataclass(frozen=True)
class Wrapped:
    """A token in its wrapper, which opens once and within so many seconds."""

    token: str = field(repr=False)
    seconds: int


class Authorities(Protocol):
    """The authorities of clusters."""

    def ensure(self, cluster: Cluster, vms: Sequence[Vm]) -> Issuer:
        """Mounts, roles and policies for exactly these machines."""

    def token(self, cluster: Cluster, vm: Vm) -> Wrapped:
        """A new token for one start of a machine. Those from before stay what they are."""

    def drop(self, cluster: str) -> None:
        """Nothing of the cluster is left."""


@dataclass(frozen=True)
class Store:
    """Where the bridges of a cluster tell each other who they are: etcd, over TLS, as a user with a prefix of its own.

    `name` is in its certificate, `address` is what a pod connects to. `selector` are the labels of its pods, in `NAMESPACE`.
    """

    name: str
    address: IPv4Address
    port: int
    selector: Mapping[str, str]
    ca: str
    user: str
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://{self.name}:{self.port}"


class NetworkStore(Protocol):
    """The store of the networks of clusters."""

    def ensure(self, cluster: Cluster, vni: int) -> Store:
        """The config of the cluster's network, and a user that can have what is below its prefix."""

    def drop(self, cluster: str) -> None:
        """Nothing of the cluster is left."""


class Values(Protocol):
    """What the role templates want of a machine, but for secrets: values.json."""

    def __call__(self, cluster: Cluster, vms: Sequence[Vm], vm: Vm) -> Mapping[str, Any]:
        """Of one machine, among all."""


@dataclass(frozen=True)
class GuestImage:
    """What a machine boots. `url` is the folder; the others are the SHA-256 of its files, in hexadecimal digits."""

    url: str
    kernel: str
    initrd: str
    rootfs: str


@dataclass(frozen=True)
class Giantnetes:
    """The outer cluster as inner ones see it.

    `vm_image` is the container image of machines' pods, `guests` what machines boot, by the version of Kubernetes and the name
    of the image; `accelerator` is kvm or tcg; below `domain` are the entrances of clusters; `entrance` are the labels of the pods
    that may come in, in `NAMESPACE`.
    """

    vm_image: str
    guests: Mapping[str, Mapping[str, GuestImage]]
    accelerator: str
    domain: str
    entrance: Mapping[str, str] = field(default_factory=lambda: dict(EDGE))

    def guest(self, cluster: Cluster) -> GuestImage:
        """What the machines of a cluster boot: of images that it does not choose among, the last by name. Raises BadInput."""
        spec = cluster.spec
        if not (images := self.guests.get(spec.kubernetes)):
            raise BadInput(f"spec.kubernetes: there is no image of {spec.kubernetes}, but of {', '.join(sorted(self.guests))}")
        if (chosen := spec.os or max(images)) not in images:
            raise BadInput(f"spec.os: there is no image {spec.os!r} of {spec.kubernetes}, but {', '.join(sorted(images))}")
        return images[chosen]


@dataclass(frozen=True)
class Facts:
    """All that is known when objects are made. `values` by the machine's name."""

    giantnetes: Giantnetes
    vni: int
    issuer: Issuer
    store: Store
    values: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Doors:
    """The ways to all of it."""

    authorities: Authorities
    network: NetworkStore
    values: Values
    giantnetes: Giantnetes


@dataclass(frozen=True)
class Held:
    """What a machine's pod says of its certificates (`agents.issue.record`); times in seconds of UTC, 0 for never.

    `rotation` is the last that it has certificates of, issued at `made`, and `until` is when the first of them ends. `refused` is
    when a token was found to be somebody else's; `wrapper` is the fingerprint of the last one's, and `why` what stands in the way
    of new certificates.
    """

    rotation: str = ""
    made: int = 0
    until: int = 0
    refused: int = 0
    wrapper: str = ""
    why: str = ""


class Pods(Protocol):
    """The pods of machines that run, asked one by one."""

    def held(self, at: IPv4Address) -> Held | None:
        """What the machine in the pod of this address has; None when it does not say."""


class Inside(Protocol):
    """The API of an inner cluster, asked as its administrator, at a master's pod."""

    def nodes(self, cluster: Cluster, at: IPv4Address) -> Mapping[str, bool]:
        """Whether each of its nodes is Ready, by name."""

    def apply(self, cluster: Cluster, at: IPv4Address, objects: Sequence[Mapping[str, Any]]) -> None:
        """Have these objects, in this order; nothing is written while those that were applied last are the same."""

    def drain(self, cluster: Cluster, at: IPv4Address, node: str) -> tuple[str, ...]:
        """Close a node, and have its pods leave: those that are there still, `NAMESPACE/NAME`. Those that stay as long as the
        node does, such as a DaemonSet's, are not among them. Empty for a node that is not there."""

    def welcome(self, cluster: Cluster, at: IPv4Address, node: str) -> None:
        """Open a node that was closed. It may be gone."""

    def forget(self, cluster: Cluster, at: IPv4Address, node: str) -> None:
        """A node whose machine is gone. It may be gone itself."""

    def drained(self, cluster: Cluster, at: IPv4Address, node: str) -> bool:
        """Have nothing new come to a node, and what is there leave. Whether it has: asked until it is so."""

    def admit(self, cluster: Cluster, at: IPv4Address, nodes: Collection[str]) -> None:
        """Let new pods come to those of these nodes that were drained."""
