import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from kubeception_sim.errors import BadInput
from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric, Rack, bridge_of
from kubeception_sim.run import run
from tests.net.hosts import host_in

RACKS = (Rack("a", IPv4Interface("10.77.1.1/24")), Rack("b", IPv4Interface("10.77.2.1/24")))


@pytest.fixture
def racks(lab: Lab) -> Iterator[Fabric]:
    with Fabric.create(lab, racks=RACKS) as fabric:
        yield fabric


def test_each_rack_is_a_bridge_with_the_routers_address(racks: Fabric) -> None:
    listed = json.loads(run(["ip", "-json", "-4", "address"], namespace=racks.namespace, timeout=10).stdout)
    addresses = {link["ifname"]: [each["local"] for each in link["addr_info"]] for link in listed}
    assert addresses == {"lo": ["127.0.0.1"], "br0": ["10.77.0.1"], "br-a": ["10.77.1.1"], "br-b": ["10.77.2.1"]}


def test_machines_of_two_racks_reach_each_other_and_the_servers(lab: Lab, racks: Fabric) -> None:
    with host_in(lab, racks, "h1", "a", 11) as h1, host_in(lab, racks, "h2", "b", 12) as h2:
        assert h1.reaches(h2.address)
        assert h2.reaches(h1.address)
        assert h1.reaches("10.77.0.1")


def test_a_machine_of_one_rack_is_no_neighbour_in_the_other(lab: Lab, racks: Fabric) -> None:
    """The hop limit shows that a router is between."""
    with host_in(lab, racks, "h1", "a", 11) as h1, host_in(lab, racks, "h2", "b", 12) as h2:
        one_hop = run(["ping", "-c1", "-W1", "-t1", str(h2.address)], namespace=h1.namespace, timeout=10, check=False)
        assert "Time to live exceeded" in one_hop.stdout


def test_nothing_leaves_the_fabric(lab: Lab, racks: Fabric) -> None:
    with host_in(lab, racks, "h1", "a", 11) as h1:
        answer = run(["ping", "-c1", "-W1", "192.0.2.1"], namespace=h1.namespace, timeout=10, check=False)
        assert "Destination Net Unreachable" in answer.stdout


def test_the_host_does_not_begin_to_forward(lab: Lab) -> None:
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    with Fabric.create(lab, racks=RACKS):
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


def test_a_port_is_in_the_rack_it_is_asked_for_in(racks: Fabric) -> None:
    port = racks.port("w1", "b")
    assert (port.bridge, port.rack, racks.port("w1", "b").tap) == ("br-b", "b", "tap0")
    assert racks.port("client").bridge == "br0"
    tap = json.loads(run(["ip", "-json", "link", "show", "tap0"], namespace=racks.namespace, timeout=10).stdout)[0]
    assert tap["master"] == "br-b"


def test_a_machine_stands_in_one_rack_only(racks: Fabric) -> None:
    racks.port("w1", "b")
    with pytest.raises(BadInput, match="w1 already has a port on br-b"):
        racks.port("w1", "a")


def test_a_rack_that_is_not_there_is_refused(racks: Fabric) -> None:
    with pytest.raises(BadInput, match="no rack 'c'") as refused:
        racks.port("w1", "c")
    assert refused.value.hint == "its racks: a, b"


def test_racks_that_share_addresses_are_refused(lab: Lab) -> None:
    twice = [Rack("a", IPv4Interface("10.77.1.1/24")), Rack("b", IPv4Interface("10.77.1.129/25"))]
    with pytest.raises(BadInput, match=r"rack b: 10.77.1.128/25 overlaps 10.77.1.0/24 of a"), Fabric.create(lab, racks=twice):
        pass


@pytest.mark.parametrize("name", ["", "thirteen-long", "a b", "a/b", "\n"])
def test_a_rack_whose_name_makes_no_bridge_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be the name of a rack"):
        Rack(name, IPv4Interface("10.77.1.1/24"))


def test_the_name_of_a_bridge_follows_from_the_racks() -> None:
    assert bridge_of("a") == RACKS[0].bridge == "br-a"
    assert RACKS[0].gateway.ip == IPv4Address("10.77.1.1")
