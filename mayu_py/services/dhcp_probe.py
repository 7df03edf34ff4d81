"""An active search for DHCP servers: one DISCOVER as a booting machine sends it, and who answers."""

import secrets
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from time import monotonic

from mayu_py.services import packet_sockets
from mayu_py.wire import Malformed, dhcp4, udp4
from mayu_py.wire.dhcp4 import Message, MessageType, Op, Option

# As UEFI of the x64 kind, so that ProxyDHCP servers answer too.
_CLASS = b"PXEClient:Arch:00007:UNDI:003000"
_WANTED = bytes((Option.SUBNET_MASK, Option.ROUTER, Option.TFTP_SERVER_NAME, Option.BOOTFILE_NAME))


@dataclass(frozen=True, slots=True)
class Found:
    """A server's OFFER. `offered` is None from a ProxyDHCP server, `relay` where there is none between."""

    server: IPv4Address
    source: IPv4Address
    mac: str
    offered: IPv4Address | None
    boot_file: str
    relay: IPv4Address | None


def search(interface: str, seconds: float, hardware: bytes | None = None) -> Iterator[Found]:
    """Each server that answers a DISCOVER within `seconds`, once, as it answers. Raises OSError: CAP_NET_RAW is needed.

    `hardware` is the MAC that asks; the interface's own by default. A server that enrols strangers enrols it.
    """
    with packet_sockets.listen(interface, packet_sockets.ETH_P_IP, packet_sockets.TO_DHCP_CLIENTS) as sock:
        message = _discover(hardware or packet_sockets.hardware_address(sock))
        ends = (dhcp4.ZERO, dhcp4.CLIENT_PORT, dhcp4.BROADCAST, dhcp4.SERVER_PORT)
        packet = udp4.build(udp4.Datagram(*ends, dhcp4.build(message)))
        packet_sockets.broadcast(sock, interface, packet_sockets.ETH_P_IP, packet)
        seen: set[Found] = set()
        deadline = monotonic() + seconds
        while (left := deadline - monotonic()) > 0 and select.select([sock], [], [], left)[0]:
            found = _received(sock, message)
            if found is not None and found not in seen:
                seen.add(found)
                yield found


def _discover(hardware: bytes) -> Message:
    options: dict[int, bytes] = {
        Option.MESSAGE_TYPE: bytes((MessageType.DISCOVER,)),
        Option.PARAMETER_REQUEST_LIST: _WANTED,
        Option.VENDOR_CLASS: _CLASS,
        Option.CLIENT_ARCHITECTURE: b"\0\7",
    }
    # Broadcast: nobody here has the address that is offered.
    return Message(Op.BOOTREQUEST, secrets.randbits(32), hardware, options, flags=dhcp4.BROADCAST_FLAG)


def _received(sock: socket.socket, asked: Message) -> Found | None:
    """The server behind a packet, if it answers what was asked."""
    packet, sender = sock.recvfrom(2048)
    try:
        datagram = udp4.parse(packet)
        message = dhcp4.parse(datagram.payload)
        if message.op is not Op.BOOTREPLY or message.xid != asked.xid or message.type is not MessageType.OFFER:
            return None
    except Malformed:
        return None  # Somebody else's packet: nothing is known of it but that it is no answer.
    raw = message.options.get(Option.SERVER_IDENTIFIER, b"")
    boot_file = message.file or message.options.get(Option.BOOTFILE_NAME, b"")
    return Found(
        server=IPv4Address(raw) if len(raw) == 4 else datagram.source,
        source=datagram.source,
        mac=sender[4].hex(":"),
        offered=message.yiaddr if message.yiaddr != dhcp4.ZERO else None,
        boot_file=boot_file.rstrip(b"\0").decode("ascii", "backslashreplace"),
        relay=message.giaddr if message.giaddr != dhcp4.ZERO else None,
    )
