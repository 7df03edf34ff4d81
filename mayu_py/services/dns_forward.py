"""Asks other name servers and remembers what they said. A question that is on its way already is not asked twice."""

import contextlib
import errno
import logging
import secrets
import select
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mayu_py.core.dns_cache import Bounded
from mayu_py.core.faces import Forwarder
from mayu_py.services.dns_loop import Counts, Loop
from mayu_py.wire import Malformed
from mayu_py.wire.dns import CD, EMPTY, Query, Rcode
from mayu_py.wire.dns_forward import Reply, ask, scan

log = logging.getLogger(__name__)

# Resolvers of most systems wait 5 s; four tries are over before that.
TRY_SECONDS = 1.2
MOST_TRIES = 4
MOST_QUESTIONS = 256
MOST_WAITERS = 64
CACHE_LIMIT = 16 << 20
_DATAGRAMS_PER_WAKE = 8
_LONGEST_DATAGRAM = 4096
_FIRST_PORT = 1024

Done = Callable[[Reply | None], None]
Key = tuple[bytes, bool, bool]


@dataclass
class _Question:
    """A question on its way. Each try has a socket, a port and a number of its own (RFC 5452, section 9)."""

    key: Key
    question: bytes
    waiters: list[Done]
    first: int
    tries: int = 0
    number: int = 0
    sock: socket.socket | None = None
    unsent: bytes = b""
    received: bytearray = field(default_factory=bytearray)
    failure: Reply | None = None


class Forwarders:
    """The servers that are asked for other people's names, the first one first until it does not answer."""

    def __init__(self, servers: Sequence[Forwarder], loop: Loop, count: Counts) -> None:
        self._servers = servers
        self._loop = loop
        self._count = count
        self._cache: Bounded[Key, Reply] = Bounded(CACHE_LIMIT)
        self._questions: dict[Key, _Question] = {}
        self._first = 0
        self._most_tries = min(MOST_TRIES, 2 * len(servers))

    def close(self) -> None:
        """Let go of every socket; who waits gets no answer."""
        for question in self._questions.values():
            self._hang_up(question)
        self._questions.clear()

    def ask(self, query: Query, done: Done) -> None:
        """Call `done` once: with what is remembered, or with what a server says, or with None."""
        key = (query.key, query.edns is not None and query.edns.do, bool(query.flags & CD))
        held = self._cache.get(key, self._loop.now)
        if held is not None:
            reply, age = held
            self._count("dns.forward", "remembered")
            done(reply.aged(int(age)))
            return
        question = self._questions.get(key)
        if question is None and len(self._questions) < MOST_QUESTIONS:
            self._count("dns.forward", "asked")
            question = self._questions[key] = _Question(key, query.key, [done], self._first)
            self._try(question)
        elif question is not None and len(question.waiters) < MOST_WAITERS:
            self._count("dns.forward", "shared")
            question.waiters.append(done)
        else:
            self._count("dns.forward", "full")
            done(None)

    def _try(self, question: _Question) -> None:
        """Ask the next server, or give up."""
        self._hang_up(question)
        if question.tries == self._most_tries:
            self._finish(question, question.failure)
            return
        question.tries += 1
        question.number = secrets.randbelow(1 << 16)
        try:
            sock = _connected(self._server(question), socket.SOCK_DGRAM)
        except OSError as error:
            self._failed(question, error)
            return
        question.sock = sock
        self._loop.watch(sock.fileno(), lambda events: self._on_datagrams(question))
        self._alarm(question)
        try:
            sock.send(self._packet(question))
        except OSError as error:
            self._failed(question, error)

    def _server(self, question: _Question) -> Forwarder:
        return self._servers[(question.first + question.tries - 1) % len(self._servers)]

    def _packet(self, question: _Question) -> bytes:
        _, do, cd = question.key
        return ask(question.number, question.question, do=do, cd=cd)

    def _alarm(self, question: _Question) -> None:
        sock = question.sock

        def late() -> None:
            # Another try has another socket.
            if question.sock is sock and self._is_open(question):
                self._count("dns.forward", "timeout")
                self._pass_over(question)

        self._loop.later(TRY_SECONDS, late)

    def _pass_over(self, question: _Question) -> None:
        """This server is of no use: new questions begin with the next one."""
        if self._first == (question.first + question.tries - 1) % len(self._servers):
            self._first = (self._first + 1) % len(self._servers)
        self._try(question)

    def _failed(self, question: _Question, error: OSError) -> None:
        self._count("dns.forward", "unreachable")
        log.debug("forwarder %s: %s", self._server(question), error)
        # Not at once: many servers may fail, and each failure would be one deeper in the stack.
        self._hang_up(question)
        self._loop.later(0.0, lambda: self._pass_over(question) if self._is_open(question) else None)

    def _is_open(self, question: _Question) -> bool:
        return self._questions.get(question.key) is question

    def _on_datagrams(self, question: _Question) -> None:
        """Take in what came: anybody may send, so only what answers the question ends the wait."""
        sock = question.sock
        for _ in range(_DATAGRAMS_PER_WAKE):
            if sock is None or question.sock is not sock:
                return
            try:
                message = sock.recv(_LONGEST_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:  # Nobody listens there.
                self._failed(question, error)
                return
            try:
                reply = scan(message, question.number, question.question)
            except Malformed as error:
                self._count("dns.forward-drop", error.reason)
                continue
            if reply.truncated:
                self._count("dns.forward", "tcp")
                self._over_tcp(question)
            else:
                self._take(question, reply)

    def _take(self, question: _Question, reply: Reply) -> None:
        if reply.rcode in (Rcode.NOERROR, Rcode.NXDOMAIN):
            self._finish(question, reply)
            return
        self._count("dns.forward", "failure")
        question.failure = Reply(Rcode.SERVFAIL, False, EMPTY, lifetime=reply.lifetime)
        self._try(question)

    def _over_tcp(self, question: _Question) -> None:
        self._hang_up(question)
        packet = self._packet(question)
        question.unsent = len(packet).to_bytes(2, "big") + packet
        question.received = bytearray()
        try:
            question.sock = _connected(self._server(question), socket.SOCK_STREAM)
        except OSError as error:
            self._failed(question, error)
            return
        self._loop.watch(question.sock.fileno(), lambda events: self._on_stream(question), select.EPOLLOUT)
        self._alarm(question)

    def _on_stream(self, question: _Question) -> None:
        sock = question.sock
        if sock is None:
            return
        try:
            if question.unsent:
                question.unsent = question.unsent[sock.send(question.unsent) :]
                if not question.unsent:
                    self._loop.change(sock.fileno(), select.EPOLLIN)
                return
            received = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(question, error)
            return
        if not received:
            self._failed(question, ConnectionResetError(errno.ECONNRESET, "closed before its answer"))
            return
        question.received += received
        self._on_received(question)

    def _on_received(self, question: _Question) -> None:
        length = int.from_bytes(question.received[:2], "big")
        if len(question.received) < 2 + length or len(question.received) < 2:
            return
        try:
            reply = scan(bytes(question.received[2 : 2 + length]), question.number, question.question)
            if reply.truncated:
                raise Malformed("truncated")
        except Malformed as error:
            self._count("dns.forward-drop", error.reason)
            self._try(question)
        else:
            self._take(question, reply)

    def _finish(self, question: _Question, reply: Reply | None) -> None:
        self._hang_up(question)
        del self._questions[question.key]
        if reply is not None and reply.lifetime:
            now, size = self._loop.now, len(question.question) + len(reply.body.data) + 8 * len(reply.ttls)
            self._cache.put(question.key, reply, size, now, now + reply.lifetime)
        for done in question.waiters:
            done(reply)

    def _hang_up(self, question: _Question) -> None:
        if question.sock is not None:
            self._loop.forget(question.sock.fileno())
            question.sock.close()
            question.sock = None


def _connected(server: Forwarder, kind: socket.SocketKind) -> socket.socket:
    """A socket that hears nobody else; a datagram's has a port that cannot be guessed. Raises OSError."""
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        if kind == socket.SOCK_DGRAM:
            _bind_anywhere(sock)
        with contextlib.suppress(BlockingIOError):
            sock.connect((str(server.address), server.port))
    except OSError:
        sock.close()
        raise
    return sock


def _bind_anywhere(sock: socket.socket) -> None:
    for _ in range(8):
        with contextlib.suppress(OSError):  # Taken.
            sock.bind(("", secrets.randbelow(65536 - _FIRST_PORT) + _FIRST_PORT))
            return
    sock.bind(("", 0))
