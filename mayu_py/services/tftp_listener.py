"""The socket that TFTP requests arrive at: how it is bound, and which of our addresses a request was sent to."""

import socket
import struct
from typing import Final

from mayu_py.services.datagrams import prepare

IP_PKTINFO: Final = 8  # linux/in.h; the socket module of Python 3.11 does not name it
_PKTINFO: Final = struct.Struct("@I4s4s")  # in_pktinfo of ip(7): interface, local address, destination
_UNKNOWN: Final = b"\0\0\0\0"


class Dropped(Exception):
    """Raised when a request gets no answer. `reason` is a counter's slug."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def listen(address: str, port: int) -> socket.socket:
    """A socket for `TftpServer`, bound and ready to queue requests while nobody serves. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made_ready(listener)
        listener.bind((address, port))
    except OSError:
        listener.close()
        raise
    return listener


def made_ready(listener: socket.socket) -> None:
    """Have the kernel tell what a server wants to know of each datagram. Raises OSError."""
    # Says which of our addresses a request was sent to. The kernel notes it as a datagram arrives, so what was queued
    # before this option was set is answered from the address that routing picks.
    listener.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    prepare(listener)
    listener.setblocking(False)


def destination(ancillary: list[tuple[int, int, bytes]]) -> str:
    """Our address that a request was sent to, or "" if unknown. A broadcast gets no answer (RFC 1123, 4.2.3.2)."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            _, local, meant = _PKTINFO.unpack_from(data)
            if local not in (_UNKNOWN, meant):
                raise Dropped("broadcast")
            return "" if local == _UNKNOWN else socket.inet_ntoa(local)
    return ""
