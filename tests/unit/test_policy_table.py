"""The text for nft: golden files for clusters that a person can follow, and what must hold for any."""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from kubeception_sim.agents.policy.objects import Protocol, read_namespaces, read_pods, read_policy
from kubeception_sim.agents.policy.ruleset import Allow, Ports, Ruleset, translate
from kubeception_sim.agents.policy.table import Held, render
from tests.policy_cases import CASES, EMPTY

GOLDEN = Path(__file__).parents[1] / "golden" / "policy"
SHOWN = {
    "empty": "no policy",
    "deny-all": "deny all",
    "add-up": "policies add up",
    "block-but-for": "allow from a block but for some",
    "named-egress": "egress to a named port of some",
}


def ruleset(name: str, node: str = "n1") -> Ruleset:
    cluster = EMPTY.having(*CASES[name])
    policies = [read_policy(each) for each in cluster.policies]
    return translate(policies, read_namespaces(cluster.namespaces), read_pods(cluster.pods), node)


@pytest.mark.parametrize("file", SHOWN)
def test_the_text_is_as_recorded(file: str) -> None:
    texts = render(ruleset(SHOWN[file]))
    assert f"{texts.prepare}# The second transaction\n{texts.switch}" == (GOLDEN / f"{file}.nft").read_text()


def test_the_two_families_have_sets_of_their_own() -> None:
    gate = frozenset([Allow(frozenset([ip_network("10.60.0.0/16"), ip_network("fd00::/8")]), None)])
    texts = render(Ruleset(ingress={ip_address("10.60.1.5"): gate, ip_address("fd00::5"): gate}))
    assert "    ip saddr @peers_1_g1 return\n    ip6 saddr @peers_2_g1 return\n" in texts.prepare
    assert "ip daddr vmap @ingress_ipv4_addr_g1" in texts.switch
    assert "ip6 daddr vmap @ingress_ipv6_addr_g1" in texts.switch
    assert "nd-neighbor-solicit" in texts.switch


def test_each_generation_has_names_of_its_own_and_the_one_in_use_stays() -> None:
    """A packet that is on its way has the rules of then; what they name must be as it was."""
    maps = ("ingress_ipv4_addr_g7", "ingress_ipv4_addr_g8", "ingress_ipv4_addr_g9")
    texts = render(ruleset("deny all"), Held(maps, chains=("forward", "ingress_1_g7"), sets=("self_1_g8",), used=8))
    assert re.findall("^delete .*$", texts.prepare, re.MULTILINE) == [
        "delete map inet kubeception_policy ingress_ipv4_addr_g7",
        "delete map inet kubeception_policy ingress_ipv4_addr_g9",
        "delete chain inet kubeception_policy ingress_1_g7",
    ]
    assert set(re.findall(r"_g(\d+)\b", texts.prepare)) == {"7", "9", "10"}
    assert set(re.findall(r"_g(\d+)\b", texts.switch)) == {"10"}


@pytest.mark.parametrize("name", CASES)
def test_the_switch_changes_the_rules_of_the_base_chain_only(name: str) -> None:
    texts = render(ruleset(name))
    assert re.findall(r"^ *(flush|delete|set|map|chain) ", texts.switch, re.MULTILINE) == ["flush", "chain"]
    assert "flush" not in texts.prepare


def test_the_order_of_what_the_api_says_does_not_matter() -> None:
    cluster = EMPTY.having(*CASES["policies add up"])
    policies, namespaces = [read_policy(each) for each in cluster.policies], read_namespaces(cluster.namespaces)
    pods = read_pods(cluster.pods)
    assert render(translate(policies, namespaces, pods, "n1")) == render(translate(policies[::-1], namespaces, pods[::-1], "n1"))


def test_every_port_of_a_protocol_is_asked_for_by_the_protocol() -> None:
    gate = frozenset([Allow(None, frozenset([Ports(Protocol.UDP), Ports(Protocol.TCP, 80, 80), Ports(Protocol.TCP, 90, 99)]))])
    text = render(Ruleset(egress={ip_address("10.60.1.5"): gate})).prepare
    assert "    tcp dport { 80, 90-99 } return\n    meta l4proto udp return\n    counter drop\n" in text
