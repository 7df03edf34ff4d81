"""DHCPv4: socket -> wire.dhcp4.parse -> core.boot.decide -> wire.dhcp4.build -> socket."""

import logging
import selectors
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.core.exchange import DhcpKind, DhcpRequest, Enrol, Lease, Nak
from mayu_py.core.hosts import Identity, Mac, Uuid
from mayu_py.core.settings import Network
from mayu_py.core.snapshot import Snapshot
from mayu_py.errors import RangeExhausted, StoreError
from mayu_py.services import arp
from mayu_py.services.datagrams import Overflows, prepare, told_by_kernel
from mayu_py.services.desk import Desk
from mayu_py.wire import Malformed, dhcp4, ipxe
from mayu_py.wire.dhcp4 import Message, MessageType, Option

log = logging.getLogger(__name__)

# What one wake of the loop takes in: enough for one commit to serve many, few enough that the first does not wait long.
BATCH = 64
# A client has asked again by then (RFC 2131, section 4.1: after 4 s), and an old answer only confuses it.
STALE_SECONDS = 4.0
# PXE option 43: sub-option 6 (PXE_DISCOVERY_CONTROL) = 8, "boot the file I named, look for no other server".
_PXE_BOOT_FILE_ONLY = bytes((6, 1, 8, 255))
# Sent only to who asks (option 55); the rest a client needs whether it asks or not.
_ON_REQUEST = frozenset(
    {Option.ROUTER, Option.DOMAIN_NAME_SERVER, Option.HOST_NAME, Option.BROADCAST_ADDRESS, Option.SUBNET_MASK}
)


@dataclass(frozen=True, slots=True)
class _Packet:
    message: Message
    request: DhcpRequest


def listen(network: Network) -> socket.socket:
    """The server's socket: UDP 67 on the boot interface only. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    prepare(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, network.interface.encode())
    sock.bind(("", dhcp4.SERVER_PORT))
    return sock


class DhcpServer:
    """Serves one socket until told to stop. Every datagram is answered or counted with the reason it is not."""

    def __init__(self, sock: socket.socket, desk: Desk) -> None:
        self._sock = sock
        self._desk = desk
        self._overflows = Overflows()
        self._network = desk.settings.network
        self._parameters = _network_parameters(self._network)
        self._times = _times(round(self._network.lease_time.seconds))

    def serve(self, stop_fd: int) -> None:
        """Loop until `stop_fd` is readable."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            selector.register(stop_fd, selectors.EVENT_READ)
            while all(key.fd != stop_fd for key, _ in selector.select()):
                self.drain()

    def drain(self) -> None:
        """Answer what waits in the socket, at most `BATCH` datagrams."""
        unknown: list[_Packet] = []
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
                if packet is not None and not self._answer(packet, snapshot):
                    unknown.append(packet)
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
            return _Packet(message, understand(message))
        except Malformed as error:
            self._desk.count("dhcp.drop", error.reason)
            return None

    def _answer(self, packet: _Packet, snapshot: Snapshot) -> bool:
        """Whether the packet is done with; an unknown machine must be enrolled first."""
        answer = self._desk.answer(packet.request, snapshot)
        match answer.reply:
            case Lease() as lease:
                self._send(packet.message, self._lease(packet.message, lease), lease.yiaddr)
            case Nak(why):
                self._send(packet.message, self._nak(packet.message, why), None)
            case Enrol():
                return False
            case _:
                self._desk.count("dhcp.unanswered", packet.request.kind.name.lower())
        return True

    def _enrol(self, packets: list[_Packet]) -> None:
        try:
            results = self._desk.enrol([packet.request.identity for packet in packets])
        except StoreError as error:
            # What is not on the disk is not handed out; those who are known are served on.
            self._desk.count("dhcp.drop", "store", len(packets))
            log.error("%d machines are not enrolled: %s", len(packets), error.message)
            return
        for packet, result in zip(packets, results, strict=True):
            if isinstance(result, RangeExhausted):
                self._desk.count("dhcp.drop", "range-exhausted")
                log.error("%s gets no address: %s", packet.request.identity, result.message)
            elif not self._answer(packet, self._desk.snapshot()):
                self._desk.count("dhcp.drop", "not-enrolled")

    def _send(self, request: Message, reply: Message, yiaddr: IPv4Address | None) -> None:
        address, port = dhcp4.destination(request, reply.type, yiaddr or dhcp4.ZERO)
        if address == yiaddr and request.giaddr == request.ciaddr == dhcp4.ZERO:
            try:
                arp.teach(self._sock, address, request.chaddr, self._network.interface)
            except OSError:
                # RFC 2131 section 4.1 allows a broadcast where unicast is not possible.
                address = dhcp4.BROADCAST
        try:
            self._sock.sendto(dhcp4.build(reply), (str(address), port))
            self._desk.count("dhcp.sent", reply.type.name.lower())
        except OSError as error:
            self._desk.count("dhcp.drop", "send")
            log.warning("send to %s:%d: %s", address, port, error)

    def _nak(self, request: Message, why: str) -> Message:
        options: dict[int, bytes] = {
            Option.MESSAGE_TYPE: bytes((MessageType.NAK,)),
            Option.SERVER_IDENTIFIER: self._network.address.packed,
            Option.MESSAGE: why.encode()[:255],
        }
        # Behind a relay the client may be anywhere: the broadcast flag makes the relay broadcast (RFC 2131, 4.3.2).
        flags = request.flags | (dhcp4.BROADCAST_FLAG if request.giaddr != dhcp4.ZERO else 0)
        return self._reply(request, options, flags=flags)

    def _lease(self, request: Message, lease: Lease) -> Message:
        kind = MessageType.ACK if lease.ack else MessageType.OFFER
        options: dict[int, bytes] = {
            Option.MESSAGE_TYPE: bytes((kind,)),
            Option.SERVER_IDENTIFIER: self._network.address.packed,
        }
        if lease.yiaddr is not None:
            options |= self._times
        wanted = request.options.get(Option.PARAMETER_REQUEST_LIST)
        parameters = {**self._parameters, Option.HOST_NAME: lease.host.name.encode()}
        for code, value in parameters.items():
            if wanted is None or code not in _ON_REQUEST or code in wanted:
                options[code] = value
        options |= self._boot_options(request, lease)
        return self._reply(
            request,
            options,
            flags=request.flags,
            ciaddr=request.ciaddr,
            yiaddr=lease.yiaddr or dhcp4.ZERO,
            siaddr=self._network.address if lease.boot_file else dhcp4.ZERO,
            file=(lease.boot_file or "").encode(),
        )

    def _boot_options(self, request: Message, lease: Lease) -> dict[int, bytes]:
        if not lease.boot_file:
            return {}
        options: dict[int, bytes] = {Option.BOOTFILE_NAME: lease.boot_file.encode()}
        if lease.ipxe:
            return options | {Option.IPXE: ipxe.NO_PROXYDHCP}
        return options | {
            Option.TFTP_SERVER_NAME: str(self._network.address).encode(),
            Option.VENDOR_CLASS: b"PXEClient",
            Option.VENDOR_SPECIFIC: _PXE_BOOT_FILE_ONLY,
        }

    def _reply(
        self,
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


def understand(message: Message) -> DhcpRequest:
    """What a client's message asks. Raises Malformed for what no client may send."""
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
    return options
