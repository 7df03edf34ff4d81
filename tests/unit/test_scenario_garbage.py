"""Whether anything is left: which steps make sense, what is compared, and that what is left is told."""

from typing import Any

import pytest

from kubeception_sim.errors import BadInput
from kubeception_sim.model.garbage import CompareTraces, Moment
from kubeception_sim.model.rules import parse
from kubeception_sim.scenario.garbage import late
from kubeception_sim.scenario.traces import difference, normal, objects

SCENARIO = """\
schema: 1
name: inner
driver: namespace
outer: {OUTER}
machines:
  - {name: master-1, role: master, address: 10.77.0.11, memory: 3G}
steps:
  - {do: power-on}
STEPS"""
NOTE, COMPARE = "  - {do: traces-note}\n", "  - {do: traces-compare, within: 1m}\n"
KILL = "  - {do: kill-controller, at: booting, within: 1m}\n"
CREATE, DELETE = "  - {do: cluster-create, cluster: a}\n", "  - {do: cluster-delete, cluster: a, within: 1m}\n"
ASK = "  - {do: cluster-delete, cluster: a, wait: false, within: 1m}\n"


def read(steps: str, outer: str = "clusters: true") -> Any:
    return parse(SCENARIO.replace("OUTER", outer).replace("STEPS", steps), "inner.yaml")


def test_what_was_noted_is_compared() -> None:
    *_, last = read(NOTE + CREATE + KILL + ASK + DELETE + COMPARE).steps
    assert isinstance(last, CompareTraces)
    assert last.within.seconds == 60


@pytest.mark.parametrize(
    ("steps", "outer", "said"),
    [
        (COMPARE, "clusters: true", "nothing to compare with"),
        (KILL, "", "there are no inner clusters here"),
        (NOTE, "", "there are no inner clusters here"),
        (CREATE + ASK + CREATE, "clusters: true", "a second cluster 'a'"),
    ],
)
def test_what_makes_no_sense_is_told(steps: str, outer: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read(steps, outer)


def test_nothing_is_left_when_all_is_the_same() -> None:
    assert difference(["b", "a"], ["a", "b"]) == []


def test_what_is_left_is_told_and_what_is_missing() -> None:
    before = ["store key /a", "node w1 folder /x", "node w1 rule x"]
    after = [
        "store key /a",
        "store key /b",
        "node w1 folder /x",
        "node w1 folder /x/blue-1234",
        "node w1 rule x",
        "node w1 rule x",
    ]
    assert difference(before, after) == ["+node w1 folder /x/blue-1234", "+node w1 rule x", "+store key /b"]
    assert difference(after, before) == ["-node w1 folder /x/blue-1234", "-node w1 rule x", "-store key /b"]


def test_elements_of_a_set_have_no_order() -> None:
    one, two = ("rule w1   elements = { 10.0.0.1, 10.0.0.2 }", "rule w1   elements = { 10.0.0.2, 10.0.0.1 }")
    assert normal(one) == normal(two)
    assert normal("rule w1 elements = { 10.0.0.1 }") != normal("rule w1 elements = { 10.0.0.2 }")


def test_a_ruleset_is_the_same_in_another_generation() -> None:
    assert normal("rule w1 chain egress_1_g2 {") == normal("rule w1 chain egress_1_g7 {")


def test_an_object_of_two_versions_is_one() -> None:
    found = {"kind": "Ingress", "metadata": {"name": "x", "namespace": "n"}}
    assert list(objects([found, found, {"kind": "Namespace", "metadata": {"name": "n"}}])) == ["Ingress n x", "Namespace - n"]


def test_a_pod_of_a_file_of_its_node_is_left_out() -> None:
    """That the API knows of it comes late, and by itself."""
    metadata = {"name": "etcd-m", "namespace": "kube-system", "annotations": {"kubernetes.io/config.mirror": "x"}}
    assert list(objects([{"kind": "Pod", "metadata": metadata}])) == []


def resource(name: str, *, leaving: bool = False, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name} | ({"deletionTimestamp": "x"} if leaving else {}), "status": status}


def test_a_moment_has_come_when_it_has_for_every_cluster() -> None:
    master, worker = {"role": "master", "phase": "Booting"}, {"role": "worker", "phase": "Waiting"}
    new, claimed, boots = resource("n"), resource("c", vni=100), resource("b", vni=101, vms=[master, worker])
    leaves, asked = resource("l", leaving=True, phase="Deleting"), resource("a", leaving=True, phase="Running")
    assert late([new, claimed], Moment.NOW) == []
    assert late([new, claimed], Moment.CLAIMED) == ["n"]
    assert late([new, claimed, boots], Moment.BOOTING) == ["n", "c"]
    assert late([leaves, asked, boots], Moment.LEAVING) == ["a", "b"]
