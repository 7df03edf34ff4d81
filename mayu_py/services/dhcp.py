"""DHCPv4: socket -> dhcp_messages.understand -> core.boot.decide -> dhcp_replies.Replies -> socket."""

import logging
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address

from mayu_py.core.enrolment import Newcomer
from mayu_py.core.exchange import Answer, Conflict, DhcpKind, Enrol, Lease, Nak
from mayu_py.core.networks import Network
from mayu_py.core.snapshot import Snapshot
from mayu_py.services import arp
from mayu_py.services.datagrams import Overflows, prepare, told_by_kernel
from mayu_py.services.desk import Desk
from mayu_py.services.dhcp_admission import Admission
from mayu_py.services.dhcp_memory import Memory, Prepared
from mayu_py.services.dhcp_messages import Packet, relay_port, understand
from mayu_py.services.dhcp_replies import Replies
from mayu_py.services.dhcp_rogue import RogueWatch
from mayu_py.wire import Malformed, dhcp4, dhcp4_fit
from mayu_py.wire.dhcp4 import Message, Option

log = logging.getLogger(__name__)

# What one wake of the loop takes in: enough for one commit to serve many, few enough that the first does not wait long.
BATCH = 64
# A client has asked again by then (RFC 2131, section 4.1: after 4 s), and an old answer only confuses it.
STALE_SECONDS = 4.0
BINL_PORT = dhcp4.BINL_PORT


def listen(interface: str, port: int = dhcp4.SERVER_PORT) -> socket.socket:
    """The server's socket: UDP 67, or 4011, on one interface only. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    prepare(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    sock.bind(("", port))
    return sock


@dataclass(frozen=True, slots=True)
class Sockets:
    """What a network's server listens to.

    `server` is UDP 67. `binl` is UDP 4011, for ProxyDHCP; `rogues` hears other servers; `probes` asks who has an address.
    """

    server: socket.socket
    binl: socket.socket | None = None
    rogues: socket.socket | None = None
    probes: socket.socket | None = None


class DhcpServer:
    """Serves one network, and the relays that reach it, until told to stop.

    Every datagram is answered or counted with the reason it is not.
    """

    def __init__(self, sockets: Sockets, network: Network, desk: Desk) -> None:
        self._sockets = sockets
        self._desk = desk
        self._overflows = {sock: Overflows() for sock in (sockets.server, sockets.binl) if sock is not None}
        self._interface = network.interface or ""
        self._replies = Replies(desk.settings)
        self._memory = Memory()
        self._admission = Admission(network, desk, self._answer_enrolled, sockets.probes)
        self._watch = RogueWatch(sockets.rogues, network, desk) if sockets.rogues is not None else None

    def serve(self, stop_fd: int) -> None:
        """Loop until `stop_fd` is readable."""
        with selectors.DefaultSelector() as selector:
            for sock, react in self._reactions():
                selector.register(sock, selectors.EVENT_READ, react)
            selector.register(stop_fd, selectors.EVENT_READ)
            while True:
                ready = selector.select(self._admission.wait())
                if any(key.fd == stop_fd for key, _ in ready):
                    return
                for key, _ in ready:
                    self._guarded(key.data)
                self._guarded(self._admission.settle)

    def _reactions(self) -> list[tuple[socket.socket, Callable[[], None]]]:
        sockets = (sock for sock in (self._sockets.server, self._sockets.binl) if sock is not None)
        reactions: list[tuple[socket.socket, Callable[[], None]]] = [(sock, partial(self.drain, sock)) for sock in sockets]
        if self._watch is not None:
            reactions.append((self._watch.socket, self._watch.hear))
        if self._admission.socket is not None:
            reactions.append((self._admission.socket, self._admission.hear))
        return reactions

    def _guarded(self, react: Callable[[], None]) -> None:
        """The one guard: whatever a packet may do, the next one is served."""
        try:
            react()
        except Exception:
            self._desk.count("dhcp.drop", "internal")
            log.exception("in %s", react)

    def drain(self, sock: socket.socket) -> None:
        """Answer what waits in a socket, at most `BATCH` datagrams."""
        unknown: list[tuple[Packet, Newcomer]] = []
        snapshot = self._desk.snapshot()
        for _ in range(BATCH):
            try:
                datagram, ancillary, _, sender = sock.recvmsg(2048, 128)
            except BlockingIOError:
                break
            except OSError as error:  # An ICMP error of an earlier reply, say; the socket stays good.
                self._desk.count("dhcp.drop", "receive")
                log.warning("receive: %s", error)
                continue
            try:
                if not self._is_fit(sock, ancillary) or self._answer_again(sock, datagram, snapshot):
                    continue
                packet = self._read(sock, datagram, sender)
                if packet is not None and (newcomer := self._answer(packet, snapshot, datagram)):
                    unknown.append((packet, newcomer))
                if packet is not None and packet.request.kind is DhcpKind.DECLINE:
                    snapshot = self._desk.snapshot()  # Its host may have another address now.
            except Exception:
                # The same guard, for each datagram of a batch.
                self._desk.count("dhcp.drop", "internal")
                log.exception("datagram %s", datagram.hex())
        if unknown:
            self._admission.admit(unknown)

    def _is_fit(self, sock: socket.socket, ancillary: list[tuple[int, int, bytes]]) -> bool:
        """Whether a datagram is worth an answer, by what the kernel tells with it."""
        age, overflows = told_by_kernel(ancillary)
        if lost := self._overflows[sock].new(overflows):
            self._desk.count("dhcp.drop", "queue-full", lost)
        if age > STALE_SECONDS:
            self._desk.count("dhcp.drop", "stale")
            return False
        return True

    def _answer_again(self, sock: socket.socket, datagram: bytes, snapshot: Snapshot) -> bool:
        """Answer what was asked before, if it was; a person who debugs wants to read every decision."""
        if sock is not self._sockets.server or not self._admission.is_idle or log.isEnabledFor(logging.DEBUG):
            return False
        prepared = self._memory.find(datagram, snapshot)
        if prepared is None:
            return False
        self._desk.note(prepared.answer)
        self._send(sock, datagram[4:8], prepared)
        return True

    def _read(self, sock: socket.socket, datagram: bytes, sender: tuple[str, int]) -> Packet | None:
        try:
            message = dhcp4.parse(datagram)
            if sock is self._sockets.binl:
                return Packet(message, understand(message, self._interface, binl=True), sender)
            return Packet(message, understand(message, self._interface), relay_port=relay_port(message, sender[1]))
        except Malformed as error:
            self._desk.count("dhcp.drop", error.reason)
            return None

    def _answer(self, packet: Packet, snapshot: Snapshot, datagram: bytes | None = None) -> Newcomer | None:
        """Answer a packet; an unknown machine is returned instead, to be enrolled first. What `datagram` gets is remembered."""
        if self._admission.holds(packet):
            self._desk.count("dhcp.unanswered", "probing")
            return None
        message, override = packet.message, packet.request.override
        sock, xid = self._socket(packet), message.xid.to_bytes(4, "big")
        answer = self._desk.answer(packet.request, snapshot)
        match answer.reply:
            case Lease() as lease:
                also = (("dhcp.no-boot-file", "architecture"),) if lease.netboot and lease.boot_file is None else ()
                prepared = self._prepared(packet, answer, self._replies.lease(message, lease, override), lease.yiaddr, also)
                # The same question from another port of a relay has another answer.
                if datagram is not None and sock is self._sockets.server and packet.relay_port is None:
                    self._memory.keep(datagram, snapshot, prepared)
                self._send(sock, xid, prepared)
            case Nak(network, why):
                nak = self._replies.nak(message, network, why, override)
                self._send(sock, xid, self._prepared(packet, answer, nak, None))
            case Enrol(identity, network):
                return Newcomer(identity, network)
            case Conflict() as conflict:
                self._admission.declined(conflict, message.chaddr)
            case _:
                self._desk.count("dhcp.unanswered", packet.request.kind.name.lower())
        return None

    def _answer_enrolled(self, packet: Packet) -> None:
        if self._answer(packet, self._desk.snapshot()):
            self._desk.count("dhcp.drop", "not-enrolled")

    def _socket(self, packet: Packet) -> socket.socket:
        return self._sockets.binl if packet.sender and self._sockets.binl else self._sockets.server

    def _prepared(
        self,
        packet: Packet,
        answer: Answer,
        reply: Message,
        yiaddr: IPv4Address | None,
        also: tuple[tuple[str, str], ...] = (),
    ) -> Prepared:
        address, port = packet.destination(reply.type, yiaddr or dhcp4.ZERO)
        asked = packet.message
        # The client there cannot answer ARP yet.
        is_new = address == yiaddr and asked.giaddr == asked.ciaddr == dhcp4.ZERO and not packet.sender_has_address
        datagram, left_out = dhcp4_fit.build(reply, dhcp4_fit.room(asked))
        return Prepared(
            datagram,
            (str(address), port),
            (address, asked.chaddr) if is_new else None,
            reply.type.name.lower(),
            (*also, *(("dhcp.left-out", Option(code).name.lower()) for code in left_out)),
            answer,
        )

    def _send(self, sock: socket.socket, xid: bytes, prepared: Prepared) -> None:
        for counter in prepared.also:
            self._desk.count(*counter)
        address, port = prepared.to
        if prepared.teach is not None:
            try:
                arp.teach(self._sockets.server, *prepared.teach, self._interface)
            except OSError:
                # RFC 2131 section 4.1 allows a broadcast where unicast is not possible.
                address = str(dhcp4.BROADCAST)
        try:
            sock.sendto(prepared.of(xid), (address, port))
            self._desk.count("dhcp.sent", prepared.name)
        except OSError as error:
            self._desk.count("dhcp.drop", "send")
            log.warning("send to %s:%d: %s", address, port, error)
