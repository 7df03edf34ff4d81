"""ARP for IPv4 over Ethernet: bytes to values and back (RFC 826), and the probe of RFC 5227."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address

from mayu_py.wire import Malformed

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET_IPV4 = (1, 0x0800, 6, 4)
ZERO = IPv4Address(0)


class Operation(IntEnum):
    """What an ARP packet does."""

    REQUEST = 1
    REPLY = 2


@dataclass(frozen=True, slots=True)
class Packet:
    """One ARP packet. `sender` and `target` are hardware addresses, 6 bytes each."""

    operation: Operation
    sender: bytes
    sender_address: IPv4Address
    target: bytes
    target_address: IPv4Address

    @property
    def is_probe(self) -> bool:
        """Whether somebody asks for an address that it would like to have (RFC 5227, section 2.1.1)."""
        return self.operation is Operation.REQUEST and self.sender_address == ZERO


def probe(hardware: bytes, address: IPv4Address) -> Packet:
    """Asks who has `address` without claiming any: caches of those who hear it stay as they are."""
    return Packet(Operation.REQUEST, hardware, ZERO, bytes(6), address)


def parse(data: bytes) -> Packet:
    """Read one packet; what pads the frame is left. Raises Malformed."""
    if len(data) < _ARP.size:
        raise Malformed("arp-truncated")
    *kind, operation, sender, sender_address, target, target_address = _ARP.unpack_from(data)
    if tuple(kind) != _ETHERNET_IPV4 or operation not in (1, 2):
        raise Malformed("not-arp")
    return Packet(Operation(operation), sender, IPv4Address(sender_address), target, IPv4Address(target_address))


def build(packet: Packet) -> bytes:
    """Write one packet, 28 bytes."""
    addresses = (packet.sender, packet.sender_address.packed, packet.target, packet.target_address.packed)
    return _ARP.pack(*_ETHERNET_IPV4, packet.operation, *addresses)
