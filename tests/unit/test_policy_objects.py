"""Reading pods, namespaces, policies and selectors as the API has them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.agents.policy.objects import read_namespaces, read_pods, read_policy
from kubeception_sim.agents.policy.selectors import Selector


def pod(*, host: bool = False, **status: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "x", "name": "a"}, "spec": {"hostNetwork": host}, "status": status}


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "x", "name": "p"}, "spec": {"podSelector": {}, **spec}}


@pytest.mark.parametrize(
    ("item", "counts"),
    [
        (pod(phase="Running", podIP="10.60.1.5"), True),
        (pod(phase="Pending", podIP="10.60.1.5"), True),
        (pod(phase="Pending"), False),
        (pod(phase="Succeeded", podIP="10.60.1.5"), False),
        (pod(phase="Failed", podIP="10.60.1.5"), False),
        (pod(host=True, phase="Running", podIP="10.77.1.11"), False),
    ],
)
def test_a_pod_counts_while_it_has_an_address_of_its_own(item: dict[str, Any], counts: bool) -> None:
    assert bool(read_pods([item])) is counts


def test_a_pod_may_have_addresses_of_two_families() -> None:
    (read,) = read_pods([pod(podIP="10.60.1.5", podIPs=[{"ip": "10.60.1.5"}, {"ip": "fd00::5"}])])
    assert [str(each) for each in read.addresses] == ["10.60.1.5", "fd00::5"]


def test_a_namespace_has_its_name_as_a_label_also_before_kubernetes_1_21() -> None:
    assert read_namespaces([{"metadata": {"name": "x"}}]) == {"x": {"kubernetes.io/metadata.name": "x"}}


@pytest.mark.parametrize(
    ("spec", "ingress", "egress"),
    [
        ({}, True, False),
        ({"egress": []}, True, False),
        ({"egress": [{}]}, True, True),
        ({"policyTypes": ["Egress"]}, False, True),
        ({"policyTypes": ["Ingress", "Egress"]}, True, True),
    ],
)
def test_directions_are_the_types_or_follow_from_the_rules(spec: dict[str, Any], ingress: bool, egress: bool) -> None:
    read = read_policy(policy(**spec))
    assert (read.ingress is not None, read.egress is not None) == (ingress, egress)


@pytest.mark.parametrize(
    "rule",
    [
        {"from": [{"serviceSelector": {}}]},
        {"from": [{}]},
        {"ports": [{"protocol": "QUIC"}]},
        {"from": [{"ipBlock": {"cidr": "nowhere"}}]},
        {"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}]},
    ],
)
def test_a_rule_that_cannot_be_read_allows_nothing_and_is_named(rule: dict[str, Any]) -> None:
    read = read_policy(policy(ingress=[rule, {"ports": [{"port": 80}]}]))
    assert len(read.ingress or ()) == 1
    assert len(read.problems) == 1
    assert read.problems[0].startswith("rule 0 (from) allows nothing: ")


def test_a_policy_whose_pods_cannot_be_told_is_an_error() -> None:
    with pytest.raises(ValueError, match="Like"):
        read_policy(policy(podSelector={"matchExpressions": [{"key": "a", "operator": "Like"}]}))


@pytest.mark.parametrize(
    ("operator", "values", "matching"),
    [
        ("In", ["a", "b"], {"a"}),
        ("NotIn", ["a", "b"], {"c", None}),
        ("Exists", [], {"a", "c"}),
        ("DoesNotExist", [], {None}),
    ],
)
def test_operators(operator: str, values: list[str], matching: set[str | None]) -> None:
    selector = Selector.read({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]})
    assert {value for value in ("a", "c", None) if selector.matches({"app": value} if value else {})} == matching


@given(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("12")), st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"))
)
def test_match_labels_is_a_part_of_the_labels(wanted: dict[str, str], labels: dict[str, str]) -> None:
    assert Selector.read({"matchLabels": wanted}).matches(labels) == (wanted.items() <= labels.items())
