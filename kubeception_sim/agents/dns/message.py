"""Queries and answers as bytes: RFC 1035, EDNS(0) of RFC 6891. Pure.

A query is read by hand: a decoder that follows pointers can be led far by them, and a question has no use for one. Answers are
written by dnslib, which compresses names.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import dnslib

from kubeception_sim.agents.dns.zone import TTL, Record, Type, Zone

HEADER = struct.Struct("!6H")
QR, AA, TC, RD, RA, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
OPCODE = 0x7800
CLASS_IN, CLASS_ANY = 1, 255
ANY = 255
OPT = 41
SMALLEST_PAYLOAD = 512
UDP_PAYLOAD = 1232
"""What passes every link without fragments (RFC 9715)."""
TCP_PAYLOAD = 65535
LONGEST_NAME = 255
LONGEST_CHAIN = 8
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_OPT = struct.Struct("!BHHIH")
_REFRESH, _RETRY, _EXPIRE = 7200, 1800, 86400


class Rcode(IntEnum):
    """How a question ended (RFC 1035, section 4.1.1; 16 is RFC 6891's)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Ignored(ValueError):
    """A message that deserves silence: too short to answer, or itself an answer."""


class Faulty(ValueError):
    """A query that is wrong; `reply` says so to who sent it."""

    def __init__(self, rcode: Rcode, message: bytes) -> None:
        super().__init__(rcode.name)
        self.rcode = rcode
        number, flags, *_ = HEADER.unpack_from(message)
        self.reply = HEADER.pack(number, QR | flags & (OPCODE | RD) | rcode, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `spelled` is the name's labels as they came, `name` the same in lower case, with dots.

    Without EDNS, `payload` is 0.
    """

    number: int
    flags: int
    question: bytes
    spelled: tuple[bytes, ...]
    name: str
    type: int
    payload: int = 0
    version: int = 0

    @property
    def udp_limit(self) -> int:
        """The most bytes that a datagram may hold for who asked."""
        return min(UDP_PAYLOAD, max(SMALLEST_PAYLOAD, self.payload))


def parse(message: bytes) -> Query:
    """Read a query. Raises Ignored for what deserves silence, Faulty for what deserves an error."""
    if len(message) < HEADER.size:
        raise Ignored("short")
    number, flags, questions, answers, authorities, additionals = HEADER.unpack_from(message)
    if flags & QR:
        raise Ignored("an answer")
    if flags & OPCODE:
        raise Faulty(Rcode.NOTIMP, message)
    if questions != 1 or answers or authorities or additionals > 2:
        raise Faulty(Rcode.FORMERR, message)
    try:
        labels, end = _labels(message, HEADER.size)
        type_, class_ = _QUESTION.unpack_from(message, end)
        payload, version = _edns(message, end + _QUESTION.size, additionals)
        name = b".".join(labels).decode("ascii").lower()
    except (struct.error, ValueError):
        raise Faulty(Rcode.FORMERR, message) from None
    if class_ not in (CLASS_IN, CLASS_ANY):
        raise Faulty(Rcode.REFUSED, message)
    question = message[HEADER.size : end + _QUESTION.size]
    return Query(number, flags, question, labels, name, type_, payload, version)


def answer(query: Query, zone: Zone, limit: int, turn: int = 0) -> bytes:
    """The answer of a zone that covers the name. `turn` rotates several addresses, so that not all clients take the first."""
    if query.version:
        return reply(query, Rcode.BADVERS, limit=limit)
    found, target, is_known = _chain(query, zone)
    if target is not None and not zone.covers(target):
        return reply(query, Rcode.NOERROR, AA, found, limit=limit)
    if is_known and any(record.rtype == query.type or query.type == ANY for record in found):
        ordered = [*found[:1], *_rotated(found[1:], turn)] if found[0].rtype == Type.CNAME else _rotated(found, turn)
        return reply(query, Rcode.NOERROR, AA, ordered, additional=list(_glue(found, zone)), limit=limit)
    rcode = Rcode.NOERROR if is_known else Rcode.NXDOMAIN
    return reply(query, rcode, AA, found, authority=[soa(zone)], limit=limit)


def alias(query: Query, zone: Zone) -> str:
    """Where a question leads out of the zone, a name without the last dot; empty if it does not."""
    _, target, _ = _chain(query, zone)
    return target if target is not None and not zone.covers(target) else ""


def reply(
    query: Query,
    rcode: int,
    flags: int = 0,
    answers: Iterable[dnslib.RR] = (),
    *,
    authority: Iterable[dnslib.RR] = (),
    additional: Iterable[dnslib.RR] = (),
    limit: int = UDP_PAYLOAD,
) -> bytes:
    """The bytes of an answer, at most `limit`. What does not fit loses its additional records, then all, which TC tells."""
    flags |= QR | query.flags & (RD | CD) | rcode & 15
    opt = _OPT.pack(0, OPT, UDP_PAYLOAD, rcode >> 4 << 24, 0) if query.payload else b""
    sections = [list(answers), list(authority), list(additional)]
    for kept in (sections, [*sections[:2], []]):
        body = _packed(query, kept)
        if len(body) + len(opt) <= limit:
            return _headed(query, flags, [len(each) for each in kept], body, opt)
    return _headed(query, flags | TC, [0, 0, 0], HEADER.pack(*[0] * 6) + query.question, opt)


def label(name: str) -> dnslib.DNSLabel:
    """A name as dnslib wants it, without its way through IDNA, which is slow and refuses what DNS allows."""
    return dnslib.DNSLabel(tuple(name.encode().split(b".")))


def soa(zone: Zone) -> dnslib.RR:
    """The start of authority, which tells how long a name may be remembered as missing (RFC 2308)."""
    times = (zone.serial, _REFRESH, _RETRY, _EXPIRE, TTL)
    data = dnslib.SOA(label(f"ns.dns.{zone.domain}"), label(f"hostmaster.{zone.domain}"), times)
    return dnslib.RR(label(zone.domain), int(Type.SOA), ttl=TTL, rdata=data)


def _labels(message: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    labels, start = [], at
    while length := message[at] if at < len(message) else 64:
        if length > 63 or at + 1 + length > len(message):
            raise ValueError("label")
        label = message[at + 1 : at + 1 + length]
        if b"." in label:
            raise ValueError("a dot in a label")
        labels.append(label)
        at += 1 + length
    if at + 1 - start > LONGEST_NAME:
        raise ValueError("long name")
    return tuple(labels), at + 1


def _edns(message: bytes, at: int, additionals: int) -> tuple[int, int]:
    payload = version = 0
    for _ in range(additionals):
        labels, at = _labels(message, at)
        type_, class_, ttl, length = _RECORD.unpack_from(message, at)
        at += _RECORD.size + length
        if at > len(message) or (type_ == OPT and (labels or payload)):
            raise ValueError("additional")
        if type_ == OPT:
            payload, version = max(SMALLEST_PAYLOAD, class_), ttl >> 16 & 0xFF
    return payload, version


def _chain(query: Query, zone: Zone) -> tuple[list[dnslib.RR], str | None, bool]:
    """The records that answer, the last alias that was followed, and whether the name that it ends with exists."""
    found: list[dnslib.RR] = []
    owner, name, target = dnslib.DNSLabel(query.spelled), query.name, None
    for _ in range(LONGEST_CHAIN):
        entries = zone.names.get(name)
        if entries is None:
            return found, target, False
        if name == zone.domain and query.type in (Type.SOA, ANY):
            found.append(soa(zone))
        aliases = [entry for entry in entries if entry.type is Type.CNAME]
        if not aliases or query.type in (Type.CNAME, ANY):
            found += [_rr(owner, entry) for entry in entries if query.type in (entry.type, ANY)]
            return found, target, True
        found.append(_rr(owner, aliases[0]))
        target = name = aliases[0].data.lower()
        owner = label(aliases[0].data)
    return found, target, True


def _rr(owner: object, entry: Record) -> dnslib.RR:
    match entry.type:
        case Type.SRV:
            data = dnslib.SRV(0, 100, entry.port, label(entry.data))
        case Type.CNAME:
            data = dnslib.CNAME(label(entry.data))
        case Type.PTR:
            data = dnslib.PTR(label(entry.data))
        case Type.NS:
            data = dnslib.NS(label(entry.data))
        case Type.TXT:
            data = dnslib.TXT(entry.data)
        case Type.AAAA:
            data = dnslib.AAAA(entry.data)
        case _:
            data = dnslib.A(entry.data)
    return dnslib.RR(owner, int(entry.type), ttl=TTL, rdata=data)


def _glue(found: Iterable[dnslib.RR], zone: Zone) -> Iterator[dnslib.RR]:
    """The addresses that SRV and NS records lead to, each name once."""
    targets = (record.rdata for record in found if record.rtype in (Type.SRV, Type.NS))
    for target in dict.fromkeys(str(data.target if isinstance(data, dnslib.SRV) else data.label).rstrip(".") for data in targets):
        for entry in zone.names.get(target.lower(), ()):
            if entry.type in (Type.A, Type.AAAA):
                yield _rr(label(target), entry)


def _rotated(found: list[dnslib.RR], turn: int) -> list[dnslib.RR]:
    start = turn % len(found) if found else 0
    return found[start:] + found[:start]


def _packed(query: Query, sections: list[list[dnslib.RR]]) -> bytes:
    buffer = dnslib.DNSBuffer()
    buffer.append(HEADER.pack(*[0] * 6))
    dnslib.DNSQuestion(dnslib.DNSLabel(query.spelled), query.type, CLASS_IN).pack(buffer)
    for section in sections:
        for record in section:
            record.pack(buffer)
    return bytes(buffer.data)


def _headed(query: Query, flags: int, counts: list[int], body: bytes, opt: bytes) -> bytes:
    answers, authorities, additionals = counts
    head = HEADER.pack(query.number, flags, 1, answers, authorities, additionals + bool(opt))
    # The question goes back as it came, byte for byte: some check the spelling of the name.
    return head + query.question + body[HEADER.size + len(query.question) :] + opt
