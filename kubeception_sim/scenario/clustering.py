"""Inner clusters in a lab: what the outer one gets for them before it stands, and the steps that make, await and end them."""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from kubeception_sim.artifacts import node
from kubeception_sim.artifacts.node import systems
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.errors import BadInput, CommandFailed, DeadlineExceeded, HarnessError
from kubeception_sim.giantnetes.bringup import OuterCluster, Progress
from kubeception_sim.giantnetes.components import CLUSTER
from kubeception_sim.inner import install, schema, store
from kubeception_sim.inner.doors import GuestImage
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.machines import BootImage
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.model.clusters import AwaitInner, CreateCluster, DeleteCluster
from kubeception_sim.network import Fabric, inside
from kubeception_sim.pki.bao import BaoAuthority
from kubeception_sim.pki.server import Server
from kubeception_sim.pki.tenants import admit_controller

ZONE = "example"
CLUSTERS_NAME = "clusters"
DOMAIN = f"{CLUSTERS_NAME}.{ZONE}"
"""Below it are the entrances of inner clusters: all of its names are the balancer's."""
GUEST = "guest"
"""What mayu serves for machines of inner clusters to boot is called so, and after the system: guest-testbed-1."""
_ENTRANCES = 2
_ASK_SECONDS = 10.0
# Each look is a kubectl: a third of a second of a processor that machines boot on.
_POLL_SECONDS = 3.0
_SHA256 = "sha256"


def guest_images(version: str, names: Sequence[str], progress: Progress) -> dict[str, BootImage]:
    """What machines of inner clusters boot, by the name of the system, from the cache: the outer machines' own image, without
    what only these need."""
    base = node.ensure(default_cache(), progress, version)
    made = {name: systems.ensure(default_cache(), base, name, progress) for name in names}
    return {name: BootImage(image.kernel, image.initrd, image.rootfs, image.rootfs_sha256) for name, image in made.items()}


@dataclass(frozen=True)
class Clusters:
    """What is known of a lab before its outer cluster stands.

    `entrance` is the address of the balancer before inner clusters, `images` the URL of mayu's folder of images.
    """

    fabric: Fabric
    entrance: IPv4Address
    guests: Mapping[str, BootImage]
    images: str
    accelerator: Accelerator
    admin_keys: tuple[str, ...]

    def furnish(self, outer: OuterCluster) -> None:
        """Have the outer cluster be given all that inner ones need. Raises HarnessError."""
        certificates, address = outer.certificates, install.store_address(outer.cluster.services)
        authority = certificates.authority
        assert isinstance(authority, BaoAuthority), "the rules of scenarios see to it"
        assert isinstance(authority.server, Server)
        server, wanted = authority.server, store.request(CLUSTER, address)
        controller = inside(self.fabric.namespace, lambda: admit_controller(server.access))
        parts = install.Parts(
            services=outer.cluster.services,
            bao_url=server.url,
            bao_ca=server.ca.read_text(),
            bao_token=controller.token,
            authority=certificates.roots[CLUSTER],
            store_tls=authority.issuer(store.NAME, (wanted,)).issue(wanted),
            store_password=secrets.token_hex(16),
            guests={outer.cluster.version: {name: self._guest(name, each) for name, each in self.guests.items()}},
            etcd_image=outer.images.etcd,
            addons_image=outer.images.agent,
            accelerator="kvm" if self.accelerator is Accelerator.KVM else "tcg",
            domain=DOMAIN,
            balancer=self.entrance,
            entrances=min(_ENTRANCES, len(outer.cluster.workers)),
            admin_keys=self.admin_keys,
        )
        outer.more = install.objects(parts)

    def _guest(self, name: str, image: BootImage) -> GuestImage:
        return GuestImage(f"{self.images}/{GUEST}-{name}", _sum(image.kernel), _sum(image.initrd), image.rootfs_sha256)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _SHA256).hexdigest()


def create(step: CreateCluster, outer: OuterCluster) -> None:
    """Ask for it. Raises BadInput for what cannot be, and HarnessError."""
    document = {
        "apiVersion": schema.API_VERSION,
        "kind": schema.KIND,
        "metadata": {"name": step.cluster},
        "spec": dict(step.spec),
    }
    try:
        Cluster.read(document)
    except BadInput as error:
        raise BadInput(f"{step.origin.at('spec')}: {error.message}", hint=error.hint) from error
    outer.kubectl.apply([document])


def state(outer: OuterCluster, cluster: str) -> Mapping[str, Any] | None:
    """The resource as the outer API has it, None when it is gone. Raises HarnessError while the API does not answer."""
    found = outer.kubectl(
        "get", schema.RESOURCE, cluster, "--ignore-not-found", "-o", "json", timeout=_ASK_SECONDS
    ).stdout.strip()
    read: Mapping[str, Any] | None = json.loads(found) if found else None
    return read


def unready(document: Mapping[str, Any]) -> str:
    """Why an inner cluster is not Ready as it is wanted now, in a line; empty when it is. Pure."""
    status, wanted = document.get("status", {}), document["metadata"]["generation"]
    found = {each["type"]: each for each in status.get("conditions", ())}
    ready = found.get("Ready")
    if ready and ready["status"] == "True" and ready["observedGeneration"] >= wanted:
        return ""
    machines = [f"{each['name']} {each['phase']}" for each in status.get("vms", ()) if each["phase"] != "Ready"]
    reasons = [each.get("message") or each["reason"] for each in found.values() if each["status"] == "False"]
    return "; ".join([*machines, *dict.fromkeys(reasons)]) or "nobody has looked at it yet"


@dataclass(frozen=True)
class Left:
    """How a step waits: `seconds` says how many it has left, `say` hears what it waits for."""

    seconds: Callable[[], float]
    say: Callable[[str], None]


def await_ready(step: AwaitInner, outer: OuterCluster, left: Left) -> str:
    """Wait for it. What is wrong when its time is over; empty when it is Ready."""
    return _wait(left, lambda: _unready(state(outer, step.cluster)))


def delete(step: DeleteCluster, outer: OuterCluster, left: Left) -> str:
    """Delete it. What is there still when its time is over; empty when it is gone."""
    outer.kubectl("delete", schema.RESOURCE, step.cluster, "--wait=false", "--ignore-not-found", timeout=_ASK_SECONDS)
    return _wait(left, lambda: _there(state(outer, step.cluster))) if step.wait else ""


def _wait(left: Left, look: Callable[[], str]) -> str:
    while True:
        try:
            problem = look()
        except (CommandFailed, DeadlineExceeded) as error:  # the outer API may be away: that is the subject's affair
            problem = error.message.splitlines()[-1]
        if not problem or left.seconds() <= 0:
            return problem
        left.say(problem)
        time.sleep(_POLL_SECONDS)


def _unready(found: Mapping[str, Any] | None) -> str:
    if found is None:
        raise HarnessError("the cluster is gone")
    return unready(found)


def _there(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else f"it is there, and {found.get('status', {}).get('phase', 'nobody has looked at it')}"
