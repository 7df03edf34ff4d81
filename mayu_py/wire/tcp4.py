"""TCP in IPv4, as far as a reader of captures needs it: one segment at a time (RFC 9293, section 3.1)."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.wire import Malformed

_IP = struct.Struct("!BxHxxHxBxx4s4s")
_TCP = struct.Struct("!HHIxxxxBB6x")
_PROTOCOL = 6
_FRAGMENT = 0x3FFF
_SYN = 2


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. `sequence` is the number of the payload's first byte, modulo 2**32; `opens`: it has the SYN flag."""

    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    sequence: int
    opens: bool
    payload: bytes


def parse(packet: bytes) -> Segment:
    """Read an IPv4 packet. Raises Malformed for a fragment, and for what holds no TCP."""
    if len(packet) < _IP.size:
        raise Malformed("ip-truncated")
    version, total, fragment, protocol, source, destination = _IP.unpack_from(packet)
    start = (version & 15) * 4
    if version >> 4 != 4 or start < _IP.size or not start + _TCP.size <= total <= len(packet):
        raise Malformed("ip-header")
    if protocol != _PROTOCOL or fragment & _FRAGMENT:
        raise Malformed("not-tcp")
    source_port, destination_port, sequence, offset, flags = _TCP.unpack_from(packet, start)
    payload_at = start + (offset >> 4) * 4
    if not start + _TCP.size <= payload_at <= total:
        raise Malformed("tcp-header")
    opens = bool(flags & _SYN)
    first = (sequence + opens) % 2**32
    ends = (IPv4Address(source), source_port, IPv4Address(destination), destination_port)
    return Segment(*ends, first, opens, packet[payload_at:total])
