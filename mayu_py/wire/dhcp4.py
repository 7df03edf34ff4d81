"""DHCPv4 messages: bytes to values and back (RFC 2131, options RFC 2132, long options RFC 3396)."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network

from mayu_py.wire import Malformed

CLIENT_PORT = 68
SERVER_PORT = 67
BINL_PORT = 4011  # where a PXE client asks a ProxyDHCP server for more (PXE 2.1, section 2.2.3)
BROADCAST_FLAG = 0x8000
MINIMUM_LENGTH = 300  # BOOTP relays drop anything shorter (RFC 1542, section 2.1).

_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_MAGIC = b"\x63\x82\x53\x63"
SNAME_AT, FILE_AT = 44, 108
OPTIONS_AT = _HEADER.size + len(_MAGIC)
ZERO = IPv4Address(0)
BROADCAST = IPv4Address("255.255.255.255")

# Addresses repeat from packet to packet (0.0.0.0, the server's own), and building one costs more than finding it.
_address = lru_cache(maxsize=4096)(IPv4Address)


class Op(IntEnum):
    """The `op` field: who speaks."""

    BOOTREQUEST = 1
    BOOTREPLY = 2


class MessageType(IntEnum):
    """Option 53 (RFC 2132, section 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    """The options mayu reads or writes, by their names in the IANA registry."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTER = 3
    DOMAIN_NAME_SERVER = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    BROADCAST_ADDRESS = 28
    NTP_SERVERS = 42
    VENDOR_SPECIFIC = 43
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_IDENTIFIER = 54
    PARAMETER_REQUEST_LIST = 55
    MESSAGE = 56
    MAXIMUM_MESSAGE_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    VENDOR_CLASS = 60
    CLIENT_IDENTIFIER = 61
    TFTP_SERVER_NAME = 66
    BOOTFILE_NAME = 67
    USER_CLASS = 77
    RELAY_AGENT_INFORMATION = 82
    CLIENT_ARCHITECTURE = 93
    CLIENT_INTERFACE = 94
    CLIENT_UUID = 97
    DOMAIN_SEARCH = 119
    CLASSLESS_STATIC_ROUTE = 121
    IPXE = 175
    END = 255


@dataclass(frozen=True, slots=True)
class Message:
    """One DHCP message. Addresses are IPv4Address, `chaddr` has `hlen` bytes, `options` maps code to raw value.

    `sname` and `file` are the NUL-terminated fields without their padding; where option 52 overloads them with
    options, `parse` has moved those into `options` and leaves the fields empty.
    """

    op: Op
    xid: int
    chaddr: bytes
    options: Mapping[int, bytes] = field(default_factory=dict)
    htype: int = 1
    hops: int = 0
    secs: int = 0
    flags: int = 0
    ciaddr: IPv4Address = ZERO
    yiaddr: IPv4Address = ZERO
    siaddr: IPv4Address = ZERO
    giaddr: IPv4Address = ZERO
    sname: bytes = b""
    file: bytes = b""

    @property
    def type(self) -> MessageType:
        """Option 53. Raises Malformed when it is absent, as in BOOTP, or unknown."""
        raw = self.options.get(Option.MESSAGE_TYPE)
        if raw is None:
            raise Malformed("bootp")
        if len(raw) != 1 or not 1 <= raw[0] <= 8:
            raise Malformed("message-type")
        return MessageType(raw[0])

    @property
    def broadcast(self) -> bool:
        """Whether the client asks for a broadcast reply (RFC 2131, section 4.1)."""
        return bool(self.flags & BROADCAST_FLAG)


def parse(datagram: bytes) -> Message:
    """Read one datagram. Raises Malformed with the reason; never anything else."""
    if len(datagram) < OPTIONS_AT:
        raise Malformed("truncated")
    op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file = _HEADER.unpack_from(datagram)
    if datagram[_HEADER.size : OPTIONS_AT] != _MAGIC:
        raise Malformed("no-magic-cookie")
    if op not in (1, 2):
        raise Malformed("op")
    if hlen > 16:
        raise Malformed("hlen")
    options: dict[int, bytes] = {}
    _read_options(datagram, OPTIONS_AT, options)
    overload = options.get(Option.OVERLOAD, b"\0")
    if overload not in (b"\0", b"\1", b"\2", b"\3"):
        raise Malformed("overload")
    # RFC 2131, section 4.1: `file` is read before `sname`.
    if overload[0] & 1:
        _read_options(file, 0, options)
        file = b""
    if overload[0] & 2:
        _read_options(sname, 0, options)
        sname = b""
    return Message(
        op=Op.BOOTREQUEST if op == 1 else Op.BOOTREPLY,
        xid=xid,
        chaddr=chaddr[:hlen],
        options=options,
        htype=htype,
        hops=hops,
        secs=secs,
        flags=flags,
        ciaddr=_address(ciaddr),
        yiaddr=_address(yiaddr),
        siaddr=_address(siaddr),
        giaddr=_address(giaddr),
        sname=sname.split(b"\0", 1)[0],
        file=file.split(b"\0", 1)[0],
    )


def _read_options(data: bytes, at: int, into: dict[int, bytes]) -> None:
    """Read options up to END. An option that occurs again continues the earlier one (RFC 3396, section 7)."""
    end = len(data)
    while at < end:
        code = data[at]
        if code == Option.PAD:
            at += 1
            continue
        if code == Option.END:
            return
        if at + 1 >= end:
            raise Malformed("option-without-length")
        stop = at + 2 + data[at + 1]
        if stop > end:
            raise Malformed("option-overruns")
        value = data[at + 2 : stop]
        into[code] = into[code] + value if code in into else value
        at = stop
    # A missing END is forgiven, as every server in the field does: the datagram's own end is one.


def build(message: Message) -> bytes:
    """Write one datagram, padded to 300 bytes. Raises ValueError when a field does not fit its place on the wire."""
    if len(message.sname) > 63 or len(message.file) > 127 or len(message.chaddr) > 16:
        raise ValueError("sname, file or chaddr is longer than its field")
    header = _HEADER.pack(
        message.op,
        message.htype,
        len(message.chaddr),
        message.hops,
        message.xid,
        message.secs,
        message.flags,
        message.ciaddr.packed,
        message.yiaddr.packed,
        message.siaddr.packed,
        message.giaddr.packed,
        message.chaddr,
        message.sname,
        message.file,
    )
    datagram = header + _MAGIC + encode_options(message.options) + b"\xff"
    return datagram.ljust(MINIMUM_LENGTH, b"\0")


def encode_options(options: Mapping[int, bytes]) -> bytes:
    """Encode options in their order; a value over 255 bytes is split (RFC 3396, section 5)."""
    out = bytearray()
    for code, value in options.items():
        if not 0 < code < 255:
            raise ValueError(f"{code} is no option code")
        for start in range(0, len(value) or 1, 255):
            chunk = value[start : start + 255]
            out.append(code)
            out.append(len(chunk))
            out += chunk
    return bytes(out)


def classless_routes(routes: Iterable[tuple[IPv4Network, IPv4Address]]) -> bytes:
    """Option 121 (RFC 3442): the width of each prefix, as many of its octets as matter, and the router."""
    return b"".join(
        bytes((net.prefixlen,)) + net.network_address.packed[: (net.prefixlen + 7) // 8] + router.packed for net, router in routes
    )


def domain_search(domains: Iterable[str]) -> bytes:
    """Option 119 (RFC 3397): names as DNS writes them. Not compressed: the RFC allows it to be left, and clients get it wrong.

    Raises ValueError for a label that is empty or longer than 63 bytes.
    """
    out = bytearray()
    for domain in domains:
        for label in domain.rstrip(".").split("."):
            raw = label.encode("idna") if label else b""
            if not 0 < len(raw) < 64:
                raise ValueError(f"{domain!r} is no domain name")
            out += bytes((len(raw),)) + raw
        out.append(0)
    return bytes(out)


def destination(request: Message, reply_type: MessageType, yiaddr: IPv4Address) -> tuple[IPv4Address, int]:
    """Where a reply goes (RFC 2131, section 4.1): relay, client's own address, broadcast, or the address it is given.

    The last needs the sender to know the client's hardware address already: the client cannot answer ARP yet.
    """
    if request.giaddr != ZERO:
        return request.giaddr, SERVER_PORT
    if reply_type is MessageType.NAK:
        return BROADCAST, CLIENT_PORT
    if request.ciaddr != ZERO:
        return request.ciaddr, CLIENT_PORT
    if request.broadcast or yiaddr == ZERO:
        return BROADCAST, CLIENT_PORT
    return yiaddr, CLIENT_PORT
