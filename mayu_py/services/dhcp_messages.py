"""DHCPv4 messages to what decisions are made of, and decisions to messages. No socket, no clock."""

from ipaddress import IPv4Address, IPv4Network

from mayu_py.core.exchange import DhcpKind, DhcpRequest, Lease
from mayu_py.core.hosts import Identity, Mac, Uuid
from mayu_py.core.settings import Network, Settings
from mayu_py.wire import Malformed, dhcp4, ipxe
from mayu_py.wire.dhcp4 import Message, MessageType, Option

# PXE option 43: sub-option 6 (PXE_DISCOVERY_CONTROL) = 8, "boot the file I named, look for no other server".
_PXE_BOOT_FILE_ONLY = bytes((6, 1, 8, 255))


class Replies:
    """Builds replies; what is the same for all hosts of a network is encoded once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parameters = {network.name: _network_parameters(network) for network in settings.networks}
        self._times = {network.name: _times(round(network.lease_time.seconds)) for network in settings.networks}

    def nak(self, request: Message, network: Network, why: str) -> Message:
        """DHCPNAK with the reason in option 56."""
        options: dict[int, bytes] = {
            Option.MESSAGE_TYPE: bytes((MessageType.NAK,)),
            Option.SERVER_IDENTIFIER: self._settings.address(network).packed,
            Option.MESSAGE: why.encode()[:255],
        }
        # Behind a relay the client may be anywhere: the broadcast flag makes the relay broadcast (RFC 2131, 4.3.2).
        flags = request.flags | (dhcp4.BROADCAST_FLAG if request.giaddr != dhcp4.ZERO else 0)
        return _reply(request, options, flags=flags)

    def lease(self, request: Message, lease: Lease) -> Message:
        """DHCPOFFER or DHCPACK."""
        server = self._settings.address(lease.network)
        options: dict[int, bytes] = {
            Option.MESSAGE_TYPE: bytes((MessageType.ACK if lease.ack else MessageType.OFFER,)),
            Option.SERVER_IDENTIFIER: server.packed,
        }
        if lease.yiaddr is not None:
            options |= self._times[lease.network.name]
        wanted = request.options.get(Option.PARAMETER_REQUEST_LIST)
        parameters = {**self._parameters[lease.network.name], Option.HOST_NAME: lease.host.name.encode()}
        for code, value in parameters.items():  # Sent only to who asks for it, or asks for nothing in particular.
            if wanted is None or code in wanted:
                options[code] = value
        options |= _boot_options(lease, server)
        return _reply(
            request,
            options,
            flags=request.flags,
            ciaddr=request.ciaddr,
            yiaddr=lease.yiaddr or dhcp4.ZERO,
            siaddr=server if lease.boot_file else dhcp4.ZERO,
            file=(lease.boot_file or "").encode(),
        )


def _reply(
    request: Message,
    options: dict[int, bytes],
    *,
    flags: int,
    ciaddr: IPv4Address = dhcp4.ZERO,
    yiaddr: IPv4Address = dhcp4.ZERO,
    siaddr: IPv4Address = dhcp4.ZERO,
    file: bytes = b"",
) -> Message:
    # Echoed: 97 by the PXE specification, 61 by RFC 6842, 82 last by RFC 3046 section 2.2.
    for code in (Option.CLIENT_UUID, Option.CLIENT_IDENTIFIER, Option.RELAY_AGENT_INFORMATION):
        if code in request.options:
            options[code] = request.options[code]
    return Message(
        op=dhcp4.Op.BOOTREPLY,
        htype=request.htype,
        xid=request.xid,
        flags=flags,
        ciaddr=ciaddr,
        yiaddr=yiaddr,
        siaddr=siaddr,
        giaddr=request.giaddr,
        chaddr=request.chaddr,
        file=file if len(file) < 128 else b"",
        options=options,
    )


def _boot_options(lease: Lease, server: IPv4Address) -> dict[int, bytes]:
    if not lease.boot_file:
        return {}
    options: dict[int, bytes] = {Option.BOOTFILE_NAME: lease.boot_file.encode()}
    if lease.ipxe:
        return options | {Option.IPXE: ipxe.NO_PROXYDHCP}
    return options | {
        Option.TFTP_SERVER_NAME: str(server).encode(),
        Option.VENDOR_CLASS: b"PXEClient",
        Option.VENDOR_SPECIFIC: _PXE_BOOT_FILE_ONLY,
    }


def understand(message: Message, interface: str = "") -> DhcpRequest:
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
    return DhcpRequest(
        kind=kind,
        identity=Identity(mac=Mac.of(message.chaddr), uuid=Uuid.of(options.get(Option.CLIENT_UUID, b""))),
        arch=_arch(options.get(Option.CLIENT_ARCHITECTURE, b"")),
        netboot=ipxe_client or vendor.startswith(b"PXEClient"),
        ipxe=ipxe_client,
        requested=_four(options.get(Option.REQUESTED_ADDRESS)),
        server_id=_four(options.get(Option.SERVER_IDENTIFIER)),
        ciaddr=message.ciaddr,
        interface=interface,
        giaddr=message.giaddr,
        link=_link(options.get(Option.RELAY_AGENT_INFORMATION, b"")),
    )


def _arch(value: bytes) -> int | None:
    """The first of the client's architectures (RFC 4578, section 2.1)."""
    return int.from_bytes(value[:2], "big") if len(value) >= 2 else None


def _four(value: bytes | None) -> IPv4Address | None:
    if value is None:
        return None
    if len(value) != 4:
        raise Malformed("address-option")
    return IPv4Address(value)


def _link(relay_information: bytes) -> IPv4Address | None:
    """Sub-option 5 of option 82, the subnet that the relay wants an address of (RFC 3527)."""
    at = 0
    while at + 1 < len(relay_information):
        code, size = relay_information[at], relay_information[at + 1]
        if code == 5 and size == 4 and at + 6 <= len(relay_information):
            return IPv4Address(relay_information[at + 2 : at + 6])
        at += 2 + size
    return None


def _times(seconds: int) -> dict[int, bytes]:
    """Lease time, T1 and T2 at the fractions RFC 2131 section 4.4.5 gives."""
    return {
        Option.LEASE_TIME: seconds.to_bytes(4, "big"),
        Option.RENEWAL_TIME: (seconds // 2).to_bytes(4, "big"),
        Option.REBINDING_TIME: (seconds * 7 // 8).to_bytes(4, "big"),
    }


def _network_parameters(network: Network) -> dict[int, bytes]:
    options: dict[int, bytes] = {
        Option.SUBNET_MASK: network.subnet.netmask.packed,
        Option.BROADCAST_ADDRESS: network.subnet.broadcast_address.packed,
    }
    if network.gateway is not None:
        options[Option.ROUTER] = network.gateway.packed
    if network.dns:
        options[Option.DOMAIN_NAME_SERVER] = b"".join(address.packed for address in network.dns)
    if network.ntp:
        options[Option.NTP_SERVERS] = b"".join(address.packed for address in network.ntp)
    if network.domain:
        options[Option.DOMAIN_NAME] = network.domain.encode()
    if network.search:
        options[Option.DOMAIN_SEARCH] = dhcp4.domain_search(network.search)
    if network.routes:
        options[Option.CLASSLESS_STATIC_ROUTE] = dhcp4.classless_routes(_routes(network))
    return options


def _routes(network: Network) -> list[tuple[IPv4Network, IPv4Address]]:
    """With the default route: who takes option 121 must not look at option 3 (RFC 3442)."""
    default = [(IPv4Network("0.0.0.0/0"), network.gateway)] if network.gateway else []
    return [*((route.to, route.via) for route in network.routes), *default]
