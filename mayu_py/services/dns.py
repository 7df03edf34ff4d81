"""DNS over UDP, and the worker that serves it beside TCP and the forwarders: socket -> `Names` -> socket.

An answer from our own zones is kept by the bytes that asked for it, but for their number, when they ask for the second time:
a question that is asked again, as nearly all are, costs a look-up, and names that somebody makes up push nothing out.
"""

import logging
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial

from mayu_py.core.faces import Dns
from mayu_py.services.datagrams import Overflows, prepare, told_by_kernel
from mayu_py.services.desk import Desk
from mayu_py.services.dns_forward import Forwarders
from mayu_py.services.dns_loop import Counts, Loop
from mayu_py.services.dns_names import Names, Outcome
from mayu_py.services.dns_tcp import TcpFront
from mayu_py.wire.dns import Rcode

log = logging.getLogger(__name__)

BATCH = 64
# A question, an OPT with cookies and padding: nobody needs more.
LARGEST_QUERY = 1232
# Who asked has asked again by then, or somebody else.
STALE_SECONDS = 5.0
READY_LIMIT = 16 << 20
_READY_OVERHEAD = 200
# Questions that were asked once, by their hashes.
MOST_ONCE = 8192
# From linux/in.h: never cut up a datagram, and take nobody's word for how large one may be (RFC 9715, appendix A).
_IP_MTU_DISCOVER = 10
_IP_PMTUDISC_PROBE = 3


def listen_udp(address: str, port: int) -> socket.socket:
    """A bound socket that queues queries while nobody serves. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        prepare(sock)
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def listen_tcp(address: str, port: int) -> socket.socket:
    """A listening socket that queues connections while nobody serves. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock


class DnsServer:
    """Serves two sockets until told to stop; they stay open for a successor."""

    def __init__(self, udp: socket.socket, tcp: socket.socket, settings: Dns, desk: Desk) -> None:
        self._udp = udp
        self._tcp = tcp
        self._settings = settings
        self._desk = desk
        self._counts: Counter[tuple[str, str]] = Counter()

    def serve(self, stop_fd: int, ready: Callable[[], None] = lambda: None) -> None:
        """Loop until `stop_fd` is readable; `ready` is called once the names are there."""
        loop = Loop(self._count)
        forwarders = Forwarders(self._settings.forwarders, loop, self._count) if self._settings.forwarders else None
        names = Names(self._settings, self._desk.settings, self._desk.snapshot, forwarders, self._count)
        names.refresh(loop.now)
        udp = UdpFront(self._udp, names, loop, self._count)
        tcp = TcpFront(self._tcp, names, loop, self._count)
        ready()
        try:
            loop.run(stop_fd, partial(self._tell, udp))
        finally:
            tcp.close()
            if forwarders is not None:
                forwarders.close()
            loop.close()

    def _count(self, name: str, reason: str, n: int = 1) -> None:
        self._counts[name, reason] += n

    def _tell(self, udp: "UdpFront") -> None:
        """Hand over what was counted: not with each datagram, for the desk has a lock."""
        udp.tell()
        if self._counts:
            for (name, reason), number in self._counts.items():
                self._desk.count(name, reason, number)
            self._counts.clear()


class UdpFront:
    """The datagrams. Every one is answered, or counted with the reason it is not."""

    def __init__(self, sock: socket.socket, names: Names, loop: Loop, count: Counts) -> None:
        self._sock = sock
        self._names = names
        self._loop = loop
        self._count = count
        self._overflows = Overflows()
        self._ready: dict[bytes, bytes] = {}
        self._ready_weight = 0
        self._once: set[int] = set()
        self._generation = -1
        self._repeated = [0] * 16
        loop.watch(sock.fileno(), self._on_datagrams)

    def tell(self) -> None:
        """Count what the short way has answered."""
        for rcode, number in enumerate(self._repeated):
            if number:
                self._count("dns.sent", Rcode(rcode).name.lower(), number)
                self._repeated[rcode] = 0

    def _on_datagrams(self, events: int) -> None:
        """Answer what waits in the socket, at most `BATCH` datagrams."""
        self._names.refresh(self._loop.now)
        if self._generation != self._names.generation:
            self._forget()
        ready, allowed, repeated = self._ready, self._names.allowed, self._repeated
        is_fresh = False
        for _ in range(BATCH):
            try:
                # What came after a fresh one is fresh, and the kernel's count of losses is a sum: one look at both will do.
                message, peer = self._sock.recvfrom(LARGEST_QUERY + 1) if is_fresh else self._take_with_age()
            except BlockingIOError:
                return
            except OSError as error:  # An ICMP error of an earlier answer, say; the socket stays good.
                self._count("dns.drop", "receive")
                log.warning("receive: %s", error)
                continue
            if not peer:
                continue
            is_fresh = True
            question = message[2:]
            answer = ready.get(question)
            if answer is not None and allowed(peer[0]):
                repeated[answer[1] & 15] += 1
                self._send(peer, message[:2] + answer)
            else:
                self._answer(message, question, peer)

    def _take_with_age(self) -> tuple[bytes, tuple[str, int] | None]:
        """A datagram and who sent it; nobody, if it is too old. Raises OSError."""
        message, ancillary, _, peer = self._sock.recvmsg(LARGEST_QUERY + 1, 128)
        age, overflows = told_by_kernel(ancillary)
        if lost := self._overflows.new(overflows):
            self._count("dns.drop", "queue-full", lost)
        if age > STALE_SECONDS:
            self._count("dns.drop", "stale")
            return message, None
        return message, peer

    def _answer(self, message: bytes, question: bytes, peer: tuple[str, int]) -> None:
        """The long way, and what it has found for the short one."""
        if len(message) > LARGEST_QUERY:
            self._count("dns.drop", "oversize")
            return
        sent: list[bytes] = []

        def send(answer: bytes) -> None:
            sent.append(answer)
            self._send(peer, answer)

        try:
            outcome = self._names.answer(message, peer[0], send, tcp=False)
        except Exception:  # The guard for a datagram: the next ones in the batch are served.
            self._count("dns.drop", "internal")
            log.exception("dns: datagram %s", message.hex())
            return
        if outcome is Outcome.LASTING:
            self._remember(question, sent[0][2:])

    def _remember(self, question: bytes, answer: bytes) -> None:
        mark = hash(question)
        if mark not in self._once:
            if len(self._once) >= MOST_ONCE:
                self._once.clear()
            self._once.add(mark)
            return
        if self._ready_weight > READY_LIMIT:
            self._forget()
        self._ready[question] = answer
        self._ready_weight += len(question) + len(answer) + _READY_OVERHEAD

    def _forget(self) -> None:
        self._ready.clear()
        self._once.clear()
        self._ready_weight = 0
        self._generation = self._names.generation

    def _send(self, peer: tuple[str, int], answer: bytes) -> None:
        try:
            self._sock.sendto(answer, peer)
        except OSError as error:  # A full buffer, an unreachable network, port 0.
            self._count("dns.drop", "send")
            log.debug("send to %s:%d: %s", *peer, error)
