"""UDP in IPv4 without the kernel's help: what a packet socket sends and receives (RFC 791, RFC 768)."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.wire import Malformed

_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_PROTOCOL = 17
_TTL = 64
_FRAGMENT = 0x3FFF  # more fragments, and the fragment's offset


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram with its addresses."""

    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    payload: bytes


def parse(packet: bytes) -> Datagram:
    """Read an IPv4 packet. Raises Malformed for a fragment, and for what holds no UDP. Checksums are the hardware's affair."""
    if len(packet) < _IP.size:
        raise Malformed("ip-truncated")
    version, _, total, _, fragment, _, protocol, _, source, destination = _IP.unpack_from(packet)
    start = (version & 15) * 4
    if version >> 4 != 4 or start < _IP.size or not start + _UDP.size <= total <= len(packet):
        raise Malformed("ip-header")
    if protocol != _PROTOCOL or fragment & _FRAGMENT:
        raise Malformed("not-udp")
    source_port, destination_port, length, _ = _UDP.unpack_from(packet, start)
    if not _UDP.size <= length <= total - start:
        raise Malformed("udp-length")
    payload = packet[start + _UDP.size : start + length]
    return Datagram(IPv4Address(source), source_port, IPv4Address(destination), destination_port, payload)


def build(datagram: Datagram) -> bytes:
    """Write the IPv4 packet, with both checksums."""
    length = _UDP.size + len(datagram.payload)
    ends = datagram.source.packed + datagram.destination.packed
    ports = (datagram.source_port, datagram.destination_port)
    udp = _UDP.pack(*ports, length, 0) + datagram.payload
    # A sum of zero is sent as all ones: zero says that there is none (RFC 768).
    check = checksum(ends + struct.pack("!BBH", 0, _PROTOCOL, length) + udp) or 0xFFFF
    udp = _UDP.pack(*ports, length, check) + datagram.payload
    fields = (0x45, 0, _IP.size + length, 0, 0, _TTL, _PROTOCOL)
    header = _IP.pack(*fields, 0, datagram.source.packed, datagram.destination.packed)
    return _IP.pack(*fields, checksum(header), datagram.source.packed, datagram.destination.packed) + udp


def checksum(data: bytes) -> int:
    """The Internet checksum, 16 bits (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
