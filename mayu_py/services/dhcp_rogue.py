"""DHCP servers that should not be there: what others offer to clients on the link, as far as it reaches this machine."""

import logging
import socket
from ipaddress import IPv4Address
from time import monotonic

from mayu_py.core.networks import DhcpMode, Network
from mayu_py.core.settings import Settings
from mayu_py.services import packet_sockets
from mayu_py.services.desk import Desk
from mayu_py.wire import Malformed, dhcp4, udp4
from mayu_py.wire.dhcp4 import MessageType, Option

log = logging.getLogger(__name__)

# One that answers every client would fill the history.
REPORT_SECONDS = 600.0
MOST_SERVERS = 1000
BATCH = 64
_ANSWERS = frozenset({MessageType.OFFER, MessageType.ACK})


def is_watched(network: Network) -> bool:
    """Whether it is known which servers belong there: beside an owner that is not named, every one could be it."""
    return network.dhcp is DhcpMode.AUTHORITATIVE or (network.dhcp is DhcpMode.PROXY and network.owner is not None)


def listen(interface: str) -> socket.socket:
    """A socket that hears what is sent to DHCP clients. Raises OSError."""
    return packet_sockets.listen(interface, packet_sockets.ETH_P_IP, packet_sockets.TO_DHCP_CLIENTS)


class RogueWatch:
    """Counts the answers of servers that the config does not know, and writes each server down once in ten minutes."""

    def __init__(self, sock: socket.socket, network: Network, desk: Desk) -> None:
        self.socket = sock
        self._network = network
        self._desk = desk
        self._known = own_servers(desk.settings, network)
        self._reported: dict[tuple[IPv4Address, str], float] = {}

    def hear(self) -> None:
        """Read what waits, at most `BATCH` packets: answering clients comes first."""
        for _ in range(BATCH):
            try:
                packet, sender = self.socket.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError as error:  # The interface is down, say; the socket hears again when it is up.
                log.warning("%s: %s", self._network.interface, error)
                return
            try:
                self._judge(packet, sender[4].hex(":"))
            except Malformed as error:
                self._desk.count("dhcp.overheard", error.reason)

    def _judge(self, packet: bytes, mac: str) -> None:
        datagram = udp4.parse(packet)
        message = dhcp4.parse(datagram.payload)
        if message.op is not dhcp4.Op.BOOTREPLY or message.type not in _ANSWERS:
            return
        raw = message.options.get(Option.SERVER_IDENTIFIER, b"")
        server = IPv4Address(raw) if len(raw) == 4 else datagram.source
        if server in self._known:
            return
        self._desk.count("dhcp.rogue", message.type.name.lower())
        now = monotonic()
        if now - self._reported.get((server, mac), -REPORT_SECONDS) < REPORT_SECONDS:
            return
        if len(self._reported) >= MOST_SERVERS:
            self._reported.clear()
        self._reported[server, mac] = now
        detail = {"network": self._network.name, "server": str(server), "mac": mac, "client": message.chaddr.hex(":")}
        self._desk.happened("rogue-dhcp", None, **detail)
        log.error("a DHCP server that the config does not know is on network %s: %s at %s", self._network.name, server, mac)


def own_servers(settings: Settings, network: Network) -> frozenset[IPv4Address]:
    """Every address of mayu's own, and the owner of the network's addresses."""
    own = [settings.address(network), *(each.address for each in settings.local), network.owner]
    return frozenset(address for address in own if address is not None)
