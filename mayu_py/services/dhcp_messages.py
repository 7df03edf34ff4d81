"""DHCPv4 messages to what decisions are made of. No socket, no clock."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.core.exchange import DhcpKind, DhcpRequest
from mayu_py.core.hosts import Identity, Mac, Uuid
from mayu_py.wire import Malformed, dhcp4
from mayu_py.wire.dhcp4 import Message, MessageType, Option

PXE_CLIENT = b"PXEClient"
HTTP_CLIENT = b"HTTPClient"

# Sub-options of option 82 that decide something; whatever a relay sends is echoed.
_LINK_SELECTION = 5  # RFC 3527
_SERVER_OVERRIDE = 11  # RFC 5107
_SOURCE_PORT = 19  # RFC 8357


@dataclass(frozen=True, slots=True)
class Packet:
    """A message, what it asks, and who sent it.

    `sender` is (address, port) for port 4011. `relay_port` is where a relay waits that has a port of its own.
    """

    message: Message
    request: DhcpRequest
    sender: tuple[str, int] | None = None
    relay_port: int | None = None

    @property
    def sender_has_address(self) -> bool:
        """Whether who asks port 4011 can be answered where the packet came from."""
        return self.sender is not None and self.sender[0] != str(dhcp4.ZERO)

    def destination(self, reply_type: MessageType, yiaddr: IPv4Address) -> tuple[IPv4Address, int]:
        """Where a reply goes.

        Who asks port 4011 has an address, and waits at whatever port it sent from (PXE 2.1, section 2.4.3). All others are
        answered as RFC 2131 has it, a relay that says so at the port that it sent from (RFC 8357).
        """
        if self.sender is not None and self.sender_has_address:
            return IPv4Address(self.sender[0]), self.sender[1]
        address, port = dhcp4.destination(self.message, reply_type, yiaddr)
        return address, self.relay_port or port


def relay_port(message: Message, source_port: int) -> int | None:
    """The port that the relay waits at, None where it is the usual one: sub-option 19 says that it is where it sent from."""
    return source_port if _SOURCE_PORT in _told_by_relay(message) else None


def understand(message: Message, interface: str = "", *, binl: bool = False) -> DhcpRequest:
    """What a client's message that came in on `interface` asks. Raises Malformed for what no client may send."""
    if message.op is not dhcp4.Op.BOOTREQUEST:
        raise Malformed("not-a-request")
    if message.htype != 1 or len(message.chaddr) != 6:
        raise Malformed("not-ethernet")
    try:
        kind = DhcpKind(message.type)
    except ValueError as error:
        raise Malformed("server-message") from error
    options = message.options
    vendor = options.get(Option.VENDOR_CLASS, b"")
    # iPXE sends its user class raw, not length-prefixed as RFC 3004 wants; either is taken. So is option 175 alone.
    ipxe_client = b"iPXE" in options.get(Option.USER_CLASS, b"") or Option.IPXE in options
    http = vendor.startswith(HTTP_CLIENT)
    relay = _told_by_relay(message)
    return DhcpRequest(
        kind=kind,
        identity=Identity(mac=Mac.of(message.chaddr), uuid=_uuid(message)),
        arch=_arch(options.get(Option.CLIENT_ARCHITECTURE, b"")),
        netboot=ipxe_client or http or vendor.startswith(PXE_CLIENT),
        ipxe=ipxe_client,
        requested=_four(options.get(Option.REQUESTED_ADDRESS)),
        server_id=_four(options.get(Option.SERVER_IDENTIFIER)),
        ciaddr=message.ciaddr,
        interface=interface,
        giaddr=message.giaddr,
        link=_address(relay.get(_LINK_SELECTION)),
        override=_address(relay.get(_SERVER_OVERRIDE)),
        http=http and not ipxe_client,
        binl=binl,
    )


def _uuid(message: Message) -> Uuid | None:
    """The board's UUID: option 97, or what stands for it in option 61.

    Firmware that leaves out option 97 sends the same there with type 0; operating systems send a DUID-UUID, which says who
    the board is whichever of its cards asks. All other client identifiers are as good as the MAC, and are echoed only.
    """
    options = message.options
    if (told := options.get(Option.CLIENT_UUID)) is not None:
        return Uuid.of(told)
    identifier = options.get(Option.CLIENT_IDENTIFIER)
    return None if identifier is None else Uuid.of(identifier) or Uuid.of_duid(identifier)


def _arch(value: bytes) -> int | None:
    """The first of the client's architectures (RFC 4578, section 2.1)."""
    return int.from_bytes(value[:2], "big") if len(value) >= 2 else None


def _four(value: bytes | None) -> IPv4Address | None:
    if value is None:
        return None
    if len(value) != 4:
        raise Malformed("address-option")
    return IPv4Address(value)


def _address(value: bytes | None) -> IPv4Address | None:
    """A relay's sub-option; one of another length decides nothing."""
    return IPv4Address(value) if value is not None and len(value) == 4 else None


def _told_by_relay(message: Message) -> dict[int, bytes]:
    """What option 82 says; from anybody but a relay it says nothing."""
    told = message.options.get(Option.RELAY_AGENT_INFORMATION)
    return _sub_options(told) if told is not None and message.giaddr != dhcp4.ZERO else {}


def _sub_options(value: bytes) -> dict[int, bytes]:
    """The sub-options of option 82 (RFC 3046, section 2.0), up to the first that does not fit."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 1 < len(value) and at + 2 + value[at + 1] <= len(value):
        found.setdefault(value[at], value[at + 2 : at + 2 + value[at + 1]])
        at += 2 + value[at + 1]
    return found
