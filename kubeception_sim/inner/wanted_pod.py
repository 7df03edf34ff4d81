"""The pod of a machine. Pure.

    init image     what the guest boots, once for each node          root without capabilities
    init disk      masters: etcd's folder on the node                root with CHOWN and FOWNER
    init network   bridge, VXLAN, tap, rules                         root with NET_ADMIN
    init pki       certificates, the Ignition config                 the machine's user
    bridge         keeps the network as it should be                 root with NET_ADMIN
    renew          new certificates while the machine runs           the machine's user
    vm             QEMU                                              the machine's user

All agents read `KUBECEPTION_CLUSTER`, `_VM`, `_ROLE`, `_VNI`, `_INDEX` (the machine's /30, from 1), `_SUBNET` (of all machines).
bridge: `KUBECEPTION_PODS` (the range of pods inside), `POD_IP`, `NETWORK_ETCD` (URL), /run/network/{ca.crt,user,password}.
pki: `BAO_ADDR`, `BAO_CACERT`, /run/token/wrapped, /etc/vm/{values,wanted}.json.
vm: `KUBECEPTION_CPUS`, `_MEMORY` (MiB), `_ACCEL`, `_KERNEL`, `_INITRD`, `_ROOTFS` (paths); with a disk, `_ETCD_DISK` (path) and
`_ETCD_DISK_SIZE` (MiB).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.doors import Facts, GuestImage
from kubeception_sim.inner.resource import Cluster

ACCOUNT = "vm"
STORE_SECRET = "network"
API_PORT, INGRESS_PORT, VXLAN_PORT = 6443, 30080, 8472
VM_PORT, BRIDGE_PORT = 9080, 9081
USER = 64055
IMAGES = "/var/lib/kubeception/images"
CLUSTERS = "/var/lib/kubeception/clusters"
BOOT_SECONDS = 1200
"""After this a machine that does not run is started again. Under emulation, with others beside it, a boot takes minutes."""
END_SECONDS = 120
AWAY_SECONDS = 60
"""After this a worker leaves a node that is away, and starts on another."""
_PROBE_SECONDS = 2
_TUN = "/dev/net/tun"
_ETCD_IMAGE = "etcd.img"

# QEMU beside the guest's memory, in MiB. Under emulation it keeps translated code, up to a GiB of it (tb-size).
_OVERHEAD = {"kvm": 384, "tcg": 1536}
_REQUESTED_OVERHEAD = 256
# Guests are idle most of the time: a machine asks for a quarter of each processor. What it may have is bounded by its threads,
# one for each processor; a limit beyond what the node itself may have is refused by the kernel (cgroup v1).
_CPU_REQUEST = 250
_SIDECAR_SIZE, _STEP_CPU = 128, 20


def values_map(vm: Vm) -> str:
    """The name of the ConfigMap with a machine's values."""
    return f"{vm.name}-values"


def token_secret(vm: Vm) -> str:
    """The name of the Secret with the token for one start. The pod waits for it: until it is there, nothing is mounted."""
    return f"{vm.name}-token"


def pod(cluster: Cluster, vm: Vm, facts: Facts, *, cluster_label: str, role_label: str) -> dict[str, Any]:
    """The pod's spec."""
    steps = _Steps(cluster, vm, facts)
    disk = [steps.disk()] if vm.disk else []
    return {
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": END_SECONDS,
        # The only name that is asked for is the store's, and that is written down here.
        "dnsPolicy": "Default",
        "hostAliases": [{"ip": str(facts.store.address), "hostnames": [facts.store.name]}],
        "affinity": _apart(cluster, vm, cluster_label, role_label) | _at_home(vm),
        "tolerations": list(_patience(vm)),
        # Secrets and values are root's, and readable for this group.
        "securityContext": {"fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [steps.image(), *disk, steps.network(), steps.pki()],
        "containers": [steps.vm(), steps.bridge(), steps.renew()],
        "volumes": list(_volumes(cluster, vm)),
    }


def _apart(cluster: Cluster, vm: Vm, cluster_label: str, role_label: str) -> dict[str, Any]:
    def term(weight: int, labels: Mapping[str, str]) -> dict[str, Any]:
        affinity = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": dict(labels)}}
        return {"weight": weight, "podAffinityTerm": affinity}

    ours = {cluster_label: cluster.name}
    # Preferred, not required: a cluster may have more machines than there are nodes.
    terms = [term(100, ours | {role_label: str(vm.role)}), term(50, ours)]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}


def _at_home(vm: Vm) -> dict[str, Any]:
    """A machine with a disk runs where that is, and nowhere else."""
    if not vm.node:
        return {}
    fields = [{"key": "metadata.name", "operator": "In", "values": [vm.node]}]
    terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _patience(vm: Vm) -> Iterable[dict[str, Any]]:
    """How long a pod stays that of a node which is away: a disk is nowhere else, so its machine waits for it without end."""
    limit = {} if vm.disk else {"tolerationSeconds": AWAY_SECONDS}
    for condition in ("not-ready", "unreachable"):
        yield {"key": f"node.kubernetes.io/{condition}", "operator": "Exists", "effect": "NoExecute"} | limit


def folder(cluster: Cluster) -> str:
    """Where a cluster's disks are on a node. With the uid: a later cluster of this name must not find the etcd of this one."""
    return f"{CLUSTERS}/{cluster.name}-{cluster.uid[:8]}"


def requested(vm: Vm) -> tuple[int, int]:
    """What a machine asks for of its node: memory in MiB, processors in thousandths; all containers together."""
    # Beside QEMU: the sidecars `bridge` and `renew`, which ask for half of what they may have.
    return vm.memory + _REQUESTED_OVERHEAD + _SIDECAR_SIZE, vm.cpus * _CPU_REQUEST + 2 * _STEP_CPU


def _volumes(cluster: Cluster, vm: Vm) -> Iterable[dict[str, Any]]:
    yield {"name": "config", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}
    yield {"name": "stages", "emptyDir": {}}
    yield {"name": "images", "hostPath": {"path": IMAGES, "type": "DirectoryOrCreate"}}
    yield {"name": "tun", "hostPath": {"path": _TUN, "type": "CharDevice"}}
    yield {"name": "values", "configMap": {"name": values_map(vm), "defaultMode": 0o444}}
    yield {"name": "token", "secret": {"secretName": token_secret(vm), "defaultMode": 0o440}}
    yield {"name": "store", "secret": {"secretName": STORE_SECRET, "defaultMode": 0o440}}
    if vm.disk:
        yield {"name": "disk", "hostPath": {"path": f"{folder(cluster)}/{vm.name}", "type": "DirectoryOrCreate"}}


class _Steps:
    """The containers; each method is one."""

    def __init__(self, cluster: Cluster, vm: Vm, facts: Facts) -> None:
        self._cluster, self._vm, self._facts = cluster, vm, facts
        self._guest: GuestImage = facts.giantnetes.guest(cluster)
        self._disk_path = f"{CLUSTERS}/{cluster.name}/{vm.name}"

    def image(self) -> dict[str, Any]:
        sums = (self._guest.kernel, self._guest.initrd, self._guest.rootfs)
        command = ("kubeception_sim.agents.vm.image", self._guest.url, *sums)
        return self._container("image", command, mounts=[_mount("images", IMAGES)], security=_root(), size=_step_size(256))

    def disk(self) -> dict[str, Any]:
        # The kubelet makes the folder root's; the machine's user writes into it.
        found = self._container("disk", (), mounts=[self._disk()], security=_root("CHOWN", "FOWNER"), size=_step_size(32))
        return found | {"command": ["install", "-d", "-o", str(USER), "-g", str(USER), "-m", "0700", self._disk_path]}

    def network(self) -> dict[str, Any]:
        return self._bridge("network", "setup") | {"resources": _step_size(128)}

    def bridge(self) -> dict[str, Any]:
        probe = {"httpGet": {"path": "/healthz", "port": BRIDGE_PORT}, "timeoutSeconds": 5}
        return self._bridge("bridge", "run") | {
            "ports": [{"name": "bridge", "containerPort": BRIDGE_PORT, "protocol": "TCP"}],
            "readinessProbe": probe | {"periodSeconds": 5},
            "livenessProbe": probe | {"periodSeconds": 10, "failureThreshold": 6},
        }

    def pki(self) -> dict[str, Any]:
        return self._issue("pki")

    def renew(self) -> dict[str, Any]:
        # The token stays out of the container that runs strangers' code.
        return self._issue("renew", "renew")

    def _issue(self, name: str, *words: str) -> dict[str, Any]:
        environment = {"BAO_ADDR": self._facts.issuer.url, "BAO_CACERT": "/etc/vm/ca.crt"}
        mounts = [
            _mount("config", "/run/config"),
            _mount("values", "/etc/vm", read_only=True),
            _mount("token", "/run/token", read_only=True),
        ]
        module = ("kubeception_sim.agents.issue", *words)
        return self._container(name, module, environment, mounts=mounts, security=_user(), size=_step_size(_SIDECAR_SIZE))

    def vm(self) -> dict[str, Any]:
        mounts = [
            _mount("config", "/run/config", read_only=True),
            _mount("stages", "/run/vm"),
            _mount("images", IMAGES, read_only=True),
            _mount("tun", _TUN),
            *([self._disk()] if self._vm.disk else []),
        ]
        module = ("kubeception_sim.agents.vm",)
        ready = {"httpGet": {"path": "/readyz", "port": VM_PORT}, "periodSeconds": _PROBE_SECONDS, "timeoutSeconds": 5}
        found = self._container("vm", module, self._machine(), mounts=mounts, security=_user(), size=self._size())
        return found | {
            "ports": [
                {"name": "health", "containerPort": VM_PORT, "protocol": "TCP"},
                *({"name": name, "containerPort": port, "protocol": "TCP"} for name, port in self._served().items()),
            ],
            "startupProbe": ready | {"failureThreshold": BOOT_SECONDS // _PROBE_SECONDS},
            "readinessProbe": ready,
            "livenessProbe": ready
            | {"httpGet": {"path": "/healthz", "port": VM_PORT}, "periodSeconds": 10, "failureThreshold": 6},
        }

    def _served(self) -> Mapping[str, int]:
        return {"api": API_PORT} if self._vm.disk else {"ingress": INGRESS_PORT}

    def _machine(self) -> dict[str, str]:
        vm, guest = self._vm, self._guest
        found = {
            "KUBECEPTION_CPUS": str(vm.cpus),
            "KUBECEPTION_MEMORY": str(vm.memory),
            "KUBECEPTION_ACCEL": self._facts.giantnetes.accelerator,
            "KUBECEPTION_KERNEL": f"{IMAGES}/{guest.kernel}/kernel",
            "KUBECEPTION_INITRD": f"{IMAGES}/{guest.initrd}/initrd.zst",
            "KUBECEPTION_ROOTFS": f"{IMAGES}/{guest.rootfs}/rootfs.squashfs",
        }
        disk = {"KUBECEPTION_ETCD_DISK": f"{self._disk_path}/{_ETCD_IMAGE}", "KUBECEPTION_ETCD_DISK_SIZE": str(vm.disk)}
        return found | (disk if vm.disk else {})

    def _size(self) -> dict[str, Any]:
        memory, overhead = self._vm.memory, _OVERHEAD[self._facts.giantnetes.accelerator]
        return {
            "requests": {"cpu": f"{self._vm.cpus * _CPU_REQUEST}m", "memory": f"{memory + _REQUESTED_OVERHEAD}Mi"},
            "limits": {"memory": f"{memory + overhead}Mi"},
        }

    def _disk(self) -> dict[str, Any]:
        return _mount("disk", self._disk_path)

    def _bridge(self, name: str, verb: str) -> dict[str, Any]:
        mounts = [_mount("store", "/run/network", read_only=True), _mount("tun", _TUN)]
        command = ("kubeception_sim.agents.bridge", verb)
        environment = {"NETWORK_ETCD": self._facts.store.url, "KUBECEPTION_PODS": str(self._cluster.spec.network.pods)}
        security, size = _root("NET_ADMIN"), _step_size(_SIDECAR_SIZE)
        found = self._container(name, command, environment, mounts=mounts, security=security, size=size)
        found["env"].append({"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}})
        return found

    def _container(
        self,
        name: str,
        module: tuple[str, ...],
        environment: Mapping[str, str] | None = None,
        *,
        mounts: list[dict[str, Any]],
        security: dict[str, Any],
        size: dict[str, Any],
    ) -> dict[str, Any]:
        variables = self._common() | dict(environment or {})
        return {
            "name": name,
            "image": self._facts.giantnetes.vm_image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-m", *module],
            "env": [{"name": key, "value": value} for key, value in variables.items()],
            "volumeMounts": mounts,
            "securityContext": security | {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
            "resources": size,
        }

    def _common(self) -> dict[str, str]:
        return {
            "KUBECEPTION_CLUSTER": self._cluster.name,
            "KUBECEPTION_VM": self._vm.name,
            "KUBECEPTION_ROLE": str(self._vm.role),
            "KUBECEPTION_VNI": str(self._facts.vni),
            "KUBECEPTION_INDEX": str(self._vm.index),
            "KUBECEPTION_SUBNET": str(self._cluster.spec.network.vms),
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def _root(*capabilities: str) -> dict[str, Any]:
    added = {"add": list(capabilities)} if capabilities else {}
    return {"runAsUser": 0, "capabilities": {"drop": ["ALL"], **added}}


def _user() -> dict[str, Any]:
    return {"runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}


def _mount(name: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {})


def _step_size(mebibytes: int) -> dict[str, Any]:
    return {"requests": {"cpu": f"{_STEP_CPU}m", "memory": f"{mebibytes // 2}Mi"}, "limits": {"memory": f"{mebibytes}Mi"}}
