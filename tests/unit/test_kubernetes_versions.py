"""What depends on the version of Kubernetes: flags, apiVersions, labels, skew."""

import re
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.errors import BadInput
from kubeception_sim.giantnetes import addons_dns
from kubeception_sim.model import kubernetes
from kubeception_sim.model.kubernetes import FLAGS, NEWEST, OLDEST, Component, Kind, Version, flags

V20, V23, V24, V27, V35 = (Version(1, minor) for minor in (20, 23, 24, 27, 35))
TOKENS = dict.fromkeys(("service-account-issuer", "service-account-key-file", "service-account-signing-key-file"), "/x")
KNOWN = Path(__file__).parents[1] / "golden" / "kubernetes"
versions = st.integers(OLDEST.minor, NEWEST.minor).map(lambda minor: Version(1, minor))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1.20.2", Version(1, 20, 2)),
        ("1.20", Version(1, 20)),
        ("v1.31.0-rc.1", Version(1, 31)),
        ("v1.35.7+k3s1", Version(1, 35, 7)),
    ],
)
def test_versions_are_read(text: str, version: Version) -> None:
    assert Version.parse(text) == version


@pytest.mark.parametrize("text", ["", "1", "latest", "1.x", "v1.20.2.3"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="no version"):
        Version.parse(text)


@given(versions, st.integers(0, 30))
def test_versions_are_numbers_and_not_text(version: Version, patch: int) -> None:
    assert Version.parse(str(Version(version.major, version.minor, patch))) == Version(version.major, version.minor, patch)
    assert Version(1, 9) < Version(1, 10)


@pytest.mark.parametrize(
    ("component", "version", "expected"),
    [
        (Component.KUBELET, V20, ("--container-runtime=remote",)),
        (Component.KUBELET, V24, ()),
        (Component.CONTROLLER_MANAGER, V23, ("--port=0",)),
        (Component.CONTROLLER_MANAGER, V24, ()),
        (Component.SCHEDULER, V20, ("--port=0",)),
        (Component.APISERVER, V20, ()),
        (Component.PROXY, V20, ()),
        (Component.ETCD, V20, ()),
    ],
)
def test_what_a_version_wants_beside_what_all_take(component: Component, version: Version, expected: tuple[str, ...]) -> None:
    assert kubernetes.extra_flags(component, version) == expected


def test_settings_become_sorted_flags_and_win_over_the_table() -> None:
    found = flags(Component.CONTROLLER_MANAGER, V20, {"port": "10252", "leader-elect": "true"})
    assert found == ("--leader-elect=true", "--port=10252")


def test_a_renamed_flag_is_given_under_the_name_that_the_version_knows() -> None:
    setting = {"experimental-cluster-signing-duration": "1h"}
    assert "--experimental-cluster-signing-duration=1h" in flags(Component.CONTROLLER_MANAGER, V24, setting)
    assert flags(Component.CONTROLLER_MANAGER, Version(1, 25), setting) == ("--cluster-signing-duration=1h",)


@pytest.mark.parametrize(
    ("component", "name", "last"),
    [
        (Component.KUBELET, "container-runtime", 26),
        (Component.KUBELET, "network-plugin", 23),
        (Component.KUBELET, "pod-infra-container-image", 34),
        (Component.APISERVER, "kubelet-https", 21),
        (Component.APISERVER, "insecure-port", 23),
        (Component.CONTROLLER_MANAGER, "pod-eviction-timeout", 26),
        (Component.SCHEDULER, "port", 23),
        (Component.PROXY, "log-dir", 25),
    ],
)
def test_a_flag_that_is_gone_is_refused_from_then_on(component: Component, name: str, last: int) -> None:
    tokens = TOKENS if component is Component.APISERVER else {}
    assert f"--{name}=x" in flags(component, Version(1, last), tokens | {name: "x"})
    with pytest.raises(BadInput, match=f"no flag --{name}"):
        flags(component, Version(1, last + 1), tokens | {name: "x"})


def test_an_api_server_needs_an_issuer_of_tokens() -> None:
    with pytest.raises(BadInput, match="service-account-issuer"):
        flags(Component.APISERVER, V20, {})


@given(versions, st.sampled_from(Component))
def test_no_version_is_given_a_flag_that_it_does_not_know(version: Version, component: Component) -> None:
    names = {flag.removeprefix("--").partition("=")[0] for flag in kubernetes.extra_flags(component, version)}
    assert all(row.is_known(version) for row in FLAGS if row.component is component and row.name in names)


@pytest.mark.parametrize("version", [Version(1, 19), Version(1, NEWEST.minor + 1), Version(2, 20)])
def test_versions_outside_the_table_are_refused(version: Version) -> None:
    with pytest.raises(BadInput, match="not one of the versions"):
        kubernetes.api_version(Kind.CRON_JOB, version)


@pytest.mark.parametrize("component", [each for each in Component if each is not Component.ETCD])
def test_1_20_2_knows_what_the_table_says_of_it(component: Component) -> None:
    """The golden files hold the names of `--help`, and of flags that are hidden there as deprecated."""
    known = set((KNOWN / f"{component}-1.20.2.txt").read_text().split())
    for row in FLAGS:
        if row.component is component and row.until is not None:
            assert row.name in known, f"--{row.name} is said to be removed in 1.{row.until}, but was not there in 1.20"
    given_flags = {flag.removeprefix("--").partition("=")[0] for flag in kubernetes.extra_flags(component, V20)}
    assert given_flags | set(TOKENS if component is Component.APISERVER else ()) <= known


@pytest.mark.parametrize(
    ("kind", "at", "expected"),
    [
        (Kind.POD_DISRUPTION_BUDGET, 20, "policy/v1beta1"),
        (Kind.POD_DISRUPTION_BUDGET, 21, "policy/v1"),
        (Kind.CRON_JOB, 20, "batch/v1beta1"),
        (Kind.ENDPOINT_SLICE, 20, "discovery.k8s.io/v1beta1"),
        (Kind.ENDPOINT_SLICE, 25, "discovery.k8s.io/v1"),
        (Kind.FLOW_SCHEMA, 25, "flowcontrol.apiserver.k8s.io/v1beta2"),
        (Kind.FLOW_SCHEMA, 37, "flowcontrol.apiserver.k8s.io/v1"),
        (Kind.HPA, 22, "autoscaling/v2beta2"),
        (Kind.HPA, 23, "autoscaling/v2"),
        (Kind.CSR, 20, "certificates.k8s.io/v1"),
    ],
)
def test_kinds_have_the_best_api_version_that_is_served(kind: Kind, at: int, expected: str) -> None:
    assert kubernetes.api_version(kind, Version(1, at)) == expected


def test_masters_became_the_control_plane() -> None:
    new, old = "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"
    assert kubernetes.control_plane_labels(V23) == (new, old)
    assert kubernetes.control_plane_labels(V24) == (new,)
    assert kubernetes.control_plane_taints(V24) == (new, old)
    assert kubernetes.control_plane_taints(Version(1, 25)) == (new,)


@pytest.mark.parametrize(
    ("kubelet", "apiserver", "is_allowed"),
    [(20, 20, True), (18, 20, True), (17, 20, False), (21, 20, False), (25, 28, True), (24, 27, False), (24, 28, False)],
)
def test_kubelets_may_lag_but_not_lead(kubelet: int, apiserver: int, is_allowed: bool) -> None:
    assert (kubernetes.kubelet_skew(Version(1, kubelet), Version(1, apiserver)) == "") is is_allowed


@pytest.mark.parametrize(("old", "new", "is_allowed"), [(20, 20, True), (20, 21, True), (20, 22, False), (21, 20, False)])
def test_control_planes_go_one_minor_at_a_time(old: int, new: int, is_allowed: bool) -> None:
    assert (kubernetes.upgrade_skew(Version(1, old), Version(1, new)) == "") is is_allowed


def test_cgroup_v1_must_be_allowed_from_1_35_on() -> None:
    assert kubernetes.kubelet_settings(V20, 1) == {"cgroupDriver": "systemd"}
    assert kubernetes.kubelet_settings(V35, 1) == {"cgroupDriver": "systemd", "failCgroupV1": False}
    assert kubernetes.kubelet_settings(V35, 2) == {"cgroupDriver": "systemd"}


def test_gates_that_are_gone_are_found() -> None:
    assert kubernetes.removed_gates({"IndexedJob": True, "Unheard": True}, Version(1, 26)) == ("IndexedJob",)
    assert kubernetes.removed_gates({"IndexedJob": True}, Version(1, 25)) == ()


def test_etcd_follows() -> None:
    assert [kubernetes.etcd_version(version).minor for version in (V20, V27, V35)] == [4, 5, 6]


def test_the_dns_add_on_is_as_the_version_wants_it_and_has_no_privilege() -> None:
    objects = addons_dns.manifests("kubeception.local/agent:1", IPv4Address("10.61.0.10"), "cluster.local", 2, V20)
    by_kind = {each["kind"]: each for each in objects}
    assert by_kind["PodDisruptionBudget"]["apiVersion"] == "policy/v1beta1"
    assert by_kind["Service"]["spec"]["clusterIP"] == "10.61.0.10"
    assert {(port["port"], port["protocol"]) for port in by_kind["Service"]["spec"]["ports"]} == {(53, "UDP"), (53, "TCP")}
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    context = pod["containers"][0]["securityContext"]
    assert (context["runAsNonRoot"], context["readOnlyRootFilesystem"]) == (True, True)
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert {"node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane"} <= {
        each["key"] for each in pod["tolerations"]
    }
    listened = {port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert {port["targetPort"] for port in by_kind["Service"]["spec"]["ports"]} <= listened


def test_the_dns_add_on_may_read_what_it_follows_and_change_nothing() -> None:
    objects = addons_dns.manifests("agent", IPv4Address("10.61.0.10"), "cluster.local", 2)
    rules = next(each for each in objects if each["kind"] == "ClusterRole")["rules"]
    assert {resource for rule in rules for resource in rule["resources"]} == {"services", "pods", "endpointslices"}
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list", "watch"}
    assert re.fullmatch(r"policy/v1", objects[-1]["apiVersion"])
