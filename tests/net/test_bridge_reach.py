"""Whom a machine reaches: its peers, and nobody else; and who reaches it. The same looks, without the rules, find the leaks."""

import socket
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from kubeception_sim.agents.bridge.kernel import Network
from kubeception_sim.lab import Lab
from kubeception_sim.run import run
from tests.net.bridge_ground import (
    FABRIC,
    SECONDS,
    STRANGER,
    STRANGER_ADDRESS,
    Ground,
    ethernet,
    ground,
    peers_of,
    place,
    udp,
)
from tests.net.policy_ground import inside

IPV4, DATA = 0x0800, 1450 - 28
RED1, RED2, BLUE1 = (place(name) for name in ("red1", "red2", "blue1"))
# What a machine sends to its gateway for others, and where it would be seen: a namespace and a link.
BEYOND = {
    "the gateway": (str(RED1.gateway), "red1", RED1.bridge),
    "its own pod": (str(RED1.pod), "red1", RED1.bridge),
    "a peer's pod": (str(RED2.pod), "red2", "eth0"),
    "a pod of another cluster": (str(BLUE1.pod), "blue1", "eth0"),
    "a pod of nobody": (STRANGER_ADDRESS, STRANGER, "eth0"),
    "the node": (FABRIC, "fabric", "fab0"),
    "the world": ("192.0.2.1", "fabric", "fab0"),
}


@pytest.fixture(scope="module", params=[True, False], ids=["br_netfilter", "no br_netfilter"])
def pods(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Pods that no test changes."""
    with Lab.create(tmp_path_factory.mktemp("reach")) as lab, ground(lab, filters_bridges=request.param) as made:
        yield made


@pytest.fixture
def fresh(lab: Lab) -> Iterator[Ground]:
    with ground(lab) as made:
        yield made


def leaks(pods: Ground) -> set[str]:
    """Where datagrams of red1's machine come out that it has sent to its gateway."""
    machine, marks = pods.cable(pods.vm("red1")), {name: f"for {name}.".encode() for name in BEYOND}
    wires = {name: pods.cable(pods.pod(home), link) for name, (_, home, link) in BEYOND.items()}
    for name, (target, _, _) in BEYOND.items():
        machine.send(ethernet(RED1.bridge_mac, RED1.machine_mac, IPV4, udp(str(RED1.machine), target, marks[name])))
    return {name for name, wire in wires.items() if wire.arrivals([marks[name]])}


def by_the_back_door(pods: Ground, port: int) -> bool:
    """Whether a stranger that routes the machines' subnet to red1's pod sends red1's machine something."""
    pods.ip(pods.pod(STRANGER), f"route replace {RED1.machine}/32 via {RED1.pod}")
    wire, mark = pods.cable(pods.vm("red1")), f"back door {port}".encode()
    pods.bound(pods.pod(STRANGER), socket.SOCK_DGRAM).sendto(mark, (str(RED1.machine), port))
    return bool(wire.arrivals([mark]))


def test_peers_are_reached_by_ping_tcp_and_udp(pods: Ground) -> None:
    assert pods.pings(pods.vm("red1"), str(RED2.machine))
    with pods.listen(pods.vm("red2"), 2380):
        assert pods.connects(pods.vm("red1"), str(RED2.machine), 2380, SECONDS)
    receiving = pods.bound(pods.vm("red1"), socket.SOCK_DGRAM, 4789)
    pods.bound(pods.vm("red2"), socket.SOCK_DGRAM).sendto(b"hello", (str(RED1.machine), 4789))
    assert receiving.recvfrom(64)[0] == b"hello"


def test_the_mtu_is_what_passes_and_a_byte_more_does_not(pods: Ground) -> None:
    options = ("-M", "do", "-s")
    assert pods.pings(pods.vm("red1"), str(RED2.machine), *options, str(DATA))
    assert not pods.pings(pods.vm("red1"), str(RED2.machine), *options, str(DATA + 1))


def test_machines_with_the_same_address_are_two(pods: Ground) -> None:
    red, blue = pods.cable(pods.vm("red1")), pods.cable(pods.vm("blue1"))
    sender = pods.bound(pods.vm("red2"), socket.SOCK_DGRAM)
    sender.sendto(b"to red one", (str(RED1.machine), 9))
    assert red.arrivals([b"to red one"], b"to red one", SECONDS)
    assert not blue.arrivals([b"to red one"])


def test_a_machine_of_another_cluster_does_not_answer(pods: Ground) -> None:
    other = place("blue3").machine
    wire = pods.cable(pods.vm("blue3"))
    assert not pods.pings(pods.vm("red1"), str(other))
    assert not wire.arrivals([bytes.fromhex(RED1.machine_mac.replace(":", ""))])
    assert pods.pings(pods.vm("blue1"), str(other)), "its peer does reach it"


def test_a_machine_reaches_nothing_but_its_peers(pods: Ground) -> None:
    before = pods.dropped("red1")["unwanted"]
    assert leaks(pods) == set()
    assert pods.dropped("red1")["unwanted"] >= before + len(BEYOND), "each was dropped by the rule that is for it"


@pytest.mark.parametrize("target", [str(RED1.gateway), str(RED1.pod), str(RED2.gateway), FABRIC, STRANGER_ADDRESS])
def test_no_program_of_a_machine_connects_to_a_pod(pods: Ground, target: str) -> None:
    with pods.listen(pods.pod("red1"), 9081), pods.listen(pods.pod(STRANGER), 9081), pods.listen(pods.pod("fabric"), 9081):
        assert pods.connects(pods.pod("fabric"), str(RED1.pod), 9081), "the kubelet does"
        assert not pods.connects(pods.vm("red1"), target, 9081, 0.5)
        assert not pods.pings(pods.vm("red1"), target)


def test_the_port_of_an_answer_opens_no_way_in(pods: Ground) -> None:
    with pods.listen(pods.pod("red1"), 9081), pods.bound(pods.vm("red1"), socket.SOCK_STREAM, RED1.port) as sender:
        sender.settimeout(0.5)
        with pytest.raises(OSError, match=r"timed out|refused"):
            sender.connect((str(RED1.gateway), 9081))


@pytest.mark.parametrize(("name", "port"), [("red1", 6443), ("blue1", 30080)])
@pytest.mark.parametrize("client", [STRANGER, "fabric", "red2"])
def test_the_entrance_leads_to_the_machine_and_shows_the_gateway(pods: Ground, client: str, name: str, port: int) -> None:
    where = place(name)
    with pods.listen(pods.vm(name), port) as server, pods.bound(pods.pod(client), socket.SOCK_STREAM) as asking:
        asking.connect((str(where.pod), port))
        served, (source, _) = server.accept()
        with served:
            served.sendall(b"welcome")
            assert asking.recv(64) == b"welcome"
        assert source == str(where.gateway)


@pytest.mark.parametrize(("name", "port"), [("red1", 30080), ("blue1", 6443), ("red1", 22), ("red1", 2379), ("blue1", 10250)])
def test_no_other_port_of_a_pod_leads_to_its_machine(pods: Ground, name: str, port: int) -> None:
    wire, where = pods.cable(pods.vm(name)), place(name)
    with pods.listen(pods.vm(name), port):
        assert not pods.connects(pods.pod(STRANGER), str(where.pod), port, 0.5)
    # As source and destination stand in a packet (RFC 791).
    sources = (where.gateway, IPv4Address(STRANGER_ADDRESS))
    assert not wire.arrivals([source.packed + where.machine.packed for source in sources], seconds=0.1)


@pytest.mark.parametrize("port", [9, RED1.port, 8472])
def test_a_machines_own_address_is_no_way_in(pods: Ground, port: int) -> None:
    assert not by_the_back_door(pods, port)


def test_without_the_rules_each_of_these_looks_finds_a_leak(fresh: Ground) -> None:
    fresh.open_up()
    assert leaks(fresh) == set(BEYOND)
    assert by_the_back_door(fresh, 9)
    with fresh.listen(fresh.pod("red1"), 9081):
        assert fresh.connects(fresh.vm("red1"), str(RED1.gateway), 9081)
        assert fresh.connects(fresh.vm("red1"), str(RED1.pod), 9081)


def test_what_is_there_is_not_touched_again(fresh: Ground) -> None:
    before = fresh.networks["red1"].changes
    fresh.join("red1")
    assert fresh.networks["red1"].changes == before


def test_a_setup_done_again_keeps_links_peers_and_open_connections(fresh: Ground) -> None:
    with fresh.listen(fresh.vm("red1"), 6443) as server, fresh.bound(fresh.pod(STRANGER), socket.SOCK_STREAM) as asking:
        asking.connect((str(RED1.pod), 6443))
        served, _ = server.accept()
        with served, inside(fresh.pod("red1")):
            again = Network(RED1)
            assert again.peers() == peers_of("red1")
            again.apply(again.peers())
            assert again.changes == 1, "the rules, whose text only the one before knew"
            served.sendall(b"still here")
            assert asking.recv(64) == b"still here"
    assert fresh.pings(fresh.vm("red1"), str(RED2.machine))


def test_what_somebody_breaks_is_mended(fresh: Ground) -> None:
    pod = fresh.pod("red1")
    fresh.ip(pod, "link delete dev flannel.100", "address flush dev br-100", "link set br-100 mtu 1500")
    run(["nft", "flush", "chain", "bridge", "kubeception-machine", "from_machine"], namespace=pod, timeout=10)
    assert not fresh.pings(fresh.vm("red1"), str(RED2.machine))
    fresh.join("red1")
    assert fresh.pings(fresh.vm("red1"), str(RED2.machine), "-M", "do", "-s", str(DATA))
    assert leaks(fresh) == set()


def test_a_peer_that_goes_is_neither_heard_nor_sent_to(fresh: Ground) -> None:
    wire = fresh.cable(fresh.vm("red1"))
    fresh.join("red1", ("red1",))
    fresh.bound(fresh.vm("red2"), socket.SOCK_DGRAM).sendto(b"from one that went", (str(RED1.machine), 9))
    assert not wire.arrivals([b"from one that went"])
    assert fresh.dropped("red1")["forged"], "it comes as VXLAN of a stranger now"
    assert not fresh.pings(fresh.vm("red1"), str(RED2.machine))
    fresh.join("red1")
    assert fresh.pings(fresh.vm("red1"), str(RED2.machine))


CONTAINER = """\
set -eu
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -o remount,bind,ro /
exec setpriv --bounding-set=-all,+net_admin --inh-caps=-all --no-new-privs "$@"
"""
"""As a container's root with NET_ADMIN alone finds it: nothing can be written, /proc/sys least of all."""


def test_setup_needs_net_admin_and_nothing_that_can_be_written(lab: Lab) -> None:
    contained = ["unshare", "--mount", "--propagation", "private", "sh", "-c", CONTAINER, "sh"]
    source = Path(__file__).parents[2]
    variables = {
        "KUBECEPTION_CLUSTER": "red",
        "KUBECEPTION_ROLE": "master",
        "KUBECEPTION_VNI": "100",
        "KUBECEPTION_INDEX": "1",
        "KUBECEPTION_SUBNET": "172.23.0.0/24",
        "KUBECEPTION_TAP": "tap7",
        "POD_IP": str(RED1.pod),
        "PYTHONPATH": str(source),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with ground(lab, machines=False) as pods:
        pod = pods.pod("red1")
        for path in ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/all/forwarding", f"{source}/written"):
            tried = [*contained, "sh", "-c", f"echo 1 >{path}"]
            assert "Read-only" in run(tried, namespace=pod, check=False, timeout=10).stderr, path
        command = [*contained, sys.executable, "-m", "kubeception_sim.agents.bridge", "setup"]
        for _ in range(2):
            run(command, namespace=pod, env=lab.env | variables, timeout=30)
        links = run(["ip", "-details", "link", "show", "tap7"], namespace=pod, timeout=10).stdout
        assert "user 64055" in links
        assert "persist on" in links
        assert "mtu 1450" in links
        for link, switch, value in (("br-100", "forwarding", 1), ("eth0", "forwarding", 1), ("all", "forwarding", 0)):
            seen = run(["cat", f"/proc/sys/net/ipv4/conf/{link}/{switch}"], namespace=pod, timeout=10).stdout
            assert int(seen) == value, (link, switch)
