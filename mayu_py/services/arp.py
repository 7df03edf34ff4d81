"""Tell the kernel a client's hardware address, so that a reply can be unicast to one that cannot answer ARP yet."""

import fcntl
import socket
import struct
from ipaddress import IPv4Address

_SIOCSARP = 0x8955
_ATF_COM = 0x02
_ARPHRD_ETHER = 1


def teach(sock: socket.socket, address: IPv4Address, hardware: bytes, interface: str) -> None:
    """Add an ARP entry (arp(7), struct arpreq). Raises OSError: CAP_NET_ADMIN is needed."""
    protocol = struct.pack("=HH4s8x", socket.AF_INET, 0, address.packed)
    ether = struct.pack("=H14s", _ARPHRD_ETHER, hardware)
    request = struct.pack("=16s16si16s16s", protocol, ether, _ATF_COM, b"", interface.encode())
    fcntl.ioctl(sock.fileno(), _SIOCSARP, request)
