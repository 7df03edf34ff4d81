"""Captures: the frames in a pcap or pcapng file, and the IPv4 packets in the frames.

Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Link types: https://www.tcpdump.org/linktypes.html
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from mayu_py.wire import Malformed

LARGEST_FRAME = 1 << 18
"""Bytes. libpcap writes no larger ones; who claims to hold more would have us read the rest of the file as one frame."""

_MOST_INTERFACES = 4096
_NANOSECONDS = 10**9
# The first four bytes of a pcap: byte order, and how many nanoseconds a fraction is.
_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_INTERFACE_BLOCK, _PACKET_BLOCK, _SIMPLE_BLOCK, _ENHANCED_BLOCK = 1, 2, 3, 6
_OPTION_TSRESOL = 9
_MICROSECONDS = 10**6

_IPV4 = b"\x08\x00"
_TAGS = frozenset({0x8100, 0x88A8, 0x9100})
_MOST_TAGS = 4


class Link(IntEnum):
    """The link types that are read."""

    ETHERNET = 1
    RAW = 101
    LINUX_COOKED = 113  # `tcpdump -i any`
    IPV4 = 228
    LINUX_COOKED_2 = 276


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `number` counts from 1, as every reader of captures does; `at` is ns since the epoch; `link` any number."""

    number: int
    at: int
    link: int
    data: bytes


def frames(capture: bytes) -> Iterator[Frame]:
    """The frames of a file, in its order. Raises Malformed where the file cannot be read on: after the frames before that."""
    if capture[:4] == _SECTION:
        yield from _Next(capture).frames()
    elif capture[:4] in _PCAP:
        yield from _classic(capture, *_PCAP[capture[:4]])
    else:
        raise Malformed("not-a-capture")


def ipv4(frame: Frame) -> bytes:
    """The IPv4 packet in a frame, VLAN tags taken off. Raises Malformed when there is none."""
    data = frame.data
    match frame.link:
        case Link.ETHERNET:
            at = 12
        case Link.LINUX_COOKED:
            at = 14
        case Link.LINUX_COOKED_2:
            return _checked(data[20:], data[:2])
        case Link.RAW | Link.IPV4:
            return _checked(data, _IPV4)
        case _:
            raise Malformed("link-type")
    for _ in range(_MOST_TAGS):
        if int.from_bytes(data[at : at + 2], "big") not in _TAGS:
            break
        at += 4
    return _checked(data[at + 2 :], data[at : at + 2])


def _checked(packet: bytes, kind: bytes) -> bytes:
    if kind != _IPV4 or not packet or packet[0] >> 4 != 4:
        raise Malformed("not-ipv4")
    return packet


def _classic(capture: bytes, order: str, fraction: int) -> Iterator[Frame]:
    if len(capture) < 24:
        raise Malformed("truncated")
    major, link = struct.unpack_from(f"{order}H14xI", capture, 4)
    if major != 2:
        raise Malformed("version")
    record, at, number = struct.Struct(f"{order}IIII"), 24, 0
    while at < len(capture):
        if at + record.size > len(capture):
            raise Malformed("truncated")
        seconds, part, held, _ = record.unpack_from(capture, at)
        at += record.size
        number += 1
        # The upper bits of the link type are about checksums at the frames' ends.
        yield Frame(number, seconds * _NANOSECONDS + part * fraction, link & 0xFFFF, _part(capture, at, held))
        at += held


def _part(capture: bytes, at: int, size: int) -> bytes:
    if size > LARGEST_FRAME:
        raise Malformed("length")
    if at + size > len(capture):
        raise Malformed("truncated")
    return capture[at : at + size]


@dataclass(frozen=True, slots=True)
class _Interface:
    link: int
    snap: int  # 0: no limit
    per_second: int


class _Next:
    """Reads pcapng: blocks in sections, each with a byte order and interfaces of its own."""

    def __init__(self, capture: bytes) -> None:
        self._capture = capture
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self._number = 0

    def frames(self) -> Iterator[Frame]:
        at = 0
        while at < len(self._capture):
            kind, body, at = self._block(at)
            if kind == _INTERFACE_BLOCK:
                self._add_interface(body)
            elif kind == _ENHANCED_BLOCK:
                yield self._packet(body, "I")
            elif kind == _PACKET_BLOCK:  # obsolete; its interface is a shorter number
                yield self._packet(body, "Hxx")
            elif kind == _SIMPLE_BLOCK:
                yield self._simple(body)

    def _block(self, at: int) -> tuple[int, bytes, int]:
        """A block's type and body, and where the next one begins."""
        head = self._capture[at : at + 12]
        if len(head) < 12:
            raise Malformed("truncated")
        if head[:4] == _SECTION:
            if head[8:] not in _ORDERS:
                raise Malformed("byte-order")
            self._order, self._interfaces = _ORDERS[head[8:]], []
        kind, size = struct.unpack_from(f"{self._order}II", head)
        if size % 4 or size < 12:
            raise Malformed("block-length")
        if at + size > len(self._capture):
            raise Malformed("truncated")
        return kind, self._capture[at + 8 : at + size - 4], at + size

    def _add_interface(self, body: bytes) -> None:
        if len(body) < 8 or len(self._interfaces) >= _MOST_INTERFACES:
            raise Malformed("interface")
        link, snap = struct.unpack_from(f"{self._order}HxxI", body)
        self._interfaces.append(_Interface(link, snap, self._resolution(body)))

    def _resolution(self, body: bytes) -> int:
        """How many units of time a second has: option 9, a power of ten, or of two if its top bit is set."""
        at = 8
        while at + 4 <= len(body):
            code, size = struct.unpack_from(f"{self._order}HH", body, at)
            if code == _OPTION_TSRESOL and size == 1 and at + 5 <= len(body):
                told = body[at + 4]
                return 1 << (told & 0x7F) if told & 0x80 else int(10 ** min(told, 30))
            if code == 0:
                break
            at += 4 + (size + 3) // 4 * 4
        return _MICROSECONDS

    def _packet(self, body: bytes, index_as: str) -> Frame:
        if len(body) < 20:
            raise Malformed("truncated")
        index, high, low, held, _ = struct.unpack_from(f"{self._order}{index_as}IIII", body)
        interface = self._interface(index)
        at = (high << 32 | low) * _NANOSECONDS // interface.per_second
        return self._frame(at, interface, _part(body, 20, held))

    def _simple(self, body: bytes) -> Frame:
        """A frame without a time, of the first interface."""
        if len(body) < 4:
            raise Malformed("truncated")
        (size,) = struct.unpack_from(f"{self._order}I", body)
        interface = self._interface(0)
        held = min(size, interface.snap) if interface.snap else size
        return self._frame(0, interface, _part(body, 4, held))

    def _interface(self, index: int) -> _Interface:
        if index >= len(self._interfaces):
            raise Malformed("interface")
        return self._interfaces[index]

    def _frame(self, at: int, interface: _Interface, data: bytes) -> Frame:
        self._number += 1
        return Frame(self._number, at, interface.link, data)
