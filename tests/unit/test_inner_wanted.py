"""The objects that make a cluster, whole: golden files; and what must hold for every cluster, whatever is in them."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.errors import BadInput
from kubeception_sim.inner.allocation import Vm, machines, names
from kubeception_sim.inner.controller.api import contains, root, stamped
from kubeception_sim.inner.doors import Facts, GuestImage
from kubeception_sim.inner.resource import Cluster, Masters, Pool, Role, Spec
from kubeception_sim.inner.wanted import CLUSTER, TEMPLATE, VALUES, VM, Start, machine, shared, token
from tests.inner_doors import GIANTNETES, MemoryAuthorities, store

GOLDEN = Path(__file__).parents[1] / "golden/inner"
UID = "11111111-2222-3333-4444-555555555555"
BLUE = Cluster("blue", Spec(), UID)


def of(cluster: Cluster) -> tuple[tuple[Vm, ...], Facts]:
    vms = machines(cluster, {name: number for number, name in enumerate(names(cluster), 1)})
    values = {vm.name: {"values": {"of": vm.name}} for vm in vms}
    return vms, Facts(GIANTNETES, 100, MemoryAuthorities().ensure(cluster, vms), store(cluster.name), values)


def everything(cluster: Cluster) -> list[dict[str, Any]]:
    vms, facts = of(cluster)
    return [*shared(cluster, facts), *(each for vm in vms for each in machine(cluster, vm, facts))]


def containers(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    spec = document["spec"]["template"]["spec"]
    yield from spec["initContainers"]
    yield from spec["containers"]


def deployment(cluster: Cluster, name: str) -> dict[str, Any]:
    return next(each for each in everything(cluster) if (each["kind"], each["metadata"]["name"]) == ("Deployment", name))


@pytest.mark.parametrize("name", ["shared", "master-0", "worker-0"])
def test_the_objects_are_these(name: str) -> None:
    """`UPDATE_GOLDEN=1` writes them; the difference is what a running cluster would see."""
    vms, facts = of(BLUE)
    found = shared(BLUE, facts) if name == "shared" else machine(BLUE, next(vm for vm in vms if vm.name == name), facts)
    text = yaml.safe_dump_all(json.loads(json.dumps(list(found))), width=120, sort_keys=False)
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


CLUSTERS = st.builds(
    lambda masters, workers, asleep: Cluster(
        "c", Spec(masters=Masters(masters), pools=(Pool("w", workers),), hibernated=asleep), UID
    ),
    st.sampled_from([1, 3]),
    st.integers(0, 4),
    st.booleans(),
)


@given(CLUSTERS)
def test_everything_is_found_by_its_labels_and_goes_with_the_cluster(cluster: Cluster) -> None:
    for each in everything(cluster):
        metadata = each["metadata"]
        assert metadata["labels"][CLUSTER] == cluster.name
        assert [owner["uid"] for owner in metadata["ownerReferences"]] == [UID]
        assert each["kind"] == "Namespace" or metadata["namespace"] == "cluster-c"


@given(CLUSTERS)
def test_no_two_objects_have_one_name(cluster: Cluster) -> None:
    found = [(each["kind"], each["metadata"]["name"]) for each in everything(cluster)]
    assert len(set(found)) == len(found)


@given(CLUSTERS)
def test_no_container_is_privileged_or_in_the_nodes_network(cluster: Cluster) -> None:
    for each in everything(cluster):
        if each["kind"] != "Deployment":
            continue
        spec = each["spec"]["template"]["spec"]
        assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
        assert spec["automountServiceAccountToken"] is False
        for container in containers(each):
            security = container["securityContext"]
            assert (security.get("privileged"), security["allowPrivilegeEscalation"]) == (None, False)
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"]["drop"] == ["ALL"]
            added = set(security["capabilities"].get("add", ()))
            assert added <= ({"CHOWN", "FOWNER"} if container["name"] == "disk" else {"NET_ADMIN"})


def test_qemu_has_no_capability_and_is_nobody() -> None:
    found = {each["name"]: each["securityContext"] for each in containers(deployment(BLUE, "master-0"))}
    assert found["vm"]["runAsUser"] == found["pki"]["runAsUser"] == 64055
    assert "add" not in found["vm"]["capabilities"]


def test_a_cluster_that_hibernates_is_the_same_but_for_its_replicas() -> None:
    asleep = replace(BLUE, spec=replace(BLUE.spec, hibernated=True))
    one, two = deployment(BLUE, "master-0"), deployment(asleep, "master-0")
    assert (one["spec"].pop("replicas"), two["spec"].pop("replicas")) == (1, 0)
    assert one == two


def test_other_values_are_another_template_and_so_another_boot() -> None:
    vms, facts = of(BLUE)
    other = replace(facts, values={**facts.values, "master-0": {"values": "other"}})
    one, two = machine(BLUE, vms[0], facts)[1], machine(BLUE, vms[0], other)[1]
    assert one["metadata"]["annotations"][TEMPLATE] != two["metadata"]["annotations"][TEMPLATE]
    assert (
        one["spec"]["template"]["metadata"]["annotations"][VALUES] != two["spec"]["template"]["metadata"]["annotations"][VALUES]
    )
    assert machine(BLUE, vms[1], facts) == machine(BLUE, vms[1], other)


def test_a_later_cluster_of_the_same_name_has_other_disks() -> None:
    def disk(cluster: Cluster) -> str:
        volumes = deployment(cluster, "master-0")["spec"]["template"]["spec"]["volumes"]
        return str(next(each["hostPath"]["path"] for each in volumes if each["name"] == "disk"))

    assert disk(BLUE) != disk(replace(BLUE, uid="99999999"))
    assert "disk" not in {each["name"] for each in deployment(BLUE, "worker-0")["spec"]["template"]["spec"]["volumes"]}


def test_an_image_server_with_a_name_is_refused() -> None:
    """A policy knows no names."""
    _, facts = of(BLUE)
    guest = GuestImage("http://mayu/images/node", "a", "b", "c")
    with pytest.raises(BadInput, match="mayu"):
        shared(BLUE, replace(facts, giantnetes=replace(GIANTNETES, guests={"v1.20.2": {"testbed-1": guest}})))


def test_a_secret_without_its_token_has_no_data() -> None:
    vms, _ = of(BLUE)
    master = next(vm for vm in vms if vm.role is Role.MASTER)
    full = token(BLUE, master, Start("pod", 10, 910, wrapped="s.secret"))
    spent = token(BLUE, master, Start("pod", 10, 910))
    assert full["data"] == {"wrapped": "cy5zZWNyZXQ="}
    assert "data" not in spent
    assert full["metadata"] == spent["metadata"]
    assert full["metadata"]["labels"][VM] == "master-0"


# How it is compared with what there is

DOCUMENTS = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(DOCUMENTS)
def test_what_is_there_contains_itself(document: Any) -> None:
    assert contains(document, document)


@given(st.dictionaries(st.text(max_size=3), DOCUMENTS, max_size=3), DOCUMENTS)
def test_what_the_server_filled_in_does_not_count(wanted: dict[str, Any], more: Any) -> None:
    there = {"filled in": more} | wanted
    assert contains(there, wanted)
    assert not contains(wanted, there)


def test_a_field_that_is_no_longer_wanted_is_seen() -> None:
    def config(**data: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data}

    assert contains(stamped(config(a="b", c="d")), stamped(config(a="b", c="d")))
    assert not contains(stamped(config(a="b", c="d")), stamped(config(a="b")))


def test_where_an_api_is() -> None:
    assert (root("v1"), root("apps/v1")) == ("/api/v1", "/apis/apps/v1")
