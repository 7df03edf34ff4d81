"""DHCPv4 messages to what decisions are made of. No socket, no clock."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.core.exchange import DhcpKind, DhcpRequest
from mayu_py.core.hosts import Identity, Mac, Uuid
from mayu_py.wire import Malformed, dhcp4
from mayu_py.wire.dhcp4 import Message, Option

PXE_CLIENT = b"PXEClient"
HTTP_CLIENT = b"HTTPClient"

# Sub-options of option 82 that decide something; whatever a relay sends is echoed.
_LINK_SELECTION = 5  # RFC 3527
_SERVER_OVERRIDE = 11  # RFC 5107


@dataclass(frozen=True, slots=True)
class Packet:
    """A message, what it asks, and for port 4011 who sent it: (address, port)."""

    message: Message
    request: DhcpRequest
    sender: tuple[str, int] | None = None


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
    relayed = message.giaddr != dhcp4.ZERO and Option.RELAY_AGENT_INFORMATION in options
    relay = _sub_options(options[Option.RELAY_AGENT_INFORMATION]) if relayed else {}
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


def _sub_options(value: bytes) -> dict[int, bytes]:
    """The sub-options of option 82 (RFC 3046, section 2.0), up to the first that does not fit."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 1 < len(value) and at + 2 + value[at + 1] <= len(value):
        found.setdefault(value[at], value[at + 2 : at + 2 + value[at + 1]])
        at += 2 + value[at + 1]
    return found
