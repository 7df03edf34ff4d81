"""Packet sockets (packet(7)): frames as the interface sees them, of which the kernel passes on only what a filter wants."""

import ctypes
import socket
import struct
from collections.abc import Sequence

ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
BROADCAST = b"\xff" * 6

_SO_ATTACH_FILTER = 26
_ARPHRD_ETHER = 1
# One instruction of classic BPF (linux/filter.h): code, jump if true, jump if false, constant.
Instruction = tuple[int, int, int, int]
_LD_B, _LD_H, _LD_W, _LD_H_X, _LDX_IP_HEADER = 0x30, 0x28, 0x20, 0x48, 0xB1
_JEQ, _JSET, _RET = 0x15, 0x45, 0x06
_PACKET_TYPE = 0xFFFFF000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
_PACKET_OUTGOING = 4
_ALL, _NOTHING = (_RET, 0, 0, 0xFFFF), (_RET, 0, 0, 0)

TO_DHCP_CLIENTS: Sequence[Instruction] = (
    (_LD_B, 0, 0, _PACKET_TYPE),
    (_JEQ, 8, 0, _PACKET_OUTGOING),  # what this machine sends itself
    (_LD_B, 0, 0, 9),  # the protocol
    (_JEQ, 0, 6, socket.IPPROTO_UDP),
    (_LD_H, 0, 0, 6),  # fragments have no ports
    (_JSET, 4, 0, 0x1FFF),
    (_LDX_IP_HEADER, 0, 0, 0),
    (_LD_H_X, 0, 0, 2),  # the destination port
    (_JEQ, 0, 1, 68),
    _ALL,
    _NOTHING,
)
"""UDP to port 68 that others send."""

ABOUT_ADDRESSES: Sequence[Instruction] = (
    (_LD_B, 0, 0, _PACKET_TYPE),
    (_JEQ, 5, 0, _PACKET_OUTGOING),
    (_LD_H, 0, 0, 6),  # the operation
    (_JEQ, 2, 0, 2),
    (_LD_W, 0, 0, 14),  # the sender's address: none in a probe
    (_JEQ, 0, 1, 0),
    _ALL,
    _NOTHING,
)
"""ARP replies and probes that others send; not the requests that fill a LAN."""


def listen(interface: str, protocol: int, wanted: Sequence[Instruction]) -> socket.socket:
    """A socket for the packets of `protocol` on one interface, without their Ethernet headers. Raises OSError: CAP_NET_RAW."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in wanted))
        # struct sock_fprog: how many instructions, and where. Attached before the socket hears anything.
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(wanted), ctypes.addressof(program)))
        sock.bind((interface, protocol))
    except OSError:
        sock.close()
        raise
    return sock


def broadcast(sock: socket.socket, interface: str, protocol: int, packet: bytes) -> None:
    """Send a packet to every station on the link. Raises OSError."""
    sock.sendto(packet, (interface, protocol, 0, _ARPHRD_ETHER, BROADCAST))


def hardware_address(sock: socket.socket) -> bytes:
    """The hardware address of the interface that a packet socket is bound to."""
    address = sock.getsockname()[4]
    assert isinstance(address, bytes)
    return address
