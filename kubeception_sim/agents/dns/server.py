"""The sockets of cluster DNS: UDP in one blocking loop, each TCP connection and each name of others in a thread of a pool.

An answer from the zone is kept by the bytes that asked for it, but for their number, until the zone changes: a question that is
asked again costs a look-up.
"""

import logging
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from kubeception_sim.agents.dns import message
from kubeception_sim.agents.dns.message import TCP_PAYLOAD, Faulty, Ignored, Query, Rcode
from kubeception_sim.agents.dns.upstream import Upstream
from kubeception_sim.agents.dns.zone import Zone

_log = logging.getLogger(__name__)

LARGEST_QUERY = 4096
MOST_KEPT = 20_000
CONNECTIONS = 32
FORWARDED = 16
MOST_WAITING = 256
IDLE_SECONDS = 10.0
RECEIVE_BUFFER = 1 << 20
_LENGTH = struct.Struct("!H")
Send = Callable[[bytes], object]


class Server:
    """Cluster DNS on a UDP and a TCP socket, which it owns. `zone` may be exchanged at any time; without one, SERVFAIL."""

    def __init__(self, udp: socket.socket, tcp: socket.socket, upstream: Upstream) -> None:
        self._udp, self._tcp, self._upstream = udp, tcp, upstream
        self._zone: Zone | None = None
        self._kept: dict[bytes, bytes] = {}
        self._turn = 0
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._connections = ThreadPoolExecutor(CONNECTIONS, "tcp")
        self._forwarded = ThreadPoolExecutor(FORWARDED, "upstream")
        self._stopping = False
        self.counts: Counter[str] = Counter()

    @property
    def zone(self) -> Zone | None:
        """What is served."""
        return self._zone

    @zone.setter
    def zone(self, zone: Zone) -> None:
        # In this order: who looks into the new, empty dict answers from the new zone.
        self._zone = zone
        self._kept = {}

    def serve(self) -> None:
        """Answer until `stop` is called from another thread."""
        acceptor = threading.Thread(target=self._accept, name="accept")
        acceptor.start()
        try:
            self._datagrams()
        finally:
            acceptor.join()
            self._connections.shutdown(cancel_futures=True)
            self._forwarded.shutdown(cancel_futures=True)
            self._udp.close()
            self._tcp.close()

    def stop(self) -> None:
        """Make `serve` return."""
        self._stopping = True
        # Wakes accept; it says that the socket was never connected, which is so.
        with suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        with socket.socket(self._udp.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._udp.getsockname())

    def _datagrams(self) -> None:
        receive, send = self._udp.recvfrom, self._udp.sendto
        while not self._stopping:
            try:
                query, peer = receive(LARGEST_QUERY)
                if (kept := self._kept.get(query[2:])) is not None:
                    self.counts["repeated"] += 1
                    send(query[:2] + kept, peer)
                else:
                    self._one(query, partial(self._send, peer), tcp=False)
            except OSError as error:  # An ICMP error of an earlier answer, a full buffer: the socket stays good.
                self.counts["socket errors"] += 1
                _log.debug("datagram: %s", error)

    def _send(self, peer: Any, reply: bytes) -> None:
        self._udp.sendto(reply, peer)

    def _one(self, query: bytes, send: Send, *, tcp: bool) -> None:
        """One message. Nothing that a stranger sends may end the loop."""
        try:
            self._answer(message.parse(query), query, send, tcp=tcp)
        except Ignored:
            self.counts["ignored"] += 1
        except Faulty as fault:
            self.counts[fault.rcode.name] += 1
            send(fault.reply)
        except OSError:
            raise
        except Exception:  # noqa: BLE001  The guard for a message: the next ones are served.
            self.counts["internal errors"] += 1
            _log.exception("message %s", query.hex())

    def _answer(self, query: Query, raw: bytes, send: Send, *, tcp: bool) -> None:
        zone, kept = self._zone, self._kept
        limit = TCP_PAYLOAD if tcp else query.udp_limit
        if zone is None:
            self._reply(send, message.reply(query, Rcode.SERVFAIL, limit=limit))
        elif query.version:
            self._reply(send, message.reply(query, Rcode.BADVERS, limit=limit))
        elif not zone.covers(query.name):
            self._elsewhere(query, send, lambda: self._upstream.ask(query, tcp=tcp))
        elif self._upstream.servers and (name := message.alias(query, zone)):
            self._elsewhere(query, send, lambda: self._upstream.follow(query, zone, name, tcp=tcp))
        else:
            self._turn += 1
            reply = message.answer(query, zone, limit, self._turn)
            # What has several addresses is turned each time.
            if not tcp and len(kept) < MOST_KEPT and reply[6:8] in (b"\0\0", b"\0\1"):
                kept[raw[2:]] = reply[2:]
            self._reply(send, reply)

    def _elsewhere(self, query: Query, send: Send, ask: Callable[[], bytes]) -> None:
        """In the pool: a server of others may take its time, or be silent."""
        if not self._upstream.servers:
            self._reply(send, ask())
        elif not self._waiting.acquire(blocking=False):
            self._reply(send, message.reply(query, Rcode.SERVFAIL))
        else:
            self._forwarded.submit(self._forward, send, ask)

    def _forward(self, send: Send, ask: Callable[[], bytes]) -> None:
        try:
            self._reply(send, ask())
        except OSError as error:
            _log.debug("forwarded: %s", error)
        finally:
            self._waiting.release()

    def _reply(self, send: Send, reply: bytes) -> None:
        # The lower four bits of the flags; the rest of a BADVERS stands in the OPT record.
        self.counts[Rcode(reply[3] & 15).name if reply[3] & 15 <= Rcode.REFUSED else "other"] += 1
        send(reply)

    def _accept(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._tcp.accept()
            except OSError as error:
                if not self._stopping:
                    self.counts["socket errors"] += 1
                    _log.warning("accept: %s", error)
                continue
            self._connections.submit(self._converse, connection)

    def _converse(self, connection: socket.socket) -> None:
        """Queries of one connection (RFC 7766), which is closed when none came for a while."""
        lock = threading.Lock()

        def send(reply: bytes) -> None:
            with lock:
                connection.sendall(_LENGTH.pack(len(reply)) + reply)

        connection.settimeout(IDLE_SECONDS)
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while not self._stopping and len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
                (length,) = _LENGTH.unpack(head)
                if len(query := stream.read(length)) < length:
                    break
                self._one(query, send, tcp=True)


def listen(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Bound sockets for UDP and TCP of one port; 0 lets the kernel choose. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    tcp = socket.socket(family, socket.SOCK_STREAM)
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        udp.bind((address, port))
        tcp.bind((address, udp.getsockname()[1]))
        tcp.listen(128)
    except OSError:
        udp.close()
        tcp.close()
        raise
    return udp, tcp
