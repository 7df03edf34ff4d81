"""TFTP packets and option negotiation: RFC 1350, 2347, 2348, 2349 and 7440.

`parse` takes one datagram and gives one packet; each packet's `pack` is the way back. `negotiate` decides what a server
answers to the options of a read request. The transfer itself is the state machine in `mayu_py.wire.tftp_sender`.

Reasons of `Malformed`: truncated, opcode, unterminated, name, mode, options.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from mayu_py.wire import Malformed

DEFAULT_BLOCK_SIZE = 512
MIN_BLOCK_SIZE = 8
MAX_BLOCK_SIZE = 65464
MAX_TIMEOUT = 255
MAX_WINDOW = 65535
HEADER_SIZE = 4

_HEADER = struct.Struct(">HH")


class Opcode(IntEnum):
    """RFC 1350 section 5; OACK is RFC 2347."""

    RRQ = 1
    WRQ = 2
    DATA = 3
    ACK = 4
    ERROR = 5
    OACK = 6


class ErrorCode(IntEnum):
    """RFC 1350 appendix I; 8 is RFC 2347."""

    UNDEFINED = 0
    NOT_FOUND = 1
    ACCESS_VIOLATION = 2
    DISK_FULL = 3
    ILLEGAL_OPERATION = 4
    UNKNOWN_TID = 5
    FILE_EXISTS = 6
    NO_SUCH_USER = 7
    OPTION_REFUSED = 8


class Mode(StrEnum):
    """Transfer modes of RFC 1350. `mail` is obsolete there and is malformed here."""

    OCTET = "octet"
    NETASCII = "netascii"


@dataclass(frozen=True)
class Request:
    """RRQ or WRQ. The name is bytes, as sent; option names are lower case, values as sent; both are Latin-1 text."""

    opcode: Opcode
    filename: bytes
    mode: Mode = Mode.OCTET
    options: Mapping[str, str] = field(default_factory=dict)

    def pack(self) -> bytes:
        """The datagram."""
        return b"%b%b\0%b\0%b" % (
            struct.pack(">H", self.opcode),
            self.filename,
            self.mode.encode(),
            _pack_options(self.options),
        )


@dataclass(frozen=True)
class Data:
    """One block. `block` is the number on the wire, 0..65535."""

    block: int
    payload: bytes

    def pack(self) -> bytes:
        """The datagram."""
        return _HEADER.pack(Opcode.DATA, self.block) + self.payload


@dataclass(frozen=True)
class Ack:
    """Everything up to `block` (0..65535) has arrived."""

    block: int

    def pack(self) -> bytes:
        """The datagram."""
        return _HEADER.pack(Opcode.ACK, self.block)


@dataclass(frozen=True)
class Error:
    """Ends a transfer. `code` is 0..65535: peers do send codes that no RFC lists."""

    code: int
    message: str = ""

    def pack(self) -> bytes:
        """The datagram."""
        return _HEADER.pack(Opcode.ERROR, self.code) + self.message.encode(errors="replace") + b"\0"


@dataclass(frozen=True)
class OptionAck:
    """The options a server accepts, with their values."""

    options: Mapping[str, str]

    def pack(self) -> bytes:
        """The datagram."""
        return struct.pack(">H", Opcode.OACK) + _pack_options(self.options)


Packet = Request | Data | Ack | Error | OptionAck


def parse(datagram: bytes) -> Packet:
    """One datagram as a packet. Raises Malformed, and nothing else."""
    if len(datagram) < HEADER_SIZE:
        raise Malformed("truncated")
    opcode, number = _HEADER.unpack_from(datagram)
    match opcode:
        case Opcode.ACK:
            return Ack(number)
        case Opcode.DATA:
            return Data(number, datagram[HEADER_SIZE:])
        case Opcode.RRQ | Opcode.WRQ:
            return _parse_request(Opcode(opcode), datagram[2:])
        case Opcode.ERROR:
            # Several ROMs leave out the final NUL, or the message: what counts is the code.
            return Error(number, datagram[HEADER_SIZE:].partition(b"\0")[0].decode(errors="replace"))
        case Opcode.OACK:
            options = _parse_options(_strings(datagram[2:]))
            if not options:
                raise Malformed("options")
            return OptionAck(options)
    raise Malformed("opcode")


def _parse_request(opcode: Opcode, body: bytes) -> Request:
    strings = _strings(body)
    if not strings[0]:
        raise Malformed("name")
    if len(strings) < 2:
        raise Malformed("truncated")
    try:
        mode = Mode(strings[1].decode("latin-1").lower())
    except ValueError:
        raise Malformed("mode") from None
    return Request(opcode, strings[0], mode, _parse_options(strings[2:]))


def _strings(body: bytes) -> list[bytes]:
    """The NUL-terminated strings of a request. There is at least one."""
    *strings, rest = body.split(b"\0")
    if rest:
        raise Malformed("unterminated")
    return strings


def _parse_options(strings: list[bytes]) -> dict[str, str]:
    """Pairs of name and value. Names are case-insensitive; the first of two equal names counts (RFC 2347)."""
    options: dict[str, str] = {}
    for at in range(0, len(strings), 2):
        if not strings[at]:
            break  # Some ROMs pad their requests with NULs.
        if at + 1 == len(strings):
            raise Malformed("options")
        options.setdefault(strings[at].decode("latin-1").lower(), strings[at + 1].decode("latin-1"))
    return options


def _pack_options(options: Mapping[str, str]) -> bytes:
    return "".join(f"{name}\0{value}\0" for name, value in options.items()).encode("latin-1")


@dataclass(frozen=True)
class Limits:
    """The most a server grants. `block_size` in bytes (8..65464), `window` in blocks (1..65535).

    64 blocks of 1468 bytes are 92 KiB, which still fits the receive buffer a Linux client has by default.
    """

    block_size: int = MAX_BLOCK_SIZE
    window: int = 64


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Terms:
    """What a transfer goes by. `timeout` is in seconds, None if not negotiated; `accepted` is the OACK, if any."""

    block_size: int = DEFAULT_BLOCK_SIZE
    window: int = 1
    timeout: int | None = None
    accepted: Mapping[str, str] = field(default_factory=dict)


def negotiate(options: Mapping[str, str], size: int, limits: Limits = DEFAULT_LIMITS) -> Terms:
    """The terms for a read request of a file of `size` bytes.

    blksize and windowsize are lowered to the limits, as RFC 2348 and 7440 allow; timeout is taken as it is or not at
    all (RFC 2349). A value out of range and an option nobody knows are left out of the answer, which refuses them.
    """
    accepted: dict[str, str] = {}
    block_size, window, timeout = DEFAULT_BLOCK_SIZE, 1, None
    for name, text in options.items():
        value = _number(text)
        if value is None:
            continue
        if name == "blksize" and value >= MIN_BLOCK_SIZE:
            block_size = value = min(value, limits.block_size)
        elif name == "windowsize" and 1 <= value <= MAX_WINDOW:
            window = value = min(value, limits.window)
        elif name == "timeout" and 1 <= value <= MAX_TIMEOUT:
            timeout = value
        elif name == "tsize":
            value = size
        else:
            continue
        accepted[name] = str(value)
    return Terms(block_size, window, timeout, accepted)


def _number(text: str) -> int | None:
    """A plain decimal number. The length is bounded because int() raises on thousands of digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


def to_netascii(content: bytes) -> bytes:
    """A Unix text as netascii: LF becomes CR LF, a bare CR becomes CR NUL (RFC 764)."""
    return content.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


def frame_blocks(content: bytes, first: int, count: int, block_size: int) -> bytes:
    """The DATA packets of `count` consecutive blocks laid end to end, the first being block `first` (counted from 1).

    `content` is what the blocks hold together. Packet i starts at i * (4 + block_size); only the last may be short.
    """
    pieces: list[bytes] = []
    for i in range(count):
        pieces.append(_HEADER.pack(Opcode.DATA, (first + i) & 0xFFFF))
        pieces.append(content[i * block_size : (i + 1) * block_size])
    return b"".join(pieces)


def count_blocks(size: int, block_size: int) -> int:
    """How many blocks a file takes. The last is the first that is not full, so it may be empty (RFC 1350 section 6)."""
    return size // block_size + 1
