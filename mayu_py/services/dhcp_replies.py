"""Decisions to DHCPv4 messages. No socket, no clock."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network

from mayu_py.core.exchange import Lease
from mayu_py.core.networks import DhcpMode, Network
from mayu_py.core.settings import Settings
from mayu_py.services.dhcp_messages import HTTP_CLIENT, PXE_CLIENT
from mayu_py.wire import dhcp4, ipxe
from mayu_py.wire.dhcp4 import Message, MessageType, Option

# PXE option 43: sub-option 6 (PXE_DISCOVERY_CONTROL) = 8, "boot the file I named, look for no other server".
_PXE_BOOT_FILE_ONLY = bytes((6, 1, 8, 255))
_SHORTEST_LEASE = 60


class Replies:
    """Builds replies; what is the same for all hosts of a network is encoded once.

    `override` is the address by which a relay wants the server to be known (RFC 5107).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parameters = {network.name: _network_parameters(network) for network in settings.networks}
        self._seconds = {network.name: round(network.lease_time.seconds) for network in settings.networks}

    def nak(self, request: Message, network: Network, why: str, override: IPv4Address | None = None) -> Message:
        """DHCPNAK with the reason in option 56."""
        options: dict[int, bytes] = {
            Option.MESSAGE_TYPE: bytes((MessageType.NAK,)),
            Option.SERVER_IDENTIFIER: (override or self._settings.address(network)).packed,
            Option.MESSAGE: why.encode()[:255],
        }
        # Behind a relay the client may be anywhere: the broadcast flag makes the relay broadcast (RFC 2131, 4.3.2).
        flags = request.flags | (dhcp4.BROADCAST_FLAG if request.giaddr != dhcp4.ZERO else 0)
        return _reply(request, options, flags=flags)

    def lease(self, request: Message, lease: Lease, override: IPv4Address | None = None) -> Message:
        """DHCPOFFER or DHCPACK. Beside another server that owns the addresses, it is about booting alone."""
        network = lease.network
        server = self._settings.address(network)
        options: dict[int, bytes] = {
            Option.MESSAGE_TYPE: bytes((MessageType.ACK if lease.ack else MessageType.OFFER,)),
            Option.SERVER_IDENTIFIER: (override or server).packed,
        }
        if lease.yiaddr is not None:
            options |= _times(self._granted(request, network))
        if network.dhcp is not DhcpMode.PROXY:
            wanted = request.options.get(Option.PARAMETER_REQUEST_LIST)
            parameters = {**self._parameters[network.name], Option.HOST_NAME: lease.host.name.encode()}
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

    def _granted(self, request: Message, network: Network) -> int:
        """The network's lease time, or a shorter one that the client asks for (option 51)."""
        longest = self._seconds[network.name]
        raw = request.options.get(Option.LEASE_TIME)
        return longest if raw is None or len(raw) != 4 else min(longest, max(_SHORTEST_LEASE, int.from_bytes(raw, "big")))


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
    proxied = lease.network.dhcp is DhcpMode.PROXY
    if lease.ipxe:
        # A ProxyDHCP offer is known by its class; that no other is waited for says the server of the address.
        return options | ({Option.VENDOR_CLASS: PXE_CLIENT} if proxied else {Option.IPXE: ipxe.NO_PROXYDHCP})
    if lease.http:
        return options | {Option.VENDOR_CLASS: HTTP_CLIENT}
    return options | {
        Option.TFTP_SERVER_NAME: str(server).encode(),
        Option.VENDOR_CLASS: PXE_CLIENT,
        Option.VENDOR_SPECIFIC: _PXE_BOOT_FILE_ONLY,
    }


@lru_cache(maxsize=1024)
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
