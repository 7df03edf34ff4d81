"""The outer cluster, as a scenario asks for it."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network

from ignition.document import Origin


class Pki(StrEnum):
    """Who certifies the components of the outer cluster."""

    OPENBAO = "openbao"
    EMBEDDED = "embedded"


@dataclass(frozen=True)
class Outer:
    """The cluster that machines with a role form. `pods` is divided into one /24 a machine; the tenth address of `services`
    is the cluster's DNS. With `clusters` there may be inner ones in it: its nodes run their machines, which boot
    one of `systems`."""

    kubernetes: str = "v1.20.2"
    pods: IPv4Network = field(default=IPv4Network("10.60.0.0/16"))
    services: IPv4Network = field(default=IPv4Network("10.61.0.0/16"))
    domain: str = "cluster.local"
    pki: Pki = Pki.OPENBAO
    clusters: bool = False
    systems: tuple[str, ...] = ("testbed-1",)
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)
