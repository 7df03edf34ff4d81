"""What depends on the version of Kubernetes, from 1.20 to 1.37, in one table. Pure.

A version's rows come from its own change log (kubernetes/kubernetes, CHANGELOG/CHANGELOG-1.N.md) or the change that
is named, those of objects from the "Deprecated API Migration Guide", those of 1.20 also from `--help` of the binaries.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kubeception_sim.errors import BadInput


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """A release of Kubernetes or etcd; `patch` is 0 where only the minor counts."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> "Version":
        """From `v1.20.2`, `1.20.2` or `1.20`, what follows (`-rc.1`, `+k3s1`) being passed over. Raises BadInput."""
        found = re.fullmatch(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?", text)
        if found is None:
            raise BadInput(f"{text!r} is no version of Kubernetes", hint="write it as v1.20.2")
        return cls(int(found[1]), int(found[2]), int(found[3] or 0))

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"


OLDEST, NEWEST = Version(1, 20), Version(1, 37)


class Component(StrEnum):
    """The programs of a cluster, as they are called."""

    KUBELET = "kubelet"
    APISERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    PROXY = "kube-proxy"
    ETCD = "etcd"


class Kind(StrEnum):
    """Kinds whose apiVersion has moved since 1.20."""

    CRON_JOB = "CronJob"
    CSR = "CertificateSigningRequest"
    CSI_STORAGE_CAPACITY = "CSIStorageCapacity"
    ENDPOINT_SLICE = "EndpointSlice"
    FLOW_SCHEMA = "FlowSchema"
    HPA = "HorizontalPodAutoscaler"
    INGRESS = "Ingress"
    KUBE_PROXY_CONFIGURATION = "KubeProxyConfiguration"
    KUBE_SCHEDULER_CONFIGURATION = "KubeSchedulerConfiguration"
    KUBELET_CONFIGURATION = "KubeletConfiguration"
    POD_DISRUPTION_BUDGET = "PodDisruptionBudget"
    PRIORITY_CLASS = "PriorityClass"
    RUNTIME_CLASS = "RuntimeClass"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag that some versions do not know. `since` is the first minor that has it, `until` the first that has it no more. In
    the minors from `needed[0]` to before `needed[1]` it must be given as `value`."""

    component: Component
    name: str
    since: int = 0
    until: int | None = None
    needed: tuple[int, int] | None = None
    value: str = ""

    def is_known(self, version: Version) -> bool:
        """Does this version start with the flag?"""
        return self.since <= version.minor and (self.until is None or version.minor < self.until)

    def is_needed(self, version: Version) -> bool:
        """Must it be given?"""
        return self.needed is not None and self.needed[0] <= version.minor < self.needed[1]


_KLOG = (
    "add-dir-header", "alsologtostderr", "log-backtrace-at", "log-dir", "log-file", "log-file-max-size", "logtostderr",
    "one-output", "skip-headers", "skip-log-headers", "stderrthreshold",
)  # fmt: skip
_DOCKERSHIM = (
    "cni-bin-dir", "cni-cache-dir", "cni-conf-dir", "docker-endpoint", "image-pull-progress-deadline", "network-plugin",
    "network-plugin-mtu",
)  # fmt: skip
_PROGRAMS = tuple(each for each in Component if each is not Component.ETCD)

FLAGS = (
    # Without it, kubelet wants Docker. The only value left in 1.24, gone in 1.27.
    Flag(Component.KUBELET, "container-runtime", until=27, needed=(0, 24), value="remote"),
    *(Flag(Component.KUBELET, name, until=24) for name in _DOCKERSHIM),
    Flag(Component.KUBELET, "dynamic-config-dir", until=24),  # gone with DynamicKubeletConfig
    Flag(Component.KUBELET, "pod-infra-container-image", until=35),  # the runtime pins its own sandbox image (#133779)
    Flag(Component.APISERVER, "kubelet-https", until=22),  # 1.19 on: always HTTPS (#101178)
    # 1.20 refuses any port but 0, which is its default.
    *(Flag(Component.APISERVER, name, until=24) for name in ("address", "insecure-bind-address", "insecure-port", "port")),
    *(Flag(Component.APISERVER, name, until=33) for name in ("cloud-config", "cloud-provider")),
    # The insecure ports 10252 and 10251 are open unless this says no.
    *(
        Flag(program, "port", until=24, needed=(0, 24), value="0")
        for program in (Component.CONTROLLER_MANAGER, Component.SCHEDULER)
    ),
    *(Flag(program, "address", until=24) for program in (Component.CONTROLLER_MANAGER, Component.SCHEDULER)),
    Flag(Component.CONTROLLER_MANAGER, "cluster-signing-duration", since=19),
    Flag(Component.CONTROLLER_MANAGER, "experimental-cluster-signing-duration", until=25),  # #108476
    *(Flag(Component.CONTROLLER_MANAGER, name, until=27) for name in ("enable-taint-manager", "pod-eviction-timeout")),  # #115840
    *(Flag(Component.SCHEDULER, f"policy-{name}", until=23) for name in ("config-file", "configmap", "configmap-namespace")),
    *(Flag(program, name, until=26) for program in _PROGRAMS for name in _KLOG),  # #112120
)  # fmt: skip

# What replaces a flag that is gone, where something does: both mean the same.
RENAMED = {(Component.CONTROLLER_MANAGER, "experimental-cluster-signing-duration"): "cluster-signing-duration"}
REQUIRED = {
    # The API server does not start without: tokens are bound to an issuer since 1.20 (#95896).
    Component.APISERVER: frozenset({"service-account-issuer", "service-account-key-file", "service-account-signing-key-file"}),
}

# The best apiVersion from a minor on, oldest first. It is served until the next one's own table ends.
API_VERSIONS: Mapping[Kind, tuple[tuple[int, str], ...]] = {
    Kind.CRON_JOB: ((0, "batch/v1beta1"), (21, "batch/v1")),
    Kind.CSR: ((19, "certificates.k8s.io/v1"),),
    Kind.CSI_STORAGE_CAPACITY: ((19, "storage.k8s.io/v1alpha1"), (21, "storage.k8s.io/v1beta1"), (24, "storage.k8s.io/v1")),
    Kind.ENDPOINT_SLICE: ((17, "discovery.k8s.io/v1beta1"), (21, "discovery.k8s.io/v1")),
    Kind.FLOW_SCHEMA: (
        (20, "flowcontrol.apiserver.k8s.io/v1beta1"),
        (23, "flowcontrol.apiserver.k8s.io/v1beta2"),
        (26, "flowcontrol.apiserver.k8s.io/v1beta3"),
        (29, "flowcontrol.apiserver.k8s.io/v1"),
    ),
    Kind.HPA: ((12, "autoscaling/v2beta2"), (23, "autoscaling/v2")),
    Kind.INGRESS: ((19, "networking.k8s.io/v1"),),
    Kind.KUBE_PROXY_CONFIGURATION: ((0, "kubeproxy.config.k8s.io/v1alpha1"),),
    Kind.KUBE_SCHEDULER_CONFIGURATION: (
        (19, "kubescheduler.config.k8s.io/v1beta1"),
        (22, "kubescheduler.config.k8s.io/v1beta2"),
        (23, "kubescheduler.config.k8s.io/v1beta3"),
        (25, "kubescheduler.config.k8s.io/v1"),
    ),
    Kind.KUBELET_CONFIGURATION: ((0, "kubelet.config.k8s.io/v1beta1"),),
    Kind.POD_DISRUPTION_BUDGET: ((0, "policy/v1beta1"), (21, "policy/v1")),
    Kind.PRIORITY_CLASS: ((14, "scheduling.k8s.io/v1"),),
    Kind.RUNTIME_CLASS: ((14, "node.k8s.io/v1beta1"), (20, "node.k8s.io/v1")),
}

# Gates that were once set by hand, and the first minor that refuses to be told of them.
REMOVED_GATES: Mapping[str, int] = {
    "CSRDuration": 26, "DefaultPodTopologySpread": 26, "DynamicKubeletConfig": 26, "HugePageStorageMediumSize": 24,
    "ImmutableEphemeralVolumes": 24, "IndexedJob": 26, "NamespaceDefaultLabelName": 24, "NonPreemptingPriority": 26,
    "RuntimeClass": 24, "SetHostnameAsFQDN": 24, "StreamingProxyRedirects": 24, "ValidateProxyRedirects": 24,
    "WarningHeaders": 24,
}  # fmt: skip

# The etcd that a minor's own installer brings, from that minor on.
_ETCD = ((20, Version(3, 4, 13)), (22, Version(3, 5, 0)), (34, Version(3, 6, 4)))
_CGROUP_V1_REFUSED = 35
_CONTROL_PLANE_LABEL, _MASTER_LABEL = "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"


def flags(component: Component, version: Version, settings: Mapping[str, str]) -> tuple[str, ...]:
    """The command line of a component: its settings (a flag's name -> value), and what this version wants beside them.

    Sorted by name. A flag that was only renamed is given under the name this version knows. Raises BadInput for a version outside
    the table, a flag that this version does not have (it would not start), and one that it must be given but is missing.
    """
    _in_table(version)
    wanted = {_current_name(component, name, version): value for name, value in settings.items()}
    for row in FLAGS:
        if row.component is component:
            if row.name in wanted and not row.is_known(version):
                raise BadInput(f"{component} {version} has no flag --{row.name}", hint=_when(row))
            if row.is_needed(version):
                wanted.setdefault(row.name, row.value)
    if missing := REQUIRED.get(component, frozenset()) - wanted.keys():
        raise BadInput(f"{component} {version} does not start without --{', --'.join(sorted(missing))}")
    return tuple(f"--{name}={value}" for name, value in sorted(wanted.items()))


def extra_flags(component: Component, version: Version) -> tuple[str, ...]:
    """What this version must be given beside the flags that all versions take: for templates that hold the latter."""
    _in_table(version)
    return tuple(f"--{row.name}={row.value}" for row in FLAGS if row.component is component and row.is_needed(version))


def api_version(kind: Kind, version: Version) -> str:
    """The apiVersion in which this version serves a kind, the most stable one. Raises BadInput outside the table."""
    _in_table(version)
    return [name for since, name in API_VERSIONS[kind] if since <= version.minor][-1]


def control_plane_labels(version: Version) -> tuple[str, ...]:
    """The labels of a node with a control plane: both names from 1.20, the old one gone in 1.24 (KEP 2067)."""
    _in_table(version)
    return (_CONTROL_PLANE_LABEL, _MASTER_LABEL) if version.minor < 24 else (_CONTROL_PLANE_LABEL,)


def control_plane_taints(version: Version) -> tuple[str, ...]:
    """Keys of the taints that pods for all nodes tolerate: the new one is set from 1.24 on, the old one before (KEP 2067)."""
    _in_table(version)
    return (_CONTROL_PLANE_LABEL, _MASTER_LABEL) if version.minor < 25 else (_CONTROL_PLANE_LABEL,)


def kubelet_skew(kubelet: Version, apiserver: Version) -> str:
    """Why a kubelet, or a kube-proxy, must not speak to an API server of that version; empty if it may (version skew policy)."""
    behind = 3 if apiserver.minor >= 28 else 2
    if kubelet.major != apiserver.major:
        return f"kubelet {kubelet} and API server {apiserver} differ in their major version"
    if kubelet.minor > apiserver.minor:
        return f"kubelet {kubelet} is newer than the API server {apiserver}"
    if apiserver.minor - kubelet.minor > behind:
        return f"kubelet {kubelet} is more than {behind} minors behind the API server {apiserver}"
    return ""


def upgrade_skew(old: Version, new: Version) -> str:
    """Why a control plane must not go from one version to the other; empty if it may: one minor at a time, never back."""
    if (new.major, new.minor) < (old.major, old.minor):
        return f"from {old} back to {new}: what is stored may be of a version that the older one does not know"
    if new.major != old.major or new.minor - old.minor > 1:
        return f"from {old} to {new}: control planes go one minor at a time"
    return ""


def etcd_version(version: Version) -> Version:
    """The etcd that came with this version."""
    _in_table(version)
    return [etcd for since, etcd in _ETCD if since <= version.minor][-1]


def kubelet_settings(version: Version, cgroup_version: int) -> dict[str, bool | str]:
    """The fields of KubeletConfiguration that depend on the version, with systemd as the one manager of cgroups (its own default
    is cgroupfs). From 1.35 on, kubelet refuses cgroup v1 unless told not to (KEP 4569)."""
    _in_table(version)
    tolerated = cgroup_version == 1 and version.minor >= _CGROUP_V1_REFUSED
    return {"cgroupDriver": "systemd"} | ({"failCgroupV1": False} if tolerated else {})


def removed_gates(gates: Mapping[str, bool], version: Version) -> tuple[str, ...]:
    """Which of these feature gates this version refuses to be told of, sorted."""
    _in_table(version)
    return tuple(sorted(gate for gate in gates if version.minor >= REMOVED_GATES.get(gate, version.minor + 1)))


def _current_name(component: Component, name: str, version: Version) -> str:
    rows = [row for row in FLAGS if row.component is component and row.name == name]
    is_known = all(row.is_known(version) for row in rows)
    return name if is_known else RENAMED.get((component, name), name)


def _when(row: Flag) -> str:
    return f"it is there from 1.{row.since} on" if row.until is None else f"it was removed in 1.{row.until}"


def _in_table(version: Version) -> None:
    if not (OLDEST.major, OLDEST.minor) <= (version.major, version.minor) <= (NEWEST.major, NEWEST.minor):
        raise BadInput(f"{version} is not one of the versions 1.{OLDEST.minor} to 1.{NEWEST.minor}")
