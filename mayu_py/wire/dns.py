"""DNS messages as a server reads and writes them: RFC 1035, EDNS(0) of RFC 6891, sizes of RFC 9715.

A query is read by hand, in one pass that ends with its bytes: a decoder that follows compression pointers can be led far
by them, and a question has no use for one. Answers are written by dnslib, which compresses names.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import dnslib

from mayu_py.wire import Malformed

Name = tuple[bytes, ...]
Record = tuple[Name, int, int, tuple[bytes | int | Name, ...]]
"""Owner, type, TTL, and the fields of the record's data."""

PORT = 53
HEADER = struct.Struct("!6H")
QR, AA, TC, RD, RA, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
OPCODE = 0x7800
CLASS_IN = 1
OPT = 41
DO = 0x8000

SMALLEST_PAYLOAD = 512
UDP_PAYLOAD = 1232
"""What passes every link without fragments (RFC 9715): what we say we take, and the most we send in a datagram."""
TCP_PAYLOAD = 65535

_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_OPT = struct.Struct("!BHHIH")
_PLAIN_OPT = b"\0\0\x29"  # the root's name, and the type
_LONGEST_NAME = 255
# An OPT and a signature; nothing else belongs behind a question.
_MOST_ADDITIONAL = 2


class Rcode(IntEnum):
    """How a question ended (RFC 1035, section 4.1.1; 16 is RFC 6891's)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Faulty(Malformed):
    """A query that is wrong, but tells enough to say so: `reply` goes back to who sent it."""

    def __init__(self, reason: str, rcode: Rcode, query: bytes) -> None:
        super().__init__(reason)
        self.rcode = rcode
        number, flags, *_ = HEADER.unpack_from(query)
        self.reply = HEADER.pack(number, QR | flags & (OPCODE | RD) | rcode, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Edns:
    """What the OPT record of a query says. `payload` is at least 512; options are not looked at."""

    payload: int
    version: int
    do: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `question` are its bytes as they came, for the answer must repeat the spelling; `name` is lower-case."""

    number: int
    flags: int
    question: bytes
    name: Name
    type: int
    class_: int
    edns: Edns | None

    @property
    def key(self) -> bytes:
        """The question in lower case. Label lengths lie below the letters; type and class need not."""
        return self.question[:-4].lower() + self.question[-4:]


@dataclass(frozen=True, slots=True)
class Body:
    """The records behind a question. The first `required` bytes of `data` hold all but the additional ones."""

    counts: tuple[int, int, int]
    data: bytes
    required: int


EMPTY = Body((0, 0, 0), b"", 0)


def parse(message: bytes) -> Query:
    """Read a query. Raises Faulty for what deserves an error, any other Malformed for what deserves silence."""
    if len(message) < HEADER.size:
        raise Malformed("short")
    number, flags, questions, answers, authorities, additionals = HEADER.unpack_from(message)
    if flags & QR:
        raise Malformed("response")
    if flags & OPCODE:
        raise Faulty("opcode", Rcode.NOTIMP, message)
    if questions != 1 or answers or authorities or additionals > _MOST_ADDITIONAL:
        raise Faulty("counts", Rcode.FORMERR, message)
    try:
        labels, end = _name(message, HEADER.size)
        type_, class_ = _QUESTION.unpack_from(message, end)
        question = message[HEADER.size : end + _QUESTION.size]
        edns = _edns(message, end + _QUESTION.size, additionals)
    except struct.error:
        raise Faulty("truncated", Rcode.FORMERR, message) from None
    except Malformed as error:
        raise Faulty(error.reason, Rcode.FORMERR, message) from None
    return Query(number, flags, question, labels, type_, class_, edns)


def _name(message: bytes, at: int) -> tuple[Name, int]:
    """A name without compression, in lower case, and where it ends."""
    labels = []
    start = at
    while at < len(message) and (length := message[at]):
        if length > 63:
            raise Malformed("pointer" if length >= 0xC0 else "label-type")
        labels.append(message[at + 1 : at + 1 + length].lower())
        at += 1 + length
    if at >= len(message):
        raise Malformed("truncated")
    if at + 1 - start > _LONGEST_NAME:
        raise Malformed("long-name")
    return tuple(labels), at + 1


def _edns(message: bytes, at: int, count: int) -> Edns | None:
    """The OPT record among the additional ones (RFC 6891, section 6.1)."""
    if count == 1 and len(message) == at + _OPT.size and message.startswith(_PLAIN_OPT, at) and message.endswith(b"\0\0"):
        # Nearly every query has one without options.
        _, _, payload, extended, _ = _OPT.unpack_from(message, at)
        return Edns(max(payload, SMALLEST_PAYLOAD), extended >> 16 & 0xFF, bool(extended & DO))
    edns = None
    for _ in range(count):
        labels, at = _name(message, at)
        type_, payload, extended, length = _RECORD.unpack_from(message, at)
        at += _RECORD.size + length
        if at > len(message):
            raise Malformed("truncated")
        if type_ == OPT:
            if edns is not None or labels:
                raise Malformed("opt")
            _check_options(message[at - length : at])
            edns = Edns(max(payload, SMALLEST_PAYLOAD), extended >> 16 & 0xFF, bool(extended & DO))
    if at != len(message):
        raise Malformed("trailing")
    return edns


def _check_options(options: bytes) -> None:
    at = 0
    while at < len(options):
        if at + 4 > len(options):
            raise Malformed("opt")
        at += 4 + int.from_bytes(options[at + 2 : at + 4], "big")
    if at > len(options):
        raise Malformed("opt")


class _Near(dict[Name, int]):
    """Where names stand, for later pointers to them, which have 14 bits; dnslib does not look how far it points."""

    def __setitem__(self, name: Name, at: int) -> None:
        if at < 1 << 14:
            super().__setitem__(name, at)


def body(length: int, shared: Name, answer: Sequence[Record], authority: Sequence[Record], additional: Sequence[Record]) -> Body:
    """Write the records that answer any question of that many bytes whose name is, or ends in, `shared`."""
    buffer = dnslib.DNSBuffer()
    buffer.append(bytes(HEADER.size + length))
    # Pointers into the question are all that other records need of it; before its type and class stands the root.
    buffer.names = _Near()
    at = HEADER.size + length - _QUESTION.size - 1
    for labels in range(1, len(shared) + 1):
        at -= 1 + len(shared[-labels])
        buffer.names[shared[-labels:]] = at
    start = len(buffer.data)
    for record in (*answer, *authority):
        _record(record).pack(buffer)
    required = len(buffer.data) - start
    for record in additional:
        _record(record).pack(buffer)
    return Body((len(answer), len(authority), len(additional)), bytes(buffer.data[start:]), required)


def _record(record: Record) -> Any:
    owner, type_, ttl, data = record
    return dnslib.RR(dnslib.DNSLabel(owner), type_, CLASS_IN, ttl, _RDATA[type_](*data))


def _address(packed: bytes) -> Any:
    return dnslib.A(tuple(packed))


def _soa(mname: Name, rname: Name, *times: int) -> Any:
    return dnslib.SOA(dnslib.DNSLabel(mname), dnslib.DNSLabel(rname), times)


def _hinfo(*texts: bytes) -> Any:
    return dnslib.RD(b"".join(bytes((len(text),)) + text for text in texts))


_RDATA: dict[int, Any] = {
    1: _address,
    2: lambda name: dnslib.NS(dnslib.DNSLabel(name)),
    5: lambda name: dnslib.CNAME(dnslib.DNSLabel(name)),
    6: _soa,
    12: lambda name: dnslib.PTR(dnslib.DNSLabel(name)),
    13: _hinfo,
    33: lambda priority, weight, port, name: dnslib.SRV(priority, weight, port, dnslib.DNSLabel(name)),
}


def reply(query: Query, rcode: int, flags: int = 0, body: Body = EMPTY, *, limit: int = UDP_PAYLOAD) -> bytes:
    """The answer to a query. `flags` are AA and RA as the server decides; `limit` is the most bytes that may be sent.

    What does not fit loses its additional records, then all of them, which TC tells (RFC 2181, section 9).
    """
    room = limit - HEADER.size - len(query.question)
    opt = b""
    if query.edns is not None:
        opt = _OPT.pack(0, OPT, UDP_PAYLOAD, rcode >> 4 << 24 | (DO if query.edns.do else 0), 0)
        room -= len(opt)
    (answers, authorities, additionals), data = body.counts, body.data
    if len(data) > room:
        data, additionals = data[: body.required], 0
        if len(data) > room:
            data, answers, authorities, flags = b"", 0, 0, flags | TC
    flags |= QR | query.flags & (RD | CD) | rcode & 15
    header = HEADER.pack(query.number, flags, 1, answers, authorities, additionals + bool(opt))
    return header + query.question + data + opt


def udp_limit(query: Query) -> int:
    """The most bytes that a datagram may hold for who asked."""
    return SMALLEST_PAYLOAD if query.edns is None else min(query.edns.payload, UDP_PAYLOAD)
