"""What policies mean: the agent's ruleset against an oracle that is written from the API's reference, for any cluster."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeception_sim.agents.policy.objects import Protocol, read_namespaces, read_pods, read_policy
from kubeception_sim.agents.policy.ruleset import Allow, Endpoint, Gate, Reach, Ruleset, translate
from tests.policy_cases import CASES, EMPTY, OUTSIDE, PORTS, address_of, policy
from tests.policy_oracle import Cluster

NODES = ("n1", "n2")
ICMP = ("ICMP", 0)


def rulesets(cluster: Cluster) -> tuple[Ruleset, ...]:
    """What each node has."""
    policies = [read_policy(each) for each in cluster.policies]
    return tuple(translate(policies, read_namespaces(cluster.namespaces), read_pods(cluster.pods), node) for node in NODES)


def passes(on_the_way: Iterable[Ruleset], source: str, target: str, protocol: str, port: int) -> bool:
    """Follow one packet through the nodes: what their tables are to do."""
    own, other = ip_address(source), ip_address(target)
    return source == target or all(
        (own not in each.egress or opens(each.egress[own], target, target, protocol, port))
        and (other not in each.ingress or opens(each.ingress[other], source, target, protocol, port))
        for each in on_the_way
    )


def opens(gate: Gate, peer: str, target: str, protocol: str, port: int) -> bool:
    for entry in gate:
        match entry:
            case Allow(networks, ports):
                is_peer = networks is None or any(ip_address(peer) in network for network in networks)
                if is_peer and (ports is None or any(p.protocol == protocol and p.first <= port <= p.last for p in ports)):
                    return True
            case Reach(endpoints):
                if protocol != "ICMP" and Endpoint(ip_address(target), Protocol(protocol), port) in endpoints:
                    return True
    return False


KEYS, VALUES = ("app", "tier"), ("a", "b")
labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
expressions = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(KEYS),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(st.sampled_from(VALUES), min_size=1, unique=True),
        }
    ),
    st.fixed_dictionaries({"key": st.sampled_from(KEYS), "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
)
selectors: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({}, optional={"matchLabels": labels, "matchExpressions": st.lists(expressions, max_size=2)}),
)
blocks = st.sampled_from(
    [
        {"cidr": "10.60.0.0/16"},
        {"cidr": "0.0.0.0/0", "except": ["10.60.1.0/24", "10.60.1.3/32", "10.78.9.9/32"]},
        {"cidr": "10.60.1.0/29", "except": ["10.60.1.0/30", "10.60.0.0/15"]},
        {"cidr": "10.60.1.2/32"},
        {"cidr": "fd00::/8", "except": ["fd00::1/128"]},
    ]
)
peers = st.one_of(
    st.fixed_dictionaries({"podSelector": selectors}),
    st.fixed_dictionaries({"namespaceSelector": selectors}, optional={"podSelector": selectors}),
    st.fixed_dictionaries({"ipBlock": blocks}),
)
protocols = st.sampled_from(["TCP", "UDP", "SCTP"])
ports = st.one_of(
    st.fixed_dictionaries({}, optional={"protocol": protocols}),
    st.fixed_dictionaries({"port": st.sampled_from([80, 81, "web", "web", "dns"])}, optional={"protocol": protocols}),
    st.fixed_dictionaries(
        {"port": st.sampled_from([79, 80]), "endPort": st.sampled_from([80, 81])}, optional={"protocol": protocols}
    ),
)


def rules(key: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    some_ports = st.lists(ports, min_size=1, max_size=2)
    # Mostly rules with conditions: one without any opens a gate and hides what the others say.
    with_peers = st.fixed_dictionaries({key: st.lists(peers, min_size=1, max_size=2)}, optional={"ports": some_ports})
    anything = st.fixed_dictionaries({}, optional={key: st.lists(peers, max_size=1), "ports": st.lists(ports, max_size=1)})
    return st.lists(st.one_of(with_peers, st.fixed_dictionaries({"ports": some_ports}), anything), max_size=2)


policies = st.builds(
    lambda namespace, spec: {"metadata": {"namespace": namespace, "name": "p"}, "spec": spec},
    st.sampled_from("xy"),
    st.fixed_dictionaries(
        {"podSelector": selectors},
        optional={
            "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"], []]),
            "ingress": rules("from"),
            "egress": rules("to"),
        },
    ),
)
pod_ports = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.sampled_from([80, 81]), "name": st.sampled_from(["web", "dns"])}, optional={"protocol": protocols}
    ),
    max_size=3,
)
pods = st.builds(
    lambda namespace, own, node, host, phase, numbers, last: {
        "metadata": {"namespace": namespace, "name": "p", "labels": own},
        "spec": {"nodeName": node, "hostNetwork": host, "containers": [{"ports": numbers}]},
        "status": {"phase": phase, "podIP": f"10.60.1.{last}", "podIPs": [{"ip": f"10.60.1.{last}"}, {"ip": f"fd00::{last}"}]},
    },
    st.sampled_from("xxyyz"),
    labels,
    st.sampled_from(NODES),
    st.sampled_from([False, False, False, True]),
    st.sampled_from(["Running", "Running", "Pending", "Succeeded"]),
    pod_ports,
    st.integers(1, 5),
)


def named(own: Iterable[dict[str, str]]) -> tuple[dict[str, Any], ...]:
    return tuple({"metadata": {"name": name, "labels": labels}} for name, labels in zip("xyz", own, strict=True))


clusters = st.builds(
    Cluster,
    st.lists(policies, min_size=1, max_size=4).map(tuple),
    st.tuples(labels, labels, labels).map(named),
    st.lists(pods, min_size=3, max_size=5, unique_by=lambda pod: str(pod["status"]["podIP"])).map(tuple),
)


@pytest.mark.timeout(60)
@settings(max_examples=300, deadline=None)
@given(clusters)
def test_any_cluster_is_judged_as_the_reference_says(cluster: Cluster) -> None:
    built = rulesets(cluster)
    for family in (["10.60.1.1", "10.60.1.2", "10.60.1.3", "10.60.1.4", OUTSIDE], ["fd00::1", "fd00::2", "fd01::1"]):
        for source in family:
            for target in family:
                for protocol, port in (*PORTS, ("SCTP", 80), ("TCP", 79), ICMP):
                    expected = cluster.allowed(source, target, protocol, port)
                    assert passes(built, source, target, protocol, port) == expected, (source, target, protocol, port)


@pytest.mark.parametrize("name", CASES)
def test_the_truth_table(name: str) -> None:
    cluster = EMPTY.having(*CASES[name])
    built = rulesets(cluster)
    addresses = [*(pod["status"]["podIP"] for pod in cluster.pods), OUTSIDE]
    for source in addresses:
        for target in addresses:
            for protocol, port in (*PORTS, ICMP):
                expected = cluster.allowed(source, target, protocol, port)
                assert passes(built, source, target, protocol, port) == expected, (source, target, protocol, port)


def test_the_truth_table_tells_its_cases_apart() -> None:
    """Else a case would say nothing that another does not."""
    addresses = [*(pod["status"]["podIP"] for pod in EMPTY.pods), OUTSIDE]
    tables: dict[tuple[bool, ...], list[str]] = {}
    for name, listed in CASES.items():
        cluster = EMPTY.having(*listed)
        row = tuple(cluster.allowed(a, b, *port) for a in addresses for b in addresses for port in (*PORTS, ICMP))
        tables.setdefault(row, []).append(name)
    assert [names for names in tables.values() if len(names) > 1] == [
        ["no policy", "allow all ingress"],
        [
            "deny all ingress of a namespace",
            "allow all egress over deny all ingress",
            "allow from nobody that exists",
            "a name is that of a port of one protocol",
        ],
        ["allow one port", "allow a named port"],
        ["rules of a direction that is not in the types", "a label that is missing is in no set"],
    ]


def test_a_node_has_the_gates_of_its_own_pods_only() -> None:
    first, second = rulesets(EMPTY.having(policy(ingress=[], egress=[])))
    assert {str(each) for each in first.isolated} == {address_of("x", "a"), address_of("x", "c")}
    assert {str(each) for each in second.isolated} == {address_of("x", "b")}


def test_pods_with_the_same_rules_share_a_gate() -> None:
    first, _ = rulesets(EMPTY.having(policy(ingress=[{"from": [{"podSelector": {}}]}])))
    assert len(first.ingress) == 2
    assert len(set(first.ingress.values())) == 1


def test_what_allows_everything_makes_the_rest_of_a_gate_superfluous() -> None:
    first, _ = rulesets(EMPTY.having(policy(ingress=[{}, {"ports": [{"port": 80}]}])))
    assert set(first.ingress.values()) == {frozenset([Allow(None, None)])}


def test_networks_and_ports_do_not_overlap_as_the_kernel_demands() -> None:
    ranges = [{"port": 80}, {"port": 79, "endPort": 81}, {"port": 82}]
    listed = [{"ipBlock": {"cidr": "10.60.0.0/16"}}, {"podSelector": {}}, {"ipBlock": {"cidr": "10.61.0.0/16"}}]
    first, _ = rulesets(EMPTY.having(policy(ingress=[{"from": listed, "ports": ranges}])))
    ((allow,),) = set(first.ingress.values())
    assert isinstance(allow, Allow)
    assert allow.networks == frozenset([ip_network("10.60.0.0/15")])
    assert allow.ports is not None
    assert [(each.first, each.last) for each in allow.ports] == [(79, 82)]
