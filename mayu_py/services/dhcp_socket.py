"""The DHCP server's socket: bound to one interface, with the kernel's stamps and counts on every datagram."""

import socket
import struct
import sys
import time

from mayu_py.core.settings import Network
from mayu_py.wire import dhcp4

RECEIVE_BUFFER = 4 << 20
# From asm-generic/socket.h; Python's socket module does not name them.
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_SO_RXQ_OVFL = 40
_TIMESPEC = struct.Struct("@qq")


def listen(network: Network) -> socket.socket:
    """The server's socket: UDP 67 on the boot interface only. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    prepare(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, network.interface.encode())
    sock.bind(("", dhcp4.SERVER_PORT))
    return sock


def prepare(sock: socket.socket) -> None:
    """Have the kernel stamp every datagram, count those it drops, and hold many: a rack that powers on fills 208 KiB."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:  # Without CAP_NET_ADMIN it is as much as net.core.rmem_max allows.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def told_by_kernel(ancillary: list[tuple[int, int, bytes]]) -> tuple[float, int]:
    """Seconds since the kernel took the datagram in, and how many it has dropped so far because the queue was full."""
    age, overflows = 0.0, 0
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            taken_in: tuple[int, int] = _TIMESPEC.unpack_from(data)
            age = time.time() - (taken_in[0] + taken_in[1] / 1e9)
        elif level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
            overflows = int.from_bytes(data[:4], sys.byteorder)
    return age, overflows
