"""Captures are read as scapy writes them, and whatever bytes are given, nothing but Malformed comes of it."""

import struct
from contextlib import suppress
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import CookedLinux, Dot1Q, Ether
from scapy.utils import PcapNgWriter, PcapWriter

from mayu_py.wire import Malformed, pcap, tcp4, udp4
from mayu_py.wire.pcap import Frame, Link
from mayu_py.wire.tcp4 import Segment
from mayu_py.wire.udp4 import Datagram

SOURCE, SERVER = IPv4Address("10.77.0.11"), IPv4Address("10.77.0.1")
DATAGRAM = Datagram(SOURCE, 68, SERVER, 67, b"hello")
PACKET = udp4.build(DATAGRAM)
ETHERNET = bytes(12) + b"\x08\x00" + PACKET


def classic(*frames: bytes, order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1) -> bytes:
    head = struct.pack(f"{order}IHHIIII", magic, 2, 4, 0, 0, 65535, link)
    return head + b"".join(struct.pack(f"{order}IIII", 7, 5, len(frame), len(frame)) + frame for frame in frames)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", *, link: int = 1, snap: int = 0, options: bytes = b"") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link, 0, snap) + options, order)


def enhanced(frame: bytes, *, at: int = 7_000_005, index: int = 0, order: str = "<") -> bytes:
    return block(6, struct.pack(f"{order}IIIII", index, at >> 32, at & 0xFFFFFFFF, len(frame), len(frame)) + frame, order)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "at"), [(0xA1B2C3D4, 7_000_005_000), (0xA1B23C4D, 7_000_000_005)])
def test_a_pcap_of_any_byte_order_and_resolution(order: str, magic: int, at: int) -> None:
    capture = classic(b"one", b"three", order=order, magic=magic)
    assert list(pcap.frames(capture)) == [Frame(1, at, 1, b"one"), Frame(2, at, 1, b"three")]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pcapng_of_any_byte_order(order: str) -> None:
    capture = section(order) + interface(order) + block(0xBAD, b"an unknown block", order) + enhanced(b"one", order=order)
    assert list(pcap.frames(capture)) == [Frame(1, 7_000_005_000, 1, b"one")]


@pytest.mark.parametrize(
    ("told", "at"), [(9, 7_000_005), (3, 7_000_005_000_000), (0x80 | 10, 7_000_005 * 10**9 // 1024), (6, 7_000_005_000)]
)
def test_the_clock_of_an_interface(told: int, at: int) -> None:
    capture = section() + interface(options=struct.pack("<HHBxxxHH", 9, 1, told, 0, 0)) + enhanced(b"one")
    assert list(pcap.frames(capture)) == [Frame(1, at, 1, b"one")]


def test_each_section_has_interfaces_of_its_own() -> None:
    first = section() + interface(link=113) + interface(link=101) + enhanced(b"one", index=1)
    capture = first + section(">") + interface(">") + enhanced(b"two", order=">")
    assert [(frame.number, frame.link, frame.data) for frame in pcap.frames(capture)] == [(1, 101, b"one"), (2, 1, b"two")]


def test_a_simple_block_is_cut_to_what_its_interface_keeps() -> None:
    capture = section() + interface(snap=2) + block(3, struct.pack("<I", 9) + b"on")
    assert list(pcap.frames(capture)) == [Frame(1, 0, 1, b"on")]


@pytest.mark.parametrize(
    ("capture", "reason", "frames"),
    [
        (b"", "not-a-capture", 0),
        (b"GIF89a", "not-a-capture", 0),
        (classic(b"one")[:20], "truncated", 0),
        (classic(b"one", b"two")[:-1], "truncated", 1),
        (classic() + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 0), "length", 0),
        (section() + enhanced(b"one"), "interface", 0),
        (section() + interface() + struct.pack("<III", 6, 0, 0), "block-length", 0),
        (section() + interface() + struct.pack("<III", 6, 0xFFFFFFFC, 0), "truncated", 0),
        (section() + interface() + block(6, struct.pack("<IIIII", 0, 0, 0, 0xFFFFFFFF, 0)), "length", 0),
        (section()[:8] + b"abcd", "byte-order", 0),
    ],
)
def test_damage_ends_the_reading_after_the_frames_before_it(capture: bytes, reason: str, frames: int) -> None:
    found: list[Frame] = []
    with pytest.raises(Malformed, match=reason):
        found.extend(pcap.frames(capture))
    assert len(found) == frames


@pytest.mark.parametrize("writer", [PcapWriter, PcapNgWriter])
def test_what_scapy_writes_is_read(writer: type, tmp_path: Path) -> None:
    udp = Ether() / Dot1Q(vlan=7) / Dot1Q(vlan=8) / IP(src=str(SOURCE), dst=str(SERVER)) / UDP(sport=68, dport=67) / b"hello"
    tcp = Ether() / IP(src=str(SOURCE), dst=str(SERVER)) / TCP(sport=99, dport=4081, seq=5, flags="PA") / b"GET / HTTP/1.1"
    with writer(str(tmp_path / "capture")) as writing:
        writing.write([udp, tcp])
    first, second = pcap.frames((tmp_path / "capture").read_bytes())
    assert udp4.parse(pcap.ipv4(first)) == DATAGRAM
    assert tcp4.parse(pcap.ipv4(second)) == Segment(SOURCE, 99, SERVER, 4081, 5, False, b"GET / HTTP/1.1")


def test_link_types() -> None:
    cooked = bytes(CookedLinux(proto=0x0800) / PACKET)
    assert pcap.ipv4(Frame(1, 0, Link.LINUX_COOKED, cooked)) == PACKET
    assert pcap.ipv4(Frame(1, 0, Link.LINUX_COOKED_2, b"\x08\x00" + bytes(18) + PACKET)) == PACKET
    assert pcap.ipv4(Frame(1, 0, Link.RAW, PACKET)) == PACKET
    with pytest.raises(Malformed, match="link-type"):
        pcap.ipv4(Frame(1, 0, 147, PACKET))
    with pytest.raises(Malformed, match="not-ipv4"):
        pcap.ipv4(Frame(1, 0, Link.ETHERNET, bytes(12) + b"\x08\x06" + bytes(28)))


def test_a_connection_that_opens_counts_its_syn() -> None:
    packet = bytes(IP(src=str(SOURCE), dst=str(SERVER)) / TCP(sport=99, dport=80, seq=2**32 - 1, flags="S"))
    assert tcp4.parse(packet) == Segment(SOURCE, 99, SERVER, 80, 0, True, b"")


NEXT = section() + interface() + enhanced(ETHERNET) + block(3, struct.pack("<I", len(ETHERNET)) + ETHERNET)


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good capture with a few bytes changed or cut: the reader gets far before it stumbles."""
    raw = bytearray(draw(st.sampled_from([classic(ETHERNET, ETHERNET), classic(ETHERNET, order=">"), NEXT])))
    for _ in range(draw(st.integers(0, 6))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw[: draw(st.integers(0, len(raw)))]) + draw(st.binary(max_size=20))


@given(st.binary(max_size=80) | mangled())
@example(classic(ETHERNET, link=276))
def test_hostile_captures_are_malformed_at_worst(capture: bytes) -> None:
    reading = pcap.frames(capture)
    for number in count(1):
        try:
            frame = next(reading)
        except (StopIteration, Malformed):
            break
        assert frame.number == number
        assert len(frame.data) <= len(capture)
        for parse in (udp4.parse, tcp4.parse):
            with suppress(Malformed):
                parse(pcap.ipv4(frame))


@given(st.binary(max_size=60).map(lambda tail: PACKET[:20] + tail) | st.binary(max_size=80))
def test_hostile_segments_are_malformed_at_worst(packet: bytes) -> None:
    with suppress(Malformed):
        assert tcp4.parse(packet).payload in packet
