"""What machines of inner clusters are configured by: the values of a role template, rendered as the pki step renders them."""

import json
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.inner import addons
from kubeception_sim.inner.allocation import names
from kubeception_sim.inner.config import JOIN_SECONDS, RoleValues, as_giantnetes
from kubeception_sim.inner.resource import Cluster, Network
from kubeception_sim.inner.wanted_pod import BOOT_SECONDS
from tests.inner_configs import MASTER, NODE, config, files, of, units, values, vms_of

ONE, THREE = of(worker=1), of(3, worker=1, fast=1)
PROBES = ("startupProbe", "livenessProbe")


def test_pods_have_the_mtu_of_the_machine_and_the_subnet_of_its_number() -> None:
    found = json.loads(files(config(ONE, "worker-0"))["/etc/cni/net.d/10-pods.conflist"])["plugins"][0]
    assert (found["mtu"], found["ipam"]["ranges"]) == (1450, [[{"subnet": "10.80.2.0/24"}]])


@given(st.integers(1, 3), st.integers(0, 40), st.sampled_from(["10.80.0.0/16", "10.80.0.0/18", "192.168.0.0/16"]))
def test_no_two_machines_share_pods_or_a_number_of_bgp(masters: int, workers: int, pods: str) -> None:
    cluster = of(masters, worker=workers)
    cluster = replace(cluster, spec=replace(cluster.spec, network=Network(pods=IPv4Network(pods))))
    hosts = as_giantnetes(cluster, vms_of(cluster)).hosts
    assert len({host.pods for host in hosts}) == len({host.asn for host in hosts}) == masters + workers
    assert all(host.pods.subnet_of(cluster.spec.network.pods) for host in hosts)


def test_a_worker_s_neighbours_are_the_masters() -> None:
    bird = files(config(THREE, "worker-0"))["/etc/bird/bird.conf"]
    assert [line.split()[1] for line in bird.splitlines() if "neighbor" in line] == ["172.23.0.6", "172.23.0.10", "172.23.0.14"]
    assert "range" not in bird


def test_a_master_s_neighbours_are_the_other_masters_and_whoever_comes() -> None:
    bird = files(config(THREE, "master-1"))["/etc/bird/bird.conf"]
    neighbours = [line.strip() for line in bird.splitlines() if "neighbor" in line]
    assert neighbours == [
        "neighbor 172.23.0.6 as 4200000006;",
        "neighbor 172.23.0.14 as 4200000014;",
        "neighbor range 172.23.0.0/24 external;",
    ]


def test_a_worker_finds_the_api_at_its_own_balancer_and_a_master_its_own() -> None:
    for cluster, masters in ((ONE, 1), (THREE, 3)):
        worker = files(config(cluster, "worker-0"))
        servers = [
            line.split()[2] for line in worker["/etc/kubernetes/api.cfg"].splitlines() if line.strip().startswith("server")
        ]
        assert servers == [f"172.23.0.{4 * number + 2}:6443" for number in range(1, masters + 1)]
        bootstrap = yaml.safe_load(worker["/etc/kubernetes/bootstrap.conf"])
        assert bootstrap["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:7443"
        assert "giantnetes-api.service" in units(config(cluster, "worker-0"))
        master = config(cluster, "master-0")
        proxy = yaml.safe_load(files(master)["/etc/kubernetes/kube-proxy/client.conf"])
        assert proxy["clusters"][0]["cluster"]["server"] == "https://172.23.0.6:6443"
        assert "giantnetes-api.service" not in units(master)


def test_api_servers_are_asked_for_their_health_only_where_there_is_a_choice() -> None:
    one, three = (files(config(cluster, "worker-0"))["/etc/kubernetes/api.cfg"] for cluster in (ONE, THREE))
    assert ("check-ssl" in one, "check-ssl" in three) == (False, True)


def test_etcd_is_on_the_disk_that_outlives_the_machine_and_not_without_it() -> None:
    mount = units(config(ONE, "master-0"))["var-lib-etcd.mount"]
    assert "What=/dev/disk/by-id/virtio-etcd\n" in mount
    assert "RequiredBy=kubelet.service" in mount
    assert "var-lib-etcd.mount" not in units(config(ONE, "worker-0"))


@pytest.mark.parametrize("name", ["master-0", "worker-0"])
def test_a_machine_tells_its_pod_how_far_it_is_and_asks_no_mayu(name: str) -> None:
    found = config(ONE, name)
    told = [text.partition("giantnetes-stage ")[2].partition("\n")[0] for text in units(found).values()]
    joined = files(found)["/usr/local/bin/giantnetes-joined"]
    assert "switch-root" in told
    assert "giantnetes-stage running\n" in joined
    assert 'giantnetes-stage "failed: ' in joined
    assert "boot_complete" not in joined
    assert "virtio_console\n" in files(found)["/etc/modules-load.d/kubernetes.conf"]


def test_who_does_not_join_says_so_before_its_pod_is_started_again() -> None:
    assert f"{JOIN_SECONDS} s: " in files(config(ONE, "worker-0"))["/usr/local/bin/giantnetes-joined"]
    assert BOOT_SECONDS - JOIN_SECONDS >= 60


def test_the_labels_of_a_pool_are_its_nodes() -> None:
    assert ",disk=fast " in units(config(THREE, "fast-0"))["kubelet.service"]
    assert "zone=rack \\" in units(config(THREE, "worker-0"))["kubelet.service"].replace("zone=rack --container", "zone=rack \\")


def test_values_hold_no_secret_and_no_certificate() -> None:
    for name in names(THREE):
        found = values(THREE, name)["values"]
        assert "pki" not in found
        assert not (NODE | MASTER).keys() & found["kubernetes"].keys()


def test_nothing_changes_for_a_machine_when_workers_come_and_go() -> None:
    few, many = of(3, worker=1), of(3, worker=7)
    for name in names(few):
        assert values(few, name) == values(many, name)


def test_the_members_of_etcd_are_the_masters() -> None:
    etcd = yaml.safe_load(files(config(THREE, "master-0"))["/etc/kubernetes/manifests/etcd.yaml"])
    members = "master-0=https://172.23.0.6:2380,master-1=https://172.23.0.10:2380,master-2=https://172.23.0.14:2380"
    assert f"--initial-cluster={members}" in etcd["spec"]["containers"][0]["command"]


@pytest.mark.parametrize("name", ["kube-controller-manager", "kube-scheduler"])
def test_who_is_alone_stands_for_no_election_and_others_have_time_for_it(name: str) -> None:
    def elections(cluster: Cluster) -> list[str]:
        pod = yaml.safe_load(files(config(cluster, "master-0"))[f"/etc/kubernetes/manifests-later/{name}.yaml"])
        return [flag for flag in pod["spec"]["containers"][0]["command"] if flag.startswith("--leader-elect")]

    # The last of equal flags counts.
    assert elections(ONE)[-1] == "--leader-elect=false"
    assert "--leader-elect-renew-deadline=45s" in elections(THREE)
    assert "--leader-elect=false" not in elections(THREE)


def control_plane(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    manifests = [text for path, text in files(found).items() if "/manifests" in path and "kube-proxy" not in path]
    containers = [yaml.safe_load(text)["spec"]["containers"][0] for text in manifests]
    return {each["name"]: each for each in containers}


def test_an_emulated_control_plane_is_looked_at_rarely_and_given_up_late() -> None:
    found = control_plane(config(ONE, "master-0"))
    assert len(found) == 4
    for each in found.values():
        assert each["env"] == [{"name": "GOGC", "value": "400"}]
        patience = {probe: each[probe]["periodSeconds"] * each[probe]["failureThreshold"] for probe in PROBES}
        assert patience == {"startupProbe": 900, "livenessProbe": 240}
    assert "--enable-priority-and-fairness=false" in found["kube-apiserver"]["command"]
    assert "--node-monitor-grace-period=120s" in found["kube-controller-manager"]["command"]


def test_with_a_real_processor_a_control_plane_is_as_that_of_the_outer_cluster() -> None:
    found = control_plane(config(ONE, "master-0", RoleValues("kubeception.local/etcd:3", emulated=False)))
    for each in found.values():
        assert "env" not in each
        assert [each[probe]["periodSeconds"] for probe in PROBES] == [5, 10]
    flags = [flag for each in found.values() for flag in each["command"]]
    assert not [flag for flag in flags if "fairness" in flag or "grace" in flag]


def test_add_ons_are_those_of_the_outer_cluster_at_this_one_s_addresses() -> None:
    found = addons.objects(ONE, vms_of(ONE), "agents:1")
    assert {(each["kind"], each["metadata"]["name"]) for each in found} >= {
        ("DaemonSet", "network-policy"),
        ("Deployment", "kube-dns"),
        ("DaemonSet", "ingress"),
    }
    (service,) = (each for each in found if (each["kind"], each["metadata"]["name"]) == ("Service", "kube-dns"))
    assert service["spec"]["clusterIP"] == "10.81.0.10"
    kubelet = yaml.safe_load(files(config(ONE, "worker-0"))["/etc/kubernetes/kubelet.yaml"])
    assert kubelet["clusterDNS"] == ["10.81.0.10"]
    assert all(each["metadata"]["labels"]["kubeception.io/addon"] == "true" for each in found)
