"""DHCPv4: socket -> dhcp_messages.understand -> core.boot.decide -> dhcp_messages.Replies -> socket."""

import logging
import selectors
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.core.enrolment import Newcomer
from mayu_py.core.exchange import DhcpRequest, Enrol, Lease, Nak
from mayu_py.core.settings import Network
from mayu_py.core.snapshot import Snapshot
from mayu_py.errors import RangeExhausted, StoreError
from mayu_py.services import arp
from mayu_py.services.datagrams import Overflows, prepare, told_by_kernel
from mayu_py.services.desk import Desk
from mayu_py.services.dhcp_messages import Replies, understand
from mayu_py.wire import Malformed, dhcp4
from mayu_py.wire.dhcp4 import Message

log = logging.getLogger(__name__)

# What one wake of the loop takes in: enough for one commit to serve many, few enough that the first does not wait long.
BATCH = 64
# A client has asked again by then (RFC 2131, section 4.1: after 4 s), and an old answer only confuses it.
STALE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class _Packet:
    message: Message
    request: DhcpRequest


def listen(interface: str) -> socket.socket:
    """The server's socket: UDP 67 on one interface only. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    prepare(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    sock.bind(("", dhcp4.SERVER_PORT))
    return sock


class DhcpServer:
    """Serves the socket of one network, and of the relays that reach it, until told to stop.

    Every datagram is answered or counted with the reason it is not.
    """

    def __init__(self, sock: socket.socket, network: Network, desk: Desk) -> None:
        self._sock = sock
        self._desk = desk
        self._overflows = Overflows()
        self._interface = network.interface or ""
        self._replies = Replies(desk.settings)

    def serve(self, stop_fd: int) -> None:
        """Loop until `stop_fd` is readable."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            selector.register(stop_fd, selectors.EVENT_READ)
            while all(key.fd != stop_fd for key, _ in selector.select()):
                self.drain()

    def drain(self) -> None:
        """Answer what waits in the socket, at most `BATCH` datagrams."""
        unknown: list[tuple[_Packet, Newcomer]] = []
        snapshot = self._desk.snapshot()
        for _ in range(BATCH):
            try:
                datagram, ancillary, _, _ = self._sock.recvmsg(2048, 128)
            except BlockingIOError:
                break
            except OSError as error:  # An ICMP error of an earlier reply, say; the socket stays good.
                self._desk.count("dhcp.drop", "receive")
                log.warning("receive: %s", error)
                continue
            try:
                packet = self._read(datagram, ancillary)
                if packet is not None and (newcomer := self._answer(packet, snapshot)):
                    unknown.append((packet, newcomer))
            except Exception:
                # The one guard: whatever a datagram may do, the next one is served.
                self._desk.count("dhcp.drop", "internal")
                log.exception("datagram %s", datagram.hex())
        if unknown:
            self._enrol(unknown)

    def _read(self, datagram: bytes, ancillary: list[tuple[int, int, bytes]]) -> _Packet | None:
        age, overflows = told_by_kernel(ancillary)
        if lost := self._overflows.new(overflows):
            self._desk.count("dhcp.drop", "queue-full", lost)
        if age > STALE_SECONDS:
            self._desk.count("dhcp.drop", "stale")
            return None
        try:
            message = dhcp4.parse(datagram)
            return _Packet(message, understand(message, self._interface))
        except Malformed as error:
            self._desk.count("dhcp.drop", error.reason)
            return None

    def _answer(self, packet: _Packet, snapshot: Snapshot) -> Newcomer | None:
        """Answer a packet; an unknown machine is returned instead, to be enrolled first."""
        answer = self._desk.answer(packet.request, snapshot)
        match answer.reply:
            case Lease() as lease:
                self._send(packet.message, self._replies.lease(packet.message, lease), lease.yiaddr)
            case Nak(network, why):
                self._send(packet.message, self._replies.nak(packet.message, network, why), None)
            case Enrol(identity, network):
                return Newcomer(identity, network)
            case _:
                self._desk.count("dhcp.unanswered", packet.request.kind.name.lower())
        return None

    def _enrol(self, unknown: list[tuple[_Packet, Newcomer]]) -> None:
        try:
            results = self._desk.enrol([newcomer for _, newcomer in unknown])
        except StoreError as error:
            # What is not on the disk is not handed out; those who are known are served on.
            self._desk.count("dhcp.drop", "store", len(unknown))
            log.error("%d machines are not enrolled: %s", len(unknown), error.message)
            return
        for (packet, _), result in zip(unknown, results, strict=True):
            if isinstance(result, RangeExhausted):
                self._desk.count("dhcp.drop", "range-exhausted")
                log.error("%s gets no address: %s", packet.request.identity, result.message)
            elif self._answer(packet, self._desk.snapshot()):
                self._desk.count("dhcp.drop", "not-enrolled")

    def _send(self, request: Message, reply: Message, yiaddr: IPv4Address | None) -> None:
        address, port = dhcp4.destination(request, reply.type, yiaddr or dhcp4.ZERO)
        if address == yiaddr and request.giaddr == request.ciaddr == dhcp4.ZERO:
            try:
                arp.teach(self._sock, address, request.chaddr, self._interface)
            except OSError:
                # RFC 2131 section 4.1 allows a broadcast where unicast is not possible.
                address = dhcp4.BROADCAST
        try:
            self._sock.sendto(dhcp4.build(reply), (str(address), port))
            self._desk.count("dhcp.sent", reply.type.name.lower())
        except OSError as error:
            self._desk.count("dhcp.drop", "send")
            log.warning("send to %s:%d: %s", address, port, error)
