"""DNS over TCP (RFC 7766): many queries on a connection, answered as they come; none may hold up or fill up the server."""

import contextlib
import errno
import select
import socket
from collections import Counter
from collections.abc import Callable

from mayu_py.services.dns_loop import Counts, Loop
from mayu_py.services.dns_names import Names, Outcome

MOST_CONNECTIONS = 256
MOST_PER_CLIENT = 32
# A connection on which no query is completed, and no answer taken, is closed.
IDLE_SECONDS = 10.0
LONGEST_QUERY = 1232
# What one connection may make us hold: answers that it does not take, and questions for others that are on their way.
MOST_UNSENT = 64 << 10
MOST_WAITING = 64
_ACCEPTS_PER_WAKE = 16
_READ = 8192


class TcpFront:
    """All connections of one listening socket."""

    def __init__(self, listener: socket.socket, names: Names, loop: Loop, count: Counts) -> None:
        self._listener = listener
        self._names = names
        self._loop = loop
        self._count = count
        self._connections: set[_Connection] = set()
        self._clients: Counter[str] = Counter()
        self._listen()

    def close(self) -> None:
        """Close every connection; the listener stays open for a successor."""
        for connection in list(self._connections):
            connection.close()
        if self._is_listening:
            self._loop.forget(self._listener.fileno())

    def _listen(self) -> None:
        self._is_listening = True
        self._loop.watch(self._listener.fileno(), self._on_accept)

    def _on_accept(self, events: int) -> None:
        for _ in range(_ACCEPTS_PER_WAKE):
            try:
                sock, (client, *_) = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._count("dns.tcp", "accept")
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause()
                    return
                continue
            self._admit(sock, client)

    def _pause(self) -> None:
        """No more descriptors: the listener would stay ready, and the loop spin."""
        self._is_listening = False
        self._loop.forget(self._listener.fileno())
        self._loop.later(0.2, self._listen)

    def _admit(self, sock: socket.socket, client: str) -> None:
        sock.setblocking(False)
        if not self._names.allowed(client):
            reason = "stranger"
        elif len(self._connections) >= MOST_CONNECTIONS:
            reason = "full"
        elif self._clients[client] >= MOST_PER_CLIENT:
            reason = "client-full"
        else:
            self._clients[client] += 1
            self._connections.add(_Connection(sock, client, self._names, self._loop, self._count, self._gone))
            return
        self._count("dns.tcp", reason)
        sock.close()

    def _gone(self, connection: "_Connection") -> None:
        self._connections.discard(connection)
        self._clients[connection.client] -= 1
        if not self._clients[connection.client]:
            del self._clients[connection.client]


class _Connection:
    """One client's connection: bytes in, queries to `Names`, answers out in whatever order they come."""

    def __init__(
        self, sock: socket.socket, client: str, names: Names, loop: Loop, count: Counts, gone: Callable[["_Connection"], None]
    ) -> None:
        self.client = client
        self._sock = sock
        self._names = names
        self._loop = loop
        self._count = count
        self._gone = gone
        self._received = bytearray()
        self._unsent = bytearray()
        self._waiting = 0
        self._ended = False
        self._closed = False
        self._working = False
        self._events = select.EPOLLIN
        self._deadline = loop.now + IDLE_SECONDS
        loop.watch(sock.fileno(), self._on_ready)
        loop.later(IDLE_SECONDS, self._on_deadline)

    def close(self) -> None:
        """Close it; answers that are still to come go nowhere."""
        if not self._closed:
            self._closed = True
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._gone(self)

    def _on_deadline(self) -> None:
        if self._closed:
            return
        left = self._deadline - self._loop.now
        if left <= 0:
            self._count("dns.tcp", "idle")
            self.close()
        else:
            self._loop.later(left, self._on_deadline)

    def _on_ready(self, events: int) -> None:
        if events & (select.EPOLLHUP | select.EPOLLERR):
            self.close()
            return
        try:
            if events & select.EPOLLIN:
                received = self._sock.recv(_READ)
                self._received += received
                self._ended = not received
            self._flush()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._work()

    def _work(self) -> None:
        """Answer the whole queries that there are, as far as the client takes answers; then wait for what can go on."""
        self._names.refresh(self._loop.now)
        self._working = True
        try:
            while not self._is_full() and (query := self._next()) is not None:
                self._deadline = self._loop.now + IDLE_SECONDS
                self._waiting += 1
                if self._names.answer(query, self.client, self._answered, tcp=True) is Outcome.DROPPED:
                    self.close()
                if self._is_full():
                    self._flush()
        except OSError:
            self.close()
        finally:
            self._working = False
        self._settle()

    def _is_full(self) -> bool:
        return len(self._unsent) >= MOST_UNSENT or self._waiting >= MOST_WAITING

    def _next(self) -> bytes | None:
        """The next whole query. One that is no length a query can have ends the connection: nothing after it can be read."""
        if self._closed or len(self._received) < 2:
            return None
        length = int.from_bytes(self._received[:2], "big")
        if not 12 <= length <= LONGEST_QUERY:
            self._count("dns.tcp", "length")
            self.close()
            return None
        if len(self._received) < 2 + length:
            return None
        query = bytes(self._received[2 : 2 + length])
        del self._received[: 2 + length]
        return query

    def _answered(self, message: bytes) -> None:
        self._waiting -= 1
        if not self._closed:
            self._unsent += len(message).to_bytes(2, "big") + message
            if not self._working:
                self._work()

    def _flush(self) -> None:
        """Send what the client takes. Raises OSError."""
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                sent = self._sock.send(self._unsent)
                del self._unsent[:sent]
                self._deadline = self._loop.now + IDLE_SECONDS

    def _settle(self) -> None:
        """After something has happened: send, close, or wait for what can go on."""
        if self._closed:
            return
        try:
            self._flush()
        except OSError:
            self.close()
            return
        if self._ended and not self._unsent and not self._waiting:
            self.close()
            return
        wanted = select.EPOLLOUT if self._unsent else 0
        if not self._ended and not self._is_full():
            wanted |= select.EPOLLIN
        if wanted != self._events:
            self._events = wanted
            self._loop.change(self._sock.fileno(), wanted)
