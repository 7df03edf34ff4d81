"""What a machine of an inner cluster is configured by: the values of its role template, but for secrets and certificates. Pure.

The templates are those of the outer cluster (mayu_py/templates/giantnetes-ROLE.bu, whose first lines name the values). What is
different for a machine: the masters do what a rack's router does elsewhere, its API servers are behind a balancer of its own, and
it tells its pod how far it is, not mayu. Its own network is on its kernel's line (`agents.vm.command`). The pki step adds what is
secret or certified (`agents.issue.render`).

Nothing here changes for a machine when a worker comes or goes: other values want another boot.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from kubeception_sim.giantnetes import cluster as giantnetes
from kubeception_sim.giantnetes.bringup import flags_of
from kubeception_sim.giantnetes.cluster import API_PORT
from kubeception_sim.giantnetes.values import Flags, kubernetes_values
from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.resource import POD_PREFIX, Cluster, Role
from kubeception_sim.inner.wanted_pod import BOOT_SECONDS
from kubeception_sim.model import scenario
from kubeception_sim.model.kubernetes import Version

STAGE_PORT = "/dev/virtio-ports/io.kubeception.stage"
ETCD_DISK = "/dev/disk/by-id/virtio-etcd"
POD_MTU = 1450
"""As a machine's NIC has it: what VXLAN leaves of the 1500 bytes that pods of the outer cluster have (RFC 7348)."""
BALANCER_PORT = 7443
JOIN_SECONDS = BOOT_SECONDS - 120
"""A machine that does not join has to say why before its pod is started again."""
# On an emulated processor a look at a program costs a third of a second (TLS), a new start of it minutes: it is looked at
# more rarely, and for longer before it is given up. Its memory is collected more rarely, too: an API server has a seventh less to
# do until it serves.
_EMULATED = {"probe_seconds": 30, "gogc": 400}
# Without it an API server that nobody asks does a quarter less in the minute and a half after its start (1.2 s, not 1.5, of a
# real processor).
_NO_FAIRNESS = "--enable-priority-and-fairness=false"
# A kubelet that waits for its turn on an emulated processor is no node that is lost.
_PATIENT_WITH_NODES = "--node-monitor-grace-period=120s"
_PATIENT_ELECTION = ("--leader-elect-lease-duration=60s", "--leader-elect-renew-deadline=45s", "--leader-elect-retry-period=5s")


@dataclass(frozen=True)
class RoleValues:
    """The values of machines (`inner.doors.Values`). `etcd_image` is among the images in what they boot; `admin_keys` are SSH
    public keys that let people in; with `emulated` a control plane is spared what an emulated processor is too slow for."""

    etcd_image: str
    admin_keys: tuple[str, ...] = ()
    emulated: bool = True

    def __call__(self, cluster: Cluster, vms: Sequence[Vm], vm: Vm) -> Mapping[str, Any]:
        """values.json of one machine among all: the template's variables `host` and `values`."""
        whole = as_giantnetes(cluster, vms)
        host = next(host for host in whole.hosts if host.name == vm.name)
        kubernetes = kubernetes_values(
            host.role,
            whole,
            _flags(cluster, emulated=self.emulated),
            etcd_image=self.etcd_image,
            api=_api_url(vm),
            pod_mtu=POD_MTU,
            join_seconds=JOIN_SECONDS,
        )
        values = {
            "admin_keys": list(self.admin_keys),
            "pod_subnet": str(host.pods),
            "rack": host.rack,
            "bgp": _bgp(cluster, whole, host),
            "stage_port": STAGE_PORT,
            "kubernetes": kubernetes,
            **dict(_of_role(whole, vm)),
            **(_EMULATED if self.emulated and vm.role is Role.MASTER else {}),
        }
        return {"host": {"name": vm.name, "address": str(vm.address)}, "values": values}


def as_giantnetes(cluster: Cluster, vms: Sequence[Vm]) -> giantnetes.Cluster:
    """An inner cluster as the outer one is described. A machine's gateway is its pod's bridge, its rack the cluster."""
    spec, network = cluster.spec, cluster.spec.network
    hosts = tuple(_host(cluster, vm) for vm in vms)
    return giantnetes.Cluster(spec.kubernetes, IPv4Address("127.0.0.1"), network.pods, network.services, network.domain, hosts)


def _host(cluster: Cluster, vm: Vm) -> giantnetes.Host:
    network = cluster.spec.network
    pods = network.pods.network_address + (vm.index << (32 - POD_PREFIX))
    return giantnetes.Host(
        vm.name,
        scenario.Role(str(vm.role)),
        cluster.name,
        vm.address,
        vm.address - 1,
        IPv4Network(f"{pods}/{POD_PREFIX}"),
    )


def _flags(cluster: Cluster, *, emulated: bool) -> Flags:
    # Who loses an election ends. While a control plane starts on an emulated processor, the usual ten seconds to be elected again
    # are too short: both programs ended once in each start, and the cluster waited a minute for the next election.
    alone = cluster.spec.masters.count == 1
    election = ("--leader-elect=false",) if alone else _PATIENT_ELECTION
    flags = flags_of(Version.parse(cluster.spec.kubernetes))
    return replace(
        flags,
        apiserver=(*flags.apiserver, *((_NO_FAIRNESS,) if emulated else ())),
        controller_manager=(*flags.controller_manager, *election, *((_PATIENT_WITH_NODES,) if emulated else ())),
        scheduler=(*flags.scheduler, *election),
    )


def _api_url(vm: Vm) -> str:
    # A master is asked by itself, a worker asks whichever master serves: with one of them, too, so that there may be three.
    return f"https://{vm.address}:{API_PORT}" if vm.role is Role.MASTER else f"https://127.0.0.1:{BALANCER_PORT}"


def _bgp(cluster: Cluster, whole: giantnetes.Cluster, host: giantnetes.Host) -> dict[str, Any]:
    peers = [
        {"name": master.name.replace("-", "_"), "address": str(master.address), "as": master.asn}
        for master in whole.masters
        if master.name != host.name
    ]
    nodes = {"range": str(cluster.spec.network.vms)} if host in whole.masters else {}
    return {"as": host.asn, "peers": peers, **nodes}


def _of_role(whole: giantnetes.Cluster, vm: Vm) -> Iterator[tuple[str, Any]]:
    if vm.role is Role.MASTER:
        yield "etcd_disk", ETCD_DISK
    else:
        yield "api_servers", [{"name": master.name, "address": str(master.address)} for master in whole.masters]
    if vm.labels:
        yield "node_labels", dict(vm.labels)
