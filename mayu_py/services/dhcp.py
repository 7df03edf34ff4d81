"""DHCPv4: socket -> dhcp_messages.understand -> core.boot.decide -> dhcp_replies.Replies -> socket."""

import logging
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address

from mayu_py.core.enrolment import Newcomer
from mayu_py.core.exchange import Conflict, DhcpKind, Enrol, Lease, Nak
from mayu_py.core.networks import Network
from mayu_py.core.snapshot import Snapshot
from mayu_py.services import arp
from mayu_py.services.datagrams import Overflows, prepare, told_by_kernel
from mayu_py.services.desk import Desk
from mayu_py.services.dhcp_admission import Admission
from mayu_py.services.dhcp_messages import Packet, understand
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
                packet = self._read(sock, datagram, ancillary, sender)
                if packet is not None and (newcomer := self._answer(packet, snapshot)):
                    unknown.append((packet, newcomer))
                if packet is not None and packet.request.kind is DhcpKind.DECLINE:
                    snapshot = self._desk.snapshot()  # Its host may have another address now.
            except Exception:
                # The same guard, for each datagram of a batch.
                self._desk.count("dhcp.drop", "internal")
                log.exception("datagram %s", datagram.hex())
        if unknown:
            self._admission.admit(unknown)

    def _read(
        self, sock: socket.socket, datagram: bytes, ancillary: list[tuple[int, int, bytes]], sender: tuple[str, int]
    ) -> Packet | None:
        age, overflows = told_by_kernel(ancillary)
        if lost := self._overflows[sock].new(overflows):
            self._desk.count("dhcp.drop", "queue-full", lost)
        if age > STALE_SECONDS:
            self._desk.count("dhcp.drop", "stale")
            return None
        try:
            message = dhcp4.parse(datagram)
            if sock is self._sockets.binl:
                return Packet(message, understand(message, self._interface, binl=True), sender)
            return Packet(message, understand(message, self._interface))
        except Malformed as error:
            self._desk.count("dhcp.drop", error.reason)
            return None

    def _answer(self, packet: Packet, snapshot: Snapshot) -> Newcomer | None:
        """Answer a packet; an unknown machine is returned instead, to be enrolled first."""
        if self._admission.holds(packet):
            self._desk.count("dhcp.unanswered", "probing")
            return None
        message, override = packet.message, packet.request.override
        answer = self._desk.answer(packet.request, snapshot)
        match answer.reply:
            case Lease() as lease:
                if lease.netboot and lease.boot_file is None:
                    self._desk.count("dhcp.no-boot-file", "architecture")
                self._send(packet, self._replies.lease(message, lease, override), lease.yiaddr)
            case Nak(network, why):
                self._send(packet, self._replies.nak(message, network, why, override), None)
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

    def _send(self, packet: Packet, reply: Message, yiaddr: IPv4Address | None) -> None:
        request = packet.message
        address, port = self._destination(packet, reply, yiaddr)
        datagram, left_out = dhcp4_fit.build(reply, dhcp4_fit.room(request))
        for code in left_out:
            self._desk.count("dhcp.left-out", Option(code).name.lower())
        sock = self._sockets.binl if packet.sender and self._sockets.binl else self._sockets.server
        try:
            sock.sendto(datagram, (str(address), port))
            self._desk.count("dhcp.sent", reply.type.name.lower())
        except OSError as error:
            self._desk.count("dhcp.drop", "send")
            log.warning("send to %s:%d: %s", address, port, error)

    def _destination(self, packet: Packet, reply: Message, yiaddr: IPv4Address | None) -> tuple[IPv4Address, int]:
        request = packet.message
        if packet.sender is not None and packet.sender[0] != "0.0.0.0":
            # Who asks port 4011 has an address, and waits at whatever port it sent from (PXE 2.1, section 2.4.3).
            return IPv4Address(packet.sender[0]), packet.sender[1]
        address, port = dhcp4.destination(request, reply.type, yiaddr or dhcp4.ZERO)
        if address == yiaddr and request.giaddr == request.ciaddr == dhcp4.ZERO:
            try:
                arp.teach(self._sockets.server, address, request.chaddr, self._interface)
            except OSError:
                # RFC 2131 section 4.1 allows a broadcast where unicast is not possible.
                address = dhcp4.BROADCAST
        return address, port
