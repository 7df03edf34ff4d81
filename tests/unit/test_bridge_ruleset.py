"""The rules of a pod as nft reads them: a golden file for each role, and what follows from a change of peers."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from kubeception_sim.agents.bridge.place import Place
from kubeception_sim.agents.bridge.ruleset import change_peers, removal, render

GOLDEN = Path(__file__).parents[1] / "golden" / "bridge"
SUBNET, PODS = IPv4Network("172.23.0.0/24"), IPv4Network("10.80.0.0/16")
ONE, TWO = IPv4Address("10.60.0.11"), IPv4Address("10.60.0.12")
CASES = {
    "master": (Place("red", 100, 1, SUBNET, PODS, 6443, ONE), (IPv4Address("10.60.0.13"), TWO)),
    "worker-alone": (Place("blue", 200, 3, SUBNET, None, 30080, TWO), ()),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rules_are_those_of_the_golden_file(name: str) -> None:
    own, peers = CASES[name]
    assert render(own, "eth0", peers) == (GOLDEN / f"{name}.nft").read_text()


def test_every_golden_file_is_tested() -> None:
    assert {path.stem for path in GOLDEN.glob("*.nft")} == set(CASES)


def test_rules_take_the_place_of_those_that_were_there() -> None:
    own, peers = CASES["master"]
    assert render(own, "eth0", peers).startswith(removal())


def test_without_a_network_of_pods_the_machine_speaks_for_itself_alone() -> None:
    own, _ = CASES["worker-alone"]
    assert "ip saddr { 172.23.0.14 } accept" in render(own, "eth0")
    assert "10.80" not in render(own, "eth0")


def test_a_change_of_peers_names_only_those_that_change() -> None:
    table = "inet kubeception-machine peers"
    assert change_peers({TWO, ONE}, ()) == f"add element {table} {{ {ONE}, {TWO} }}\n"
    assert change_peers({ONE}, {TWO}) == f"delete element {table} {{ {TWO} }}\nadd element {table} {{ {ONE} }}\n"
    assert not change_peers((), ())
