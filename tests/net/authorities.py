"""Both authorities for the tests of this tier, each in a lab and a network of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric
from kubeception_sim.pki import Authority
from kubeception_sim.pki.bao import BaoAuthority
from kubeception_sim.pki.embedded import EmbeddedAuthority
from kubeception_sim.pki.server import Server

ADDRESS = IPv4Interface("10.77.0.1/24")
KINDS = ("embedded", "openbao")


@dataclass(frozen=True)
class Place:
    """A lab with its network, and an authority in it."""

    lab: Lab
    fabric: Fabric
    authority: Authority


def silent(what: str, done: float) -> None:
    """Progress that nobody looks at."""


@contextmanager
def network(root: Path) -> Iterator[tuple[Lab, Fabric]]:
    with Lab.create(root) as lab, Fabric.create(lab, address=ADDRESS, advertise=False) as fabric:
        yield lab, fabric


@contextmanager
def openbao(root: Path) -> Iterator[tuple[BaoAuthority, Server]]:
    with network(root) as (lab, fabric), Server.start(lab, fabric.namespace, ADDRESS.ip, silent) as server:
        yield BaoAuthority(server), server


@contextmanager
def place(kind: str, root: Path) -> Iterator[Place]:
    with network(root) as (lab, fabric):
        if kind == "embedded":
            yield Place(lab, fabric, EmbeddedAuthority(lab.subdirectory("pki", "roots")))
            return
        with Server.start(lab, fabric.namespace, ADDRESS.ip, silent) as server:
            yield Place(lab, fabric, BaoAuthority(server))
