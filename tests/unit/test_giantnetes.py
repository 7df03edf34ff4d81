"""The outer cluster as values: what a scenario describes, what hosts are told, and when the API's answers mean that it serves."""

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import jinja2
import pytest

from kubeception_sim.giantnetes.cluster import cluster_of
from kubeception_sim.giantnetes.nodes import left_over, nodes_of, unavailable, unready
from kubeception_sim.giantnetes.values import Flags, Pair, Shared, host_values, profile_values
from kubeception_sim.model.rules import parse
from kubeception_sim.model.scenario import Role
from kubeception_sim.network.bird import ROUTER_AS, HostPlan, host_bird_config

SCENARIO = """\
schema: 1
name: outer
driver: namespace
fabric:
  racks:
    - {name: a, subnet: 10.77.1.0/24}
    - {name: b, subnet: 10.77.2.0/24}
outer: {pods: 10.60.0.0/20}
machines:
  - {name: master-1, role: master, rack: a}
  - {name: worker-1, role: worker, rack: a}
  - {name: worker-2, role: worker, rack: b, address: 10.77.2.40}
steps:
  - {do: power-on}
"""
SCENARIO_READ = parse(SCENARIO, "outer.yaml")
assert SCENARIO_READ.outer is not None
CLUSTER = cluster_of(SCENARIO_READ, SCENARIO_READ.outer)
SHARED = Shared(
    ca="ca",
    etcd_ca="etcd ca",
    front_proxy_ca="front proxy ca",
    signer=Pair("signer", "signer's key"),
    service_account_key="sa key",
    service_account_public="sa public",
    bootstrap_token="abcdef.0123456789abcdef",
    etcd_image="etcd:3",
)


def test_each_machine_with_a_role_is_a_host_with_a_subnet_and_a_number_of_its_own() -> None:
    assert [(host.name, host.role, host.rack, str(host.address), str(host.pods), host.asn) for host in CLUSTER.hosts] == [
        ("master-1", Role.MASTER, "a", "10.77.1.11", "10.60.1.0/24", 4_200_000_267),
        ("worker-1", Role.WORKER, "a", "10.77.1.12", "10.60.2.0/24", 4_200_000_268),
        ("worker-2", Role.WORKER, "b", "10.77.2.40", "10.60.3.0/24", 4_200_000_552),
    ]
    assert [str(host.gateway) for host in CLUSTER.hosts] == ["10.77.1.1", "10.77.1.1", "10.77.2.1"]


def test_the_numbers_are_for_private_use() -> None:
    """RFC 6996: 4200000000 to 4294967294."""
    last = IPv4Address("10.255.255.255")
    assert 4_200_000_000 <= CLUSTER.hosts[0].asn <= 4_200_000_000 + int.from_bytes(last.packed[2:]) <= 4_294_967_294


def test_the_well_known_addresses_are_the_first_and_the_tenth_of_the_services() -> None:
    assert (str(CLUSTER.service), str(CLUSTER.dns), CLUSTER.api_url) == ("10.61.0.1", "10.61.0.10", "https://10.77.0.1:6443")


def test_a_worker_is_told_no_secret_but_the_bootstrap_token() -> None:
    worker = profile_values(Role.WORKER, CLUSTER, SHARED, Flags(), admin_keys=("key",))
    for secret in ("signer's key", "sa key", "sa public", "etcd ca"):
        assert secret not in repr(worker)
    assert worker["kubernetes"]["bootstrap_token"] == "abcdef.0123456789abcdef"


def test_a_master_is_told_who_the_members_of_etcd_are() -> None:
    master = profile_values(Role.MASTER, CLUSTER, SHARED, Flags(), admin_keys=())
    assert master["kubernetes"]["etcd_members"] == [{"name": "master-1", "address": "10.77.1.11"}]
    assert master["kubernetes"]["signer"] == {"cert": "signer", "key": "signer's key"}


def test_a_host_announces_its_own_pods_to_its_own_rack() -> None:
    host = CLUSTER.hosts[2]
    assert host_values(host, {"kube_proxy": Pair("cert", "key")}) == {
        "pod_subnet": "10.60.3.0/24",
        "rack": "b",
        "bgp": {"peers": [{"name": "rack", "address": "10.77.2.1", "as": 4_200_000_000}], "as": 4_200_000_552},
        "pki": {"kube_proxy": {"cert": "cert", "key": "key"}},
    }


def test_keys_are_in_no_representation() -> None:
    assert "signer's key" not in repr(SHARED)
    assert "sa key" not in repr(SHARED)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("role: worker, rack: a", "role: worker, rack: c"), "no rack 'c' (known are: a, b)"),
        (("outer: {pods: 10.60.0.0/20}\n", ""), "machines have roles, but there is no 'outer'"),
        (
            ("role: worker, rack: a", "role: master, rack: a"),
            "2 machines have the role master (etcd needs a majority: 1, 3 or 5)",
        ),
        (("10.60.0.0/20", "10.60.0.0/23"), "10.60.0.0/23 has not a /24 for each machine"),
        (("10.60.0.0/20", "10.77.0.0/20"), "10.77.0.0/20 overlaps with 10.77.0.0/24 of the fabric"),
        (("10.60.0.0/20", "10.60.0.0/20, services: 10.60.0.0/24"), "10.60.0.0/24 overlaps with the pods' 10.60.0.0/20"),
        (("driver: namespace", "driver: fake"), "fake machines run no cluster"),
        (("10.77.2.0/24}", "10.77.1.128/25}"), "10.77.1.128/25 overlaps with another subnet"),
        (("10.77.2.40", "10.77.1.11"), "10.77.1.11 is no host address of 10.77.2.0/24"),
        (("rack: b, address", "rack: b, profile: node, address"), "a machine has a profile or a role, not both"),
        (("{do: power-on}", "{do: cluster, within: 0s}"), "must be more than 0s"),
        (("{do: power-on}", "{do: settle, probe: api, within: 1m}"), "no probe 'api' runs at this point"),
    ],
)
def test_what_makes_no_cluster_is_told_with_its_line(change: tuple[str, str], said: str) -> None:
    assert change[0] in SCENARIO
    with pytest.raises(Exception, match=r"outer\.yaml:\d+: error: ") as raised:
        parse(SCENARIO.replace(*change), "outer.yaml")
    assert said in str(raised.value)


def node(
    name: str, *, ready: str = "True", config: str = "c0ffee", message: str = "kubelet is posting ready status"
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": {"giantnetes/config": config}},
        "status": {
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready, "message": message}],
            "addresses": [{"type": "InternalIP", "address": "10.77.1.11"}, {"type": "Hostname", "address": name}],
            "nodeInfo": {"kubeletVersion": "v1.20.2"},
        },
    }


def problems(*items: dict[str, Any], wanted: dict[str, str]) -> list[str]:
    return unready(nodes_of({"items": items}), wanted)


def test_nodes_are_as_they_should_be_when_all_are_ready_with_their_configs() -> None:
    assert problems(node("m"), node("w", config="decade"), wanted={"m": "c0ffee", "w": "decade"}) == []
    assert problems(node("m", config=""), wanted={"m": ""}) == []


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (node("other"), "m is no node"),
        (node("m", ready="False", message="CNI plugin not initialized"), "m: CNI plugin not initialized"),
        (node("m", ready="Unknown", message="Kubelet stopped posting node status."), "m: Kubelet stopped posting node status."),
        ({"metadata": {"name": "m"}, "status": {}}, "m: it has no condition Ready yet"),
        (node("m", config="old"), "m runs the config old, not c0ffee"),
        (node("m", config=""), "m runs the config of nobody knows when, not c0ffee"),
    ],
)
def test_a_node_that_is_not_as_it_should_be_is_told(item: dict[str, Any], said: str) -> None:
    assert problems(item, wanted={"m": "c0ffee"}) == [said]


def workload(
    kind: str, *, wanted: int, there: int, generation: int = 1, seen: int = 1, updated: int | None = None
) -> dict[str, Any]:
    status: dict[str, Any] = {"observedGeneration": seen}
    if kind == "DaemonSet":
        status |= {"desiredNumberScheduled": wanted, "numberAvailable": there}
        status["updatedNumberScheduled"] = wanted if updated is None else updated
    else:
        status["availableReplicas"] = there
    return {"kind": kind, "metadata": {"name": "x", "generation": generation}, "spec": {"replicas": wanted}, "status": status}


@pytest.mark.parametrize("kind", ["DaemonSet", "Deployment"])
def test_a_workload_is_there_when_all_of_its_newest_pods_are(kind: str) -> None:
    assert unavailable([workload(kind, wanted=3, there=3)]) == []
    assert unavailable([workload(kind, wanted=3, there=2)]) == [f"{kind} x: 2 of 3 available"]
    assert unavailable([workload(kind, wanted=3, there=3, generation=2)]) != []


def test_a_daemonset_that_nobody_has_scheduled_yet_or_not_anew_is_not_there() -> None:
    assert unavailable([workload("DaemonSet", wanted=0, there=0)]) != []
    assert unavailable([workload("DaemonSet", wanted=3, there=3, updated=1)]) != []


def pod(*, started: str, ready: str = "True", node: str = "w") -> dict[str, Any]:
    containers = [{"state": {"running": {"startedAt": started}}}] if started else [{"state": {"waiting": {}}}]
    status = {"conditions": [{"type": "Ready", "status": ready}], "containerStatuses": containers}
    return {"metadata": {"name": "p"}, "spec": {"nodeName": node}, "status": status}


def test_what_a_killed_kubelet_has_said_of_its_pods_is_not_believed() -> None:
    booted = {"w": datetime(2020, 1, 1, 12, 0, 5, 900_000, UTC)}
    stale = "p on w: not seen since the node booted"
    assert left_over([pod(started="2020-01-01T12:00:04Z")], booted) == [stale]
    assert left_over([pod(started="2020-01-01T12:00:05Z")], booted) == []
    assert left_over([pod(started="2020-01-01T12:00:05Z", ready="False")], booted) == ["p on w: not ready"]
    assert left_over([pod(started="", ready="False")], booted) == ["p on w: not ready"]
    assert left_over([pod(started="2019-01-01T12:00:05Z", node="other")], booted) == []


def test_the_pods_of_a_kubelets_own_manifests_are_not_waited_for() -> None:
    own = pod(started="", ready="False")
    own["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "0123"}
    assert left_over([own], {"w": datetime(2020, 1, 1, tzinfo=UTC)}) == []


def test_the_pod_range_is_not_given_to_a_host() -> None:
    assert all(host.pods != IPv4Network("10.60.0.0/24") for host in CLUSTER.hosts)


def test_the_template_tells_bird_what_the_network_package_has_measured() -> None:
    """mayu's template and `network.bird` must say the same: the former boots hosts, the latter is tested with real neighbours."""
    host = CLUSTER.hosts[0]
    values = {**host_values(host, {}), "kubernetes": {"pod_range": str(CLUSTER.pods)}}
    text = (Path(__file__).parents[2] / "mayu_py/templates/giantnetes-worker.bu").read_text()
    begin = text.index("inline: |\n", text.index("path: /etc/bird/bird.conf")) + len("inline: |\n")
    lines = text[begin : text.index("    - path:", begin)].splitlines()
    template = jinja2.Template("\n".join(line[10:] for line in lines), trim_blocks=True, lstrip_blocks=True)
    filled = template.render(host={"address": host.address}, values=values)
    plan = HostPlan(host.address, host.asn, host.gateway, (host.pods,), CLUSTER.pods, ROUTER_AS)
    assert filled.strip() == host_bird_config(plan).strip()
