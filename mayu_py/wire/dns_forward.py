"""Questions to other name servers and their answers: RFC 1035, with what RFC 5452 asks of a resolver that is lied to.

An answer is not decoded but walked through, record by record, and passed on as it is. No pointer is followed, so its cost
is that of its length.
"""

import struct
from dataclasses import dataclass, replace
from typing import Self

from mayu_py.wire import Malformed
from mayu_py.wire.dns import CD, CLASS_IN, DO, HEADER, OPCODE, OPT, QR, RD, TC, UDP_PAYLOAD, Body, Rcode

MOST_RECORDS = 2000
LONGEST_TTL = 86400
LONGEST_NEGATIVE_TTL = 900
# RFC 9520: a failure is remembered too, lest everybody who waits asks at once.
FAILURE_TTL = 1

_RECORD = struct.Struct("!HHIH")
_OPT = struct.Struct("!BHHIH")
_TTL = struct.Struct("!I")
_SOA = 6
_SOA_MINIMUM = 22  # two empty names and five numbers


@dataclass(frozen=True, slots=True)
class Reply:
    """Another server's answer. `ttls` are where the TTLs stand in the body; `lifetime`, in s, is how long it may be kept."""

    rcode: int
    truncated: bool
    body: Body
    ttls: tuple[int, ...] = ()
    lifetime: int = 0

    def aged(self, seconds: int) -> Self:
        """The same after it was kept for some seconds, fewer than its lifetime."""
        if not seconds:
            return self
        data = bytearray(self.body.data)
        for at in self.ttls:
            (ttl,) = _TTL.unpack_from(data, at)
            _TTL.pack_into(data, at, max(0, ttl - seconds))
        return replace(self, body=replace(self.body, data=bytes(data)))


@dataclass(frozen=True, slots=True)
class _Found:
    """One record on the walk. `at` and `end` are of its data; `end` is where the next begins."""

    type: int
    ttl: int
    ttl_at: int
    end: int


def ask(number: int, question: bytes, *, do: bool, cd: bool) -> bytes:
    """A query for another server: recursion desired, EDNS with our own size."""
    opt = _OPT.pack(0, OPT, UDP_PAYLOAD, DO if do else 0, 0)
    return HEADER.pack(number, RD | (CD if cd else 0), 1, 0, 0, 1) + question + opt


def scan(message: bytes, number: int, question: bytes) -> Reply:
    """Read the answer to a question that was asked under this number. Raises Malformed for anything else."""
    if len(message) < HEADER.size:
        raise Malformed("short")
    got, flags, questions, answers, authorities, additionals = HEADER.unpack_from(message)
    if got != number:
        raise Malformed("number")
    if not flags & QR or flags & OPCODE:
        raise Malformed("not-an-answer")
    start = HEADER.size + len(question)
    if questions != 1 or _folded(message[HEADER.size : start]) != _folded(question):
        raise Malformed("question")
    if flags & TC:
        return Reply(flags & 15, True, Body((0, 0, 0), b"", 0))
    if answers + authorities + additionals > MOST_RECORDS:
        raise Malformed("counts")
    return _walk(message, start, (answers, authorities, additionals), flags & 15)


def _folded(question: bytes) -> bytes:
    return question[:-4].lower() + question[-4:]


def _walk(message: bytes, start: int, counts: tuple[int, int, int], rcode: int) -> Reply:
    asked = int.from_bytes(message[start - 4 : start - 2], "big")
    answers, authorities, additionals = counts
    at, required, kept = start, 0, 0
    ttls: list[int] = []
    lifetimes = []
    answered, minimum = False, None
    for number in range(sum(counts)):
        if number == answers + authorities:
            required = at - start
        found = _record(message, at)
        if found.type == OPT:
            # It is for us, not for who asked. What might follow it is left out, for nothing else points behind it.
            rcode |= found.ttl >> 24 << 4
            break
        if number < answers:
            answered |= found.type == asked
        elif number < answers + authorities and found.type == _SOA:
            minimum = int.from_bytes(message[found.end - 4 : found.end], "big")
        ttls.append(found.ttl_at - start)
        lifetimes.append(found.ttl)
        at, kept = found.end, number + 1
    if kept < answers + authorities:
        raise Malformed("opt")
    kept -= answers + authorities
    if not additionals:
        required = at - start
    lifetime = _lifetime(rcode, answered, lifetimes, minimum)
    return Reply(rcode, False, Body((answers, authorities, kept), message[start:at], required), tuple(ttls), lifetime)


def _lifetime(rcode: int, answered: bool, ttls: list[int], minimum: int | None) -> int:
    """RFC 2308, section 5: a negative answer without a SOA is not kept."""
    if rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return FAILURE_TTL
    if rcode == Rcode.NOERROR and answered:
        return min(*ttls, LONGEST_TTL)
    return 0 if minimum is None else min(*ttls, minimum, LONGEST_NEGATIVE_TTL)


def _record(message: bytes, at: int) -> _Found:
    at = _skip_name(message, at)
    try:
        type_, class_, ttl, length = _RECORD.unpack_from(message, at)
    except struct.error as error:
        raise Malformed("truncated") from error
    end = at + _RECORD.size + length
    if end > len(message):
        raise Malformed("truncated")
    if type_ == OPT:
        return _Found(type_, ttl, at + 4, end)
    if class_ != CLASS_IN or (type_ == _SOA and length < _SOA_MINIMUM):
        raise Malformed("record")
    # RFC 2181, section 8: a TTL with its highest bit set is zero.
    return _Found(type_, ttl if ttl < 1 << 31 else 0, at + 4, end)


def _skip_name(message: bytes, at: int) -> int:
    while at < len(message):
        length = message[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            return at + 2
        if length > 63:
            raise Malformed("label-type")
        at += 1 + length
    raise Malformed("truncated")
