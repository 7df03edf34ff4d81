"""The certificates of a cluster, issued by its authority, and the files that the harness needs of them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts.store import Progress
from kubeception_sim.giantnetes.cluster import Cluster, Host
from kubeception_sim.giantnetes.components import ADMINISTRATOR, CLUSTER, ETCD, FRONT_PROXY, MOUNTS, administrator, of_host
from kubeception_sim.giantnetes.values import Pair, Shared
from kubeception_sim.lab import Lab
from kubeception_sim.model.scenario import Pki
from kubeception_sim.network import Fabric
from kubeception_sim.pki import Authority
from kubeception_sim.pki.bao import BaoAuthority
from kubeception_sim.pki.embedded import EmbeddedAuthority
from kubeception_sim.pki.keys import service_account_pair
from kubeception_sim.pki.server import Server

SIGNER = "giantnetes-node-signer"


@dataclass(frozen=True)
class Certificates:
    """What was issued. `hosts` by the host's name, then by the certificate's; the paths are the administrator's files."""

    authority: Authority
    roots: Mapping[str, str]
    signer: Pair
    hosts: Mapping[str, Mapping[str, Pair]]
    ca: Path
    admin_cert: Path
    admin_key: Path

    def of(self, host: Host) -> Mapping[str, Pair]:
        """The pairs of a host."""
        return self.hosts[host.name]

    def shared(self, bootstrap_token: str, etcd_image: str) -> Shared:
        """What all hosts of a role have in common. The pair for service accounts is new: it is never rotated with the rest."""
        private, public = service_account_pair()
        return Shared(
            # Nodes are certified by the signer below the root, which the API server takes for a root of its own.
            ca=self.roots[CLUSTER] + self.signer.cert,
            etcd_ca=self.roots[ETCD],
            front_proxy_ca=self.roots[FRONT_PROXY],
            signer=self.signer,
            service_account_key=private,
            service_account_public=public,
            bootstrap_token=bootstrap_token,
            etcd_image=etcd_image,
        )


@contextmanager
def authority(kind: Pki, lab: Lab, fabric: Fabric, progress: Progress) -> Iterator[Authority]:
    """The authority of a lab, for the length of the block."""
    if kind is Pki.EMBEDDED:
        yield EmbeddedAuthority(lab.subdirectory("pki", "roots"))
        return
    with Server.start(lab, fabric.namespace, fabric.address.ip, progress) as server:
        yield BaoAuthority(server)


def issue(cluster: Cluster, by: Authority, lab: Lab) -> Certificates:
    """Everything the cluster needs, each certificate by an issuer that can have its host's own only."""
    roots = {name: by.mount(name) for name in MOUNTS}
    hosts: dict[str, dict[str, Pair]] = {}
    for host in cluster.hosts:
        requests = of_host(cluster, host)
        issuer = by.issuer(host.name, tuple(requests.values()))
        issued = {name: issuer.issue(request) for name, request in requests.items()}
        hosts[host.name] = {name: Pair(pair.cert, pair.key) for name, pair in issued.items()}
    signer = by.intermediate(CLUSTER, SIGNER)
    own = administrator()
    admin = by.issuer(ADMINISTRATOR, (own,)).issue(own)
    folder = lab.subdirectory("pki")
    files = {"ca.crt": roots[CLUSTER], "admin.crt": admin.cert, "admin.key": admin.key}
    for name, text in files.items():
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
    paths = {name: folder / name for name in files}
    return Certificates(by, roots, Pair(signer.cert, signer.key), hosts, paths["ca.crt"], paths["admin.crt"], paths["admin.key"])
