"""A DHCP datagram to the one it is answered with: as services.dhcp does it, without a socket."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.core.enrolment import Newcomer
from mayu_py.core.exchange import Answer, Conflict, Enrol, Lease, Nak
from mayu_py.errors import RangeExhausted
from mayu_py.rehearsal.desk import RehearsalDesk
from mayu_py.services.dhcp_messages import Packet, relay_port, understand
from mayu_py.services.dhcp_replies import Replies
from mayu_py.wire import Malformed, dhcp4, dhcp4_fit
from mayu_py.wire.dhcp4 import Message


@dataclass(frozen=True, slots=True)
class DhcpReply:
    """What goes out. `left_out` are options for which the client had no room."""

    datagram: bytes
    destination: tuple[IPv4Address, int]
    left_out: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DhcpOutcome:
    """What became of a datagram. `dropped` is the reason why it got no decision, or none that could be carried out."""

    request: Message | None
    reply: DhcpReply | None = None
    dropped: str = ""


class DhcpRehearsal:
    """Answers datagrams over a desk."""

    def __init__(self, desk: RehearsalDesk) -> None:
        self._desk = desk
        self._replies = Replies(desk.settings)
        self._conflicts: set[IPv4Address] = set()  # addresses that somebody else was found at

    def answer(
        self, datagram: bytes, interface: str, binl_sender: tuple[str, int] | None = None, source_port: int = dhcp4.SERVER_PORT
    ) -> DhcpOutcome:
        """What the datagram is answered. `binl_sender` says who sent it to port 4011. Never raises."""
        try:
            message = dhcp4.parse(datagram)
            request = understand(message, interface, binl=binl_sender is not None)
            packet = Packet(message, request, binl_sender, relay_port(message, source_port))
        except Malformed as error:
            return DhcpOutcome(None, dropped=error.reason)
        answer = self._desk.answer(packet.request)
        if isinstance(answer.reply, Enrol):
            (result,) = self._desk.enrol([Newcomer(answer.reply.identity, answer.reply.network)], self._conflicts)
            if isinstance(result, RangeExhausted):
                return DhcpOutcome(message, dropped=result.message)
            answer = self._desk.answer(packet.request)
        if isinstance(answer.reply, Conflict):
            return self._declined(message, answer.reply)
        return DhcpOutcome(message, self._built(packet, answer))

    def _declined(self, message: Message, conflict: Conflict) -> DhcpOutcome:
        self._conflicts.add(conflict.address)
        if not conflict.host.is_configured:
            try:
                self._desk.readdress(conflict.host, conflict.network, self._conflicts)
            except RangeExhausted as error:
                return DhcpOutcome(message, dropped=error.message)
        return DhcpOutcome(message)

    def _built(self, packet: Packet, answer: Answer) -> DhcpReply | None:
        request, override = packet.message, packet.request.override
        match answer.reply:
            case Lease() as lease:
                reply, yiaddr = self._replies.lease(request, lease, override), lease.yiaddr or dhcp4.ZERO
            case Nak(network, why):
                reply, yiaddr = self._replies.nak(request, network, why, override), dhcp4.ZERO
            case _:
                return None
        datagram, left_out = dhcp4_fit.build(reply, dhcp4_fit.room(request))
        return DhcpReply(datagram, packet.destination(reply.type, yiaddr), left_out)
