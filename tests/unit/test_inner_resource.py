"""A cluster as a person asks for it: what is filled in, what is refused, and what stays the same on its way there and back."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.inner import schema
from kubeception_sim.inner.certificates import Mounts
from kubeception_sim.inner.resource import About, Cluster, Condition, Network, Phase, Pool, Role, Spec, Status, VmPhase, VmStatus


def document(name: str = "blue", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": schema.API_VERSION, "kind": schema.KIND, "metadata": {"name": name}, "spec": spec}


def test_who_says_nothing_gets_one_master_and_one_worker() -> None:
    assert Cluster.read(document()) == Cluster("blue", Spec())


def test_sizes_are_mebibytes() -> None:
    found = Cluster.read(document(masters={"memory": "4Gi", "etcdDisk": "512Mi"}, pools=[{"name": "fast", "memory": "1Gi"}])).spec
    assert (found.masters.memory, found.masters.etcd_disk, found.pools) == (4096, 512, (Pool("fast", memory=1024),))


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        Cluster.read(document("Blue-is-too-long", masters={"count": 2}, pool=[], network={"pods": "10.0.0.0"}))
    assert [line.split(":")[0] for line in caught.value.message.splitlines()] == [
        "metadata.name",
        "metadata.name",
        "spec.masters.count",
        "spec.pool",
        "spec.network.pods",
    ]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"network": {"pods": "10.81.0.0/16"}}, "pods 10.81.0.0/16 and services 10.81.0.0/16 overlap"),
        ({"network": {"vms": "172.23.0.1/24"}}, "has host bits set"),
        ({"network": {"services": "10.81.0.0/25"}}, "smaller than a /24"),
        ({"pools": [{"name": "master"}]}, "is the name of the masters"),
        ({"pools": [{"name": "w", "replicas": 60}, {"name": "x", "replicas": 9}]}, "70 machines, but"),
        ({"pools": [{"name": "w", "labels": {"node.kubernetes.io/x": "y"}}]}, "belongs to Kubernetes"),
        ({"pools": [{"name": "w", "labels": {"-x": "y"}}]}, "is no key of a label"),
        ({"masters": {"cpus": True}}, "is not a whole number"),
    ],
)
def test_what_contradicts_itself_is_refused(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Cluster.read(document(**spec))


@given(
    st.from_regex(r"[a-z]([-a-z0-9]{0,9}[a-z0-9])?", fullmatch=True) | st.sampled_from(["a-etcd", "etcd", "x-etcd", "a-b-etcd"])
)
def test_no_name_that_is_allowed_has_an_authority_of_another_cluster(name: str) -> None:
    allowed = not list(schema.name_problems(name))
    try:
        Mounts.of(name)
    except HarnessError:
        assert not allowed
    else:
        assert allowed


@given(st.integers(20, 30), st.integers(8, 24))
def test_there_is_room_for_as_many_machines_as_have_an_address_and_pods(vms: int, pods: int) -> None:
    network = Network(vms=IPv4Network((172 << 24, vms)), pods=IPv4Network((10 << 24, pods)))
    assert network.capacity == min(len(list(network.vms.subnets(new_prefix=30))), 1 << (24 - pods)) - 1


def test_the_definition_has_defaults_that_it_allows() -> None:
    assert list(schema.problems(schema.SPEC, schema.completed(schema.SPEC, {}), "spec")) == []


TIMES = st.just("2026-01-02T03:04:05Z")
CONDITIONS = st.builds(
    Condition,
    st.sampled_from(About),
    st.sampled_from([True, False, None]),
    st.sampled_from(["Ready", "Failed"]),
    st.text(max_size=20),
    TIMES,
    st.integers(0, 9),
)


@given(CONDITIONS)
def test_a_condition_is_read_as_it_was_written(condition: Condition) -> None:
    assert Condition.read(condition.document()) == condition


@given(st.sampled_from(Phase), st.sampled_from(VmPhase), CONDITIONS, st.sampled_from([0, 100]))
def test_every_status_is_one_that_the_definition_allows(phase: Phase, of_vm: VmPhase, condition: Condition, vni: int) -> None:
    vm = VmStatus("master-0", Role.MASTER, 1, IPv4Address("172.23.0.6"), of_vm)
    found = Status(phase, (condition,), vni, (vm,), "", 3).document()
    assert list(schema.problems(schema.STATUS, found, "status")) == []
    assert found["machines"] == ("1/1" if of_vm is VmPhase.READY else "0/1")
