"""The certificates of an inner cluster: what each machine is certified as, and OpenBao as the authorities that do it.

A cluster has three authorities, `pki-ID` (its API), `pki-ID-etcd` and `pki-ID-front-proxy`, for the reasons that the outer one
has three (`giantnetes.components`), and a store `secrets-ID` of what its machines share: the entry `node` is for all, `master`
for masters. Entries are parts of the role templates' value `kubernetes`. They are made once, and never renewed with certificates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit

from kubeception_sim.artifacts.store import Progress
from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.bringup import bootstrap_token
from kubeception_sim.giantnetes.components import CLUSTER, ETCD, FRONT_PROXY, administrator, of_host
from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.config import as_giantnetes
from kubeception_sim.inner.doors import Issuer, Wrapped
from kubeception_sim.inner.resource import Cluster, Role
from kubeception_sim.pki import Issued, Request
from kubeception_sim.pki.access import Access
from kubeception_sim.pki.bao import parameters
from kubeception_sim.pki.keys import service_account_pair
from kubeception_sim.pki.tenants import NAMESPACE, WRAP_SECONDS, Member, Tenant, Tenants, creation_path

ADMIN_HOURS = 8
NODE, MASTER = "node", "master"
_API_SERVICE = "api"
_ETCD, _FRONT_PROXY = "-etcd", "-front-proxy"


@dataclass(frozen=True)
class Mounts:
    """The names of a cluster's authorities."""

    cluster: str
    etcd: str
    front_proxy: str

    @classmethod
    def of(cls, cluster: str) -> "Mounts":
        """By the cluster's name. Raises HarnessError for a name that gives an authority of another cluster."""
        if suffix := _borrowed(cluster):
            message = f"a cluster {cluster} would have an authority of {cluster.removesuffix(suffix)}"
            raise HarnessError(message, hint=f"give it a name that does not end in {suffix}")
        return cls(f"pki-{cluster}", f"pki-{cluster}{_ETCD}", f"pki-{cluster}{_FRONT_PROXY}")

    def instead_of(self, outer: str) -> str:
        """The authority that is to this cluster what `outer` is to the outer one."""
        return {CLUSTER: self.cluster, ETCD: self.etcd, FRONT_PROXY: self.front_proxy}[outer]


def requests(cluster: Cluster, vm: Vm, domain: str) -> dict[str, Request]:
    """The certificates of a machine by the names that the role templates have for them. Pure.

    They are those of a host of the outer cluster, but the API server has also the names by which it is found from outside:
    `api.ID.DOMAIN` at the entrance, and the service `api` in the cluster's namespace of the outer cluster.
    """
    # Certificates tell of nothing that other machines have.
    whole = as_giantnetes(cluster, (vm,))
    mounts, found = Mounts.of(cluster.name), of_host(whole, whole.hosts[0])
    service = f"{_API_SERVICE}.{cluster.namespace}"
    outside = (f"{_API_SERVICE}.{cluster.name}.{domain}", service, f"{service}.svc")
    return {
        name: replace(each, mount=mounts.instead_of(each.mount), dns=(*each.dns, *outside) if name == "apiserver" else each.dns)
        for name, each in found.items()
    }


def admin_request(cluster: str) -> Request:
    """A person's own. Pure."""
    return replace(administrator(), mount=Mounts.of(cluster).cluster, ttl_hours=ADMIN_HOURS)


def tenant(cluster: Cluster, vms: Sequence[Vm], domain: str) -> Tenant:
    """The cluster as OpenBao is to have it. Pure."""
    members = {vm.name: Member(tuple(requests(cluster, vm, domain).values()), _reads(vm)) for vm in vms}
    return replace(_nobody(cluster.name), members=members, others=(admin_request(cluster.name),))


def wanted(cluster: Cluster, vm: Vm, domain: str) -> dict[str, Any]:
    """What the pki step of a machine asks for (wanted.json, read by `agents.issue.wanted`). It holds no secret. Pure."""
    found = _nobody(cluster.name)
    return {
        "namespace": NAMESPACE,
        "creation_path": creation_path(cluster.name),
        "role": str(vm.role),
        "secrets": [f"{found.store}/{entry}" for entry in _reads(vm)],
        "certificates": [
            {"name": name, "mount": each.mount, "role": each.name, "body": parameters(each)}
            for name, each in sorted(requests(cluster, vm, domain).items())
        ],
    }


@dataclass(frozen=True)
class Administrator:
    """What a kubeconfig needs: the API's authority, and a certificate that is good for ADMIN_HOURS."""

    ca: str
    cert: str
    key: str = field(repr=False)


class ClusterPki:
    """The authorities of clusters (`inner.doors.Authorities`) in OpenBao.

    `access` is a controller's (`pki.tenants.admit_controller`); below `domain` are the entrances of clusters; `progress` hears of
    what changes.
    """

    def __init__(self, access: Access, domain: str, progress: Progress) -> None:
        self._access = access
        self._domain = domain
        self._tenants = Tenants(access, progress)

    def ensure(self, cluster: Cluster, vms: Sequence[Vm]) -> Issuer:
        """See `Authorities`. Raises HarnessError for a name that cannot be, and when OpenBao refuses or does not answer."""
        self._tenants.ensure(tenant(cluster, vms, self._domain), lambda roots: self._shared(cluster.name, roots))
        url = urlsplit(self._access.url)
        asked = {vm.name: wanted(cluster, vm, self._domain) for vm in vms}
        return Issuer(IPv4Address(url.hostname or ""), url.port or 443, self._access.ca.read_text(), asked)

    def token(self, cluster: Cluster, vm: Vm) -> Wrapped:
        """See `Authorities`."""
        return Wrapped(self._tenants.token(cluster.name, vm.name), WRAP_SECONDS)

    def administrator(self, cluster: str) -> Administrator:
        """A new certificate in system:masters, of a cluster that there is. Raises HarnessError."""
        request = admin_request(cluster)
        issued = self._tenants.issue(request)
        return Administrator(self._tenants.root(request.mount), issued.cert, issued.key)

    def drop(self, cluster: str) -> None:
        """See `Authorities`."""
        # What such a name stands for is another cluster's. It has nothing of its own: `ensure` refuses it.
        if not _borrowed(cluster):
            self._tenants.drop(_nobody(cluster))

    def _shared(self, cluster: str, roots: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        mounts = Mounts.of(cluster)
        signer: Issued = self._tenants.intermediate(mounts.cluster, f"{cluster}-node-signer")
        private, public = service_account_pair()
        return {
            MASTER: {
                "etcd_ca": roots[mounts.etcd],
                "front_proxy_ca": roots[mounts.front_proxy],
                "signer": {"cert": signer.cert, "key": signer.key},
                "service_account": {"key": private, "public": public},
            },
            # Nodes are certified by the signer below the root, which the API server takes for a root of its own.
            NODE: {"ca": roots[mounts.cluster] + signer.cert, "bootstrap_token": bootstrap_token()},
        }


def _borrowed(cluster: str) -> str:
    """The suffix by which a name would take an authority from another cluster; empty for most names."""
    return next((suffix for suffix in (_ETCD, _FRONT_PROXY) if cluster.endswith(suffix)), "")


def _nobody(cluster: str) -> Tenant:
    mounts = Mounts.of(cluster)
    return Tenant(cluster, (mounts.cluster, mounts.etcd, mounts.front_proxy), f"secrets-{cluster}", (MASTER, NODE))


def _reads(vm: Vm) -> tuple[str, ...]:
    return (NODE, MASTER) if vm.role is Role.MASTER else (NODE,)
