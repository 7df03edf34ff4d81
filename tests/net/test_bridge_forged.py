"""What a machine, a stranger or a peer forges: none of it comes out on the other side. Without the rules, all of it does."""

import socket
import struct
from collections.abc import Iterator

import pytest

from kubeception_sim.lab import Lab
from tests.net.bridge_ground import (
    SECONDS,
    STRANGER,
    STRANGER_ADDRESS,
    Ground,
    arp,
    encapsulated,
    ethernet,
    ground,
    place,
    udp,
)

IPV4, ARP, VLAN, QINQ, IPV6, LLDP, EAPOL, LOOP = 0x0800, 0x0806, 0x8100, 0x88A8, 0x86DD, 0x88CC, 0x888E, 0x9000
RED1, RED2, BLUE1 = (place(name) for name in ("red1", "red2", "blue1"))
ONE, TWO = str(RED1.machine), str(RED2.machine)
MINE, THEIRS, EVERYBODY = RED1.machine_mac, RED2.machine_mac, "ff:ff:ff:ff:ff:ff"
STRANGE = "06:00:00:64:00:09"
REQUEST, ANSWER = 1, 2
END = b"the last of them"


def ipv6(content: bytes) -> bytes:
    """A packet to all nodes of the link (RFC 8200). One that is none would be dropped by br_netfilter, and prove nothing."""
    source, target = socket.inet_pton(socket.AF_INET6, "fe80::6"), socket.inet_pton(socket.AF_INET6, "ff02::1")
    return struct.pack("!IHBB", 6 << 28, len(content), 59, 255) + source + target + content


def from_machine(mark: bytes) -> dict[str, bytes]:
    """What red1's machine must not say to red2's."""

    def ip(source: str, target: str = TWO, *, mac: str = MINE, to: str = THEIRS, port: int = 9) -> bytes:
        return ethernet(to, mac, IPV4, udp(source, target, mark, port))

    def other(kind: int, to: str = THEIRS) -> bytes:
        return ethernet(to, MINE, kind, bytes(40) + mark)

    return {
        "the address of a machine that is not there": ip("172.23.0.38"),
        "the address of its gateway": ip(str(RED1.gateway)),
        "the address of its pod": ip(str(RED1.pod)),
        "the address of a stranger": ip(STRANGER_ADDRESS),
        "an address of the pods of another machine": ip("10.80.2.5"),
        "a MAC that is nobody's": ip(ONE, mac=STRANGE),
        "the MAC of its gateway": ip(ONE, mac=RED1.bridge_mac),
        "the MAC of a peer": ip(ONE, mac=RED2.bridge_mac),
        "a DHCP client's question": ip("0.0.0.0", "255.255.255.255", to=EVERYBODY, port=67),
        "ARP: another machine's address": ethernet(THEIRS, MINE, ARP, arp(ANSWER, MINE, "172.23.0.38", TWO) + mark),
        "ARP: the gateway's address": ethernet(THEIRS, MINE, ARP, arp(ANSWER, MINE, str(RED1.gateway), TWO) + mark),
        "ARP: another MAC inside": ethernet(EVERYBODY, MINE, ARP, arp(REQUEST, STRANGE, ONE, TWO) + mark),
        "a router's advertisement (IPv6)": ethernet("33:33:00:00:00:01", MINE, IPV6, ipv6(mark)),
        "IPv6": ethernet(THEIRS, MINE, IPV6, ipv6(mark)),
        "a VLAN": other(VLAN),
        "a VLAN of a provider": other(QINQ),
        "LLDP": other(LLDP),
        "EAPOL": other(EAPOL),
        "a loopback test": other(LOOP, EVERYBODY),
    }


def from_peer(mark: bytes) -> dict[str, bytes]:
    """What comes by VXLAN from red2's pod, and can be none of red2's machine."""

    def ip(source: str, *, mac: str = THEIRS, to: str = MINE) -> bytes:
        return ethernet(to, mac, IPV4, udp(source, ONE, mark))

    return {
        "the address of this machine": ip(ONE),
        "the address of this machine's gateway": ip(str(RED1.gateway)),
        "an address of this machine's pods": ip("10.80.1.5"),
        "an address outside": ip("192.0.2.1"),
        "the MAC of the gateway": ip(TWO, mac=RED1.bridge_mac),
        "ARP for the gateway": ethernet(MINE, THEIRS, ARP, arp(ANSWER, THEIRS, str(RED1.gateway), ONE) + mark),
        "IPv6": ethernet(MINE, THEIRS, IPV6, ipv6(mark)),
        "a VLAN": ethernet(MINE, THEIRS, VLAN, bytes(40) + mark),
    }


def honest(mark: bytes) -> dict[str, bytes]:
    """What red1's machine may say to red2's."""
    return {
        "a datagram": ethernet(THEIRS, MINE, IPV4, udp(ONE, TWO, mark)),
        "a datagram of a pod": ethernet(THEIRS, MINE, IPV4, udp("10.80.1.5", TWO, mark)),
        "a datagram for all": ethernet(EVERYBODY, MINE, IPV4, udp(ONE, "172.23.0.255", mark)),
        "ARP": ethernet(EVERYBODY, MINE, ARP, arp(REQUEST, MINE, ONE, TWO) + mark),
    }


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Pods that no test changes."""
    with Lab.create(tmp_path_factory.mktemp("forged")) as lab, ground(lab) as made:
        yield made


@pytest.fixture
def opened(lab: Lab) -> Iterator[Ground]:
    """Pods without rules."""
    with ground(lab) as made:
        made.open_up()
        yield made


def marked(names: Iterator[str] | dict[str, bytes]) -> dict[str, bytes]:
    """A mark for each name; none is part of another."""
    return {name: f"<{number:04}>".encode() for number, name in enumerate(names)}


def said(pods: Ground) -> set[str]:
    """What of a machine's lies its peer hears. Frames do not overtake each other: when the last has come, no other will."""
    machine, peer, marks = pods.cable(pods.vm("red1")), pods.cable(pods.vm("red2")), marked(from_machine(b""))
    for name, mark in marks.items():
        machine.send(from_machine(mark)[name])
    machine.send(honest(END)["a datagram"])
    heard = peer.arrivals(marks.values(), END, SECONDS)
    return {name for name, mark in marks.items() if mark in heard}


def told(pods: Ground) -> set[str]:
    """What of a peer's lies a machine hears."""
    machine, marks = pods.cable(pods.vm("red1")), marked(from_peer(b""))
    sender, target = pods.bound(pods.pod("red2"), socket.SOCK_DGRAM), (str(RED1.pod), 8472)
    for name, mark in marks.items():
        sender.sendto(encapsulated(100, from_peer(mark)[name]), target)
    sender.sendto(encapsulated(100, ethernet(MINE, THEIRS, IPV4, udp(TWO, ONE, END))), target)
    heard = machine.arrivals(marks.values(), END, SECONDS)
    return {name for name, mark in marks.items() if mark in heard}


def injected(pods: Ground) -> set[str]:
    """From which pods, that are no peers, a frame comes to red1's machine when they send it as VXLAN."""
    homes = (STRANGER, "fabric", "blue1")
    machine, marks = pods.cable(pods.vm("red1")), marked(iter(homes))
    for home, mark in marks.items():
        frame = ethernet(MINE, THEIRS, IPV4, udp(TWO, ONE, mark))
        sender = pods.bound(pods.pod(home), socket.SOCK_DGRAM)
        try:
            sender.sendto(encapsulated(100, frame), (str(RED1.pod), 8472))
        except PermissionError:
            assert home == "blue1", "a machine's pod does not even send it"
    heard = machine.arrivals(marks.values())
    return {home for home, mark in marks.items() if mark in heard}


def test_what_is_honest_arrives(pods: Ground) -> None:
    machine, peer, marks = pods.cable(pods.vm("red1")), pods.cable(pods.vm("red2")), marked(honest(b""))
    for name, mark in marks.items():
        machine.send(honest(mark)[name])
    machine.send(honest(END)["a datagram"])
    assert peer.arrivals(marks.values(), END, SECONDS) == set(marks.values())


def test_nothing_that_a_machine_forges_reaches_its_peer(pods: Ground) -> None:
    before = pods.dropped("red1")["spoofed"]
    assert said(pods) == set()
    assert pods.dropped("red1")["spoofed"] - before >= len(from_machine(b""))


def test_nothing_that_a_peer_forges_reaches_a_machine(pods: Ground) -> None:
    before = pods.dropped("red1")["spoofed_by_peer"]
    assert told(pods) == set()
    assert pods.dropped("red1")["spoofed_by_peer"] - before >= len(from_peer(b""))


def test_vxlan_of_nobodys_peer_is_dropped_and_counted(pods: Ground) -> None:
    before = pods.dropped("red1")["forged"]
    assert injected(pods) == set()
    assert pods.dropped("red1")["forged"] - before == 2, "the stranger's and the node's; blue1's pod has not sent its own"


def test_a_peer_does_not_speak_with_the_gateway(pods: Ground) -> None:
    bridge, machine = pods.cable(pods.pod("red1"), RED1.bridge), pods.cable(pods.vm("red2"))
    frame = ethernet(RED1.bridge_mac, THEIRS, IPV4, udp(TWO, str(RED1.gateway), b"to the gateway"))
    sender = pods.bound(pods.pod("red2"), socket.SOCK_DGRAM)
    sender.sendto(encapsulated(100, frame), (str(RED1.pod), 8472))
    machine.send(ethernet(RED1.bridge_mac, THEIRS, IPV4, udp(TWO, str(RED1.gateway), b"to the gateway")))
    assert not bridge.arrivals([b"to the gateway"])


def test_the_vni_of_another_cluster_leads_nowhere(pods: Ground) -> None:
    wires = [pods.cable(pods.vm(name)) for name in ("red1", "blue1")]
    frame = ethernet(BLUE1.machine_mac, place("blue3").machine_mac, IPV4, udp("172.23.0.14", ONE, b"of another number"))
    for vni in (100, 200):
        pods.bound(pods.pod("red2"), socket.SOCK_DGRAM).sendto(encapsulated(vni, frame), (str(RED1.pod), 8472))
    assert not any(wire.arrivals([b"of another number"]) for wire in wires)


def test_without_the_rules_every_lie_is_heard(opened: Ground) -> None:
    assert said(opened) == set(from_machine(b""))
    assert told(opened) == set(from_peer(b""))
    assert injected(opened) == {STRANGER, "fabric", "blue1"}
