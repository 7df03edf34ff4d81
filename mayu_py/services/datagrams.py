"""What the kernel knows of a server's datagrams: how long each has waited, and how many it had to drop."""

import socket
import struct
import sys
import time

RECEIVE_BUFFER = 4 << 20
# From asm-generic/socket.h; Python's socket module does not name them.
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_SO_RXQ_OVFL = 40
_TIMESPEC = struct.Struct("@qq")


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


class Overflows:
    """Turns the kernel's count, which goes on for the life of a socket modulo 2**32, into how many are new."""

    def __init__(self) -> None:
        self._seen: int | None = None

    def new(self, total: int) -> int:
        """How many since the last call. A restarted worker inherits the socket, so it begins where the count stands."""
        seen, self._seen = self._seen, total
        return 0 if seen is None else (total - seen) % 2**32
