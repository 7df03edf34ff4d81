import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from ipaddress import IPv4Interface

import pytest

from kubeception_sim.errors import BadInput, CommandFailed, HarnessError
from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric, Port, socket_in
from kubeception_sim.run import run


def namespaces() -> set[str]:
    return {entry["name"] for entry in json.loads(run(["ip", "-json", "netns"], timeout=10).stdout or "[]")}


def links(namespace: str | None = None) -> dict[str, dict[str, object]]:
    listed = json.loads(run(["ip", "-json", "-details", "link"], namespace=namespace, timeout=10).stdout)
    return {link["ifname"]: link for link in listed}


def test_a_fabric_comes_and_goes_and_leaves_the_host_alone(lab: Lab) -> None:
    before = set(links())
    with Fabric.create(lab) as fabric:
        assert fabric.port("n1").tap == "tap0"
        assert fabric.namespace == f"kc-{lab.id}-fabric"
        assert fabric.namespace in namespaces()
        assert set(links()) == before
    assert fabric.namespace not in namespaces()


def test_two_fabrics_may_use_the_same_addresses(lab: Lab) -> None:
    with Fabric.create(lab, name="one") as one, Fabric.create(lab, name="two") as two:
        for fabric in (one, two):
            with fabric.socket() as listener:
                listener.bind(("10.77.0.1", 80))


def test_the_bridge_forwards_from_the_first_packet_on(fabric: Fabric) -> None:
    info = links(fabric.namespace)["br0"]["linkinfo"]
    assert isinstance(info, dict)
    bridge = info["info_data"]
    assert (bridge["stp_state"], bridge["forward_delay"], bridge["mcast_snooping"]) == (0, 0, 0)


def test_the_address_is_the_one_asked_for(lab: Lab) -> None:
    with Fabric.create(lab, address=IPv4Interface("192.0.2.9/28")) as fabric, fabric.socket() as bound:
        bound.bind(("192.0.2.9", 0))
        assert fabric.address == IPv4Interface("192.0.2.9/28")


def test_a_port_has_no_tap_until_somebody_wants_it(fabric: Fabric) -> None:
    port = fabric.port("worker-1")
    assert "tap0" not in links(fabric.namespace)
    assert [port.tap, fabric.port("worker-1").tap] == ["tap0", "tap0"]
    assert "tap0" in links(fabric.namespace)


def test_a_port_is_a_tap_on_the_bridge(fabric: Fabric) -> None:
    assert fabric.port("worker-1") == Port(fabric.namespace, "br0", "worker-1", 0)
    assert fabric.port("worker-2").tap == "tap1"
    assert fabric.port("worker-1").tap == "tap0"
    tap = links(fabric.namespace)["tap0"]
    assert (tap["master"], tap["ifalias"], "UP" in str(tap["flags"])) == ("br0", "worker-1", True)


def test_a_new_port_does_not_change_the_bridges_address(fabric: Fabric) -> None:
    before = links(fabric.namespace)["br0"]["address"]
    for n in range(8):
        assert fabric.port(f"n{n}").tap
    assert links(fabric.namespace)["br0"]["address"] == before


def test_this_process_talks_to_a_server_inside_and_stays_outside(fabric: Fabric) -> None:
    outside = os.readlink("/proc/thread-self/ns/net")
    with fabric.socket() as listener, fabric.socket() as client:
        listener.bind(("10.77.0.1", 0))
        listener.listen()
        client.settimeout(5)
        client.connect(listener.getsockname())
    assert os.readlink("/proc/thread-self/ns/net") == outside


def test_a_socket_from_outside_does_not_reach_inside(fabric: Fabric) -> None:
    with fabric.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(listener.getsockname(), timeout=5).close()


@pytest.fixture
def client(lab: Lab, fabric: Fabric) -> Iterator[str]:
    """A namespace with a cable to the bridge, as a machine would have one."""
    name = lab.namespace("client")
    run(["ip", "netns", "add", name], timeout=10)
    try:
        plug = ["link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", name]
        run(["ip", "-netns", fabric.namespace, *plug], timeout=10)
        run(["ip", "-netns", name, "link", "set", "eth0", "up"], timeout=10)
        run(["ip", "-netns", fabric.namespace, "link", "set", "cable", "master", "br0", "up"], timeout=10)
        yield name
    finally:
        run(["ip", "netns", "delete", name], timeout=10)


@pytest.fixture
def icmp6(client: str) -> Iterator[socket.socket]:
    with socket_in(client, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp6:
        icmp6.settimeout(10)
        yield icmp6


def received(icmp6: socket.socket) -> tuple[str, bytes]:
    """The next router advertisement, with its sender."""
    while True:
        message, sender = icmp6.recvfrom(2048)
        if message[0] == 134:
            return sender[0].partition("%")[0], message[:2] + message[4:]


def test_advertisements_come_unasked(icmp6: socket.socket) -> None:
    for _ in range(2):
        assert received(icmp6) == ("fe80::1", bytes.fromhex("8600 40000000 00000000 00000000 0101 020000000001"))


def test_a_solicitation_is_answered_at_once(client: str, icmp6: socket.socket) -> None:
    received(icmp6)
    index = int(run(["cat", "/sys/class/net/eth0/ifindex"], namespace=client, timeout=10).stdout)
    icmp6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    icmp6.settimeout(1)  # the next unasked one is 3 s away
    icmp6.sendto(struct.pack("!BBHI", 133, 0, 0, 0), ("ff02::2", 0, 0, index))
    received(icmp6)


def test_a_client_reaches_the_server_at_once(fabric: Fabric, client: str) -> None:
    run(["ip", "-netns", client, "address", "add", "10.77.0.7/24", "dev", "eth0"], timeout=10)
    with fabric.socket() as listener, socket_in(client) as connection:
        listener.bind(("10.77.0.1", 80))
        listener.listen()
        connection.settimeout(2)  # a bridge with the usual delay would be silent for 15 s
        connection.connect(("10.77.0.1", 80))


def test_a_namespace_that_is_not_there_is_an_error() -> None:
    with pytest.raises(HarnessError, match="cannot open network namespace kc-none: No such file"):
        socket_in("kc-none")


def test_advertising_ends_with_the_fabric(lab: Lab) -> None:
    with Fabric.create(lab):
        assert any(thread.name.startswith("router-advertiser") for thread in threading.enumerate())
    assert not any(thread.name.startswith("router-advertiser") for thread in threading.enumerate())


def test_a_second_fabric_of_that_name_is_refused_and_leaves_the_first_alone(lab: Lab) -> None:
    with Fabric.create(lab) as first:
        with pytest.raises(CommandFailed, match="File exists"), Fabric.create(lab):
            pass
        assert first.namespace in namespaces()


def test_a_fabric_that_cannot_come_up_leaves_nothing(lab: Lab) -> None:
    with pytest.raises(CommandFailed, match="nonsense"), Fabric.create(lab, address="nonsense"):  # type: ignore[arg-type]
        pass
    assert lab.namespace("fabric") not in namespaces()


@pytest.mark.parametrize("name", ['"', "a\nlink delete br0"])
def test_a_port_whose_name_is_no_word_is_refused(fabric: Fabric, name: str) -> None:
    with pytest.raises(BadInput, match="cannot be the alias"):
        fabric.port(name)
