"""DNS messages: whole answers as another codec reads them, and queries that are none."""

import struct

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.wire import Malformed, dns
from mayu_py.wire.dns import AA, RA, RD, TC, Body, Edns, Faulty, Query, Rcode

RACK = (b"rack", b"example")
NODE = (b"node-1", *RACK)
NODE_QUESTION = b"\x06node-1\x04rack\x07example\0" + b"\0\1\0\1"
SOA: dns.Record = (RACK, 6, 5, ((b"ns", *RACK), (b"hostmaster", *RACK), 7, 3600, 600, 604800, 5))


def query(question: bytes = NODE_QUESTION, *, flags: int = RD, counts: tuple[int, int, int, int] = (1, 0, 0, 0)) -> bytes:
    return struct.pack("!6H", 0x1234, flags, *counts) + question


def opt(payload: int = 4096, version: int = 0, flags: int = 0, options: bytes = b"", owner: bytes = b"\0") -> bytes:
    return owner + struct.pack("!HHBBHH", 41, payload, 0, version, flags, len(options)) + options


def edns(*records: bytes) -> bytes:
    return query(counts=(1, 0, 0, len(records))) + b"".join(records)


def test_a_query_is_read_in_lower_case_and_kept_as_it_was_written() -> None:
    written = b"\x06NoDe-1\x04RACK\x07example\0" + b"\0\1\0\1"
    asked = dns.parse(query(written))
    assert asked == Query(0x1234, RD, written, NODE, 1, 1, None)
    assert asked.key == NODE_QUESTION


def test_types_that_look_like_letters_are_left_alone() -> None:
    https = NODE_QUESTION[:-4] + b"\0\x41\0\1"
    assert dns.parse(query(https)).key == https


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (edns(opt()), Edns(4096, 0, False)),
        (edns(opt(flags=0x8000)), Edns(4096, 0, True)),
        (edns(opt(payload=100)), Edns(512, 0, False)),
        (edns(opt(version=1)), Edns(4096, 1, False)),
        (edns(opt(options=b"\0\x0a\0\x08cookieis\xff\xff\0\0")), Edns(4096, 0, False)),
    ],
)
def test_edns_is_read_and_its_options_are_not(message: bytes, expected: Edns) -> None:
    assert dns.parse(message).edns == expected


@pytest.mark.parametrize(
    ("message", "reason"),
    [(b"", "short"), (query()[:11], "short"), (query(flags=0x8000), "response"), (query(flags=0xF800), "response")],
)
def test_what_is_no_query_gets_no_answer(message: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        dns.parse(message)
    assert type(caught.value) is Malformed
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("message", "reason", "rcode"),
    [
        (query(flags=0x2000), "opcode", Rcode.NOTIMP),
        (query(flags=0x2800), "opcode", Rcode.NOTIMP),
        (query(counts=(0, 0, 0, 0)), "counts", Rcode.FORMERR),
        (query(NODE_QUESTION * 2, counts=(2, 0, 0, 0)), "counts", Rcode.FORMERR),
        (query(counts=(65535, 0, 0, 0)), "counts", Rcode.FORMERR),
        (query(counts=(1, 1, 0, 0)), "counts", Rcode.FORMERR),
        (query(counts=(1, 0, 1, 0)), "counts", Rcode.FORMERR),
        (query(counts=(1, 0, 0, 65535)), "counts", Rcode.FORMERR),
        (query(b""), "truncated", Rcode.FORMERR),
        (query(NODE_QUESTION[:-1]), "truncated", Rcode.FORMERR),
        (query(NODE_QUESTION[:-5]), "truncated", Rcode.FORMERR),
        (query(NODE_QUESTION + b"\0"), "trailing", Rcode.FORMERR),
        (query(b"\xc0\x0c\0\1\0\1"), "pointer", Rcode.FORMERR),
        (query(b"\x01a\xc0\x0c\0\1\0\1"), "pointer", Rcode.FORMERR),
        (query(b"\xff\xff\0\1\0\1"), "pointer", Rcode.FORMERR),
        (query(b"\x40" + b"a" * 64 + b"\0\0\1\0\1"), "label-type", Rcode.FORMERR),
        (query((b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1"), "long-name", Rcode.FORMERR),
        (query(b"\x01a" * 128 + b"\0\0\1\0\1"), "long-name", Rcode.FORMERR),
        (edns(opt(), opt()), "opt", Rcode.FORMERR),
        (edns(opt(owner=b"\x01a\0")), "opt", Rcode.FORMERR),
        (edns(opt(options=b"\0\x0a\0\x09cookieis")), "opt", Rcode.FORMERR),
        (edns(opt(options=b"\0\x0a\0")), "opt", Rcode.FORMERR),
        (edns(opt()[:-1]), "truncated", Rcode.FORMERR),
        (edns(opt(options=b"12345678")[:-1]), "truncated", Rcode.FORMERR),
    ],
)
def test_what_is_a_wrong_query_is_told_so_and_nothing_else(message: bytes, reason: str, rcode: Rcode) -> None:
    with pytest.raises(Faulty) as caught:
        dns.parse(message)
    assert (caught.value.reason, caught.value.rcode) == (reason, rcode)
    flags = struct.unpack_from("!H", message, 2)[0]
    assert caught.value.reply == struct.pack("!6H", 0x1234, 0x8000 | flags & 0x7900 | rcode, 0, 0, 0, 0)


def test_a_name_of_255_bytes_is_the_longest() -> None:
    labels = (b"a" * 63,) * 3 + (b"a" * 61,)
    written = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    assert len(written) == 255
    asked = dns.parse(query(written + b"\0\1\0\1"))
    assert asked.name == labels
    assert len(dns.reply(asked, Rcode.NXDOMAIN, AA, dns.body(len(asked.question), asked.name, (), (SOA,), ()))) < 512


@given(st.binary(max_size=300) | st.binary(max_size=120).map(lambda tail: query(tail)))
def test_no_bytes_do_more_than_be_refused(message: bytes) -> None:
    try:
        asked = dns.parse(message)
    except Malformed:
        return
    assert message.startswith(struct.pack("!H", asked.number))
    assert message[12:].startswith(asked.question)


def read(message: bytes) -> list[str]:
    """What dig would print, by another reader than the one that wrote it."""
    record = dnslib.DNSRecord.parse(message)
    sections = (record.rr, record.auth, record.ar)
    return [" ".join(str(rr).split()) for section in sections for rr in section if rr.rtype != 41]


def test_a_whole_answer_with_every_type_of_record() -> None:
    asked = dns.parse(query())
    records: list[dns.Record] = [
        (NODE, 1, 60, (bytes((10, 77, 0, 11)),)),
        (NODE, 2, 60, ((b"ns", *RACK),)),
        (NODE, 5, 60, ((b"other", *RACK),)),
        (NODE, 12, 60, (NODE,)),
        (NODE, 13, 3600, (b"RFC8482", b"")),
        (NODE, 33, 60, (0, 0, 2380, NODE)),
    ]
    body = dns.body(len(NODE_QUESTION), NODE, records, (SOA,), (((b"ns", *RACK), 1, 60, (bytes((10, 77, 0, 1)),)),))
    answer = dns.reply(asked, Rcode.NOERROR, AA | RA, body)
    assert answer[:12] == struct.pack("!6H", 0x1234, 0x8580, 1, 6, 1, 1)
    assert read(answer) == [
        "node-1.rack.example. 60 IN A 10.77.0.11",
        "node-1.rack.example. 60 IN NS ns.rack.example.",
        "node-1.rack.example. 60 IN CNAME other.rack.example.",
        "node-1.rack.example. 60 IN PTR node-1.rack.example.",
        "node-1.rack.example. 3600 IN HINFO \\# 9 075246433834383200",
        "node-1.rack.example. 60 IN SRV 0 0 2380 node-1.rack.example.",
        "rack.example. 5 IN SOA ns.rack.example. hostmaster.rack.example. 7 3600 600 604800 5",
        "ns.rack.example. 60 IN A 10.77.0.1",
    ]


def test_the_bytes_of_a_plain_answer() -> None:
    body = dns.body(len(NODE_QUESTION), NODE, [(NODE, 1, 60, (bytes((10, 77, 0, 11)),))], (), ())
    answer = dns.reply(dns.parse(query()), Rcode.NOERROR, AA, body)
    record = b"\xc0\x0c" + b"\0\1\0\1" + b"\0\0\0\x3c" + b"\0\4" + bytes((10, 77, 0, 11))
    assert answer == b"\x12\x34\x85\0\0\1\0\1\0\0\0\0" + NODE_QUESTION + record


def test_an_answer_repeats_the_spelling_of_its_question() -> None:
    written = b"\x06NoDe-1\x04RACK\x07example\0" + b"\0\1\0\1"
    body = dns.body(len(NODE_QUESTION), NODE, [(NODE, 1, 60, (bytes(4),))], (SOA,), ())
    answer = dns.reply(dns.parse(query(written)), Rcode.NOERROR, AA, body)
    assert read(answer)[0] == "NoDe-1.RACK.example. 60 IN A 0.0.0.0"


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=3))
def test_one_negative_answer_fits_every_name_of_its_length(labels: list[bytes]) -> None:
    written = b"".join(bytes((len(label),)) + label for label in labels) + b"\x04rack\x07example\0" + b"\0\1\0\1"
    body = dns.body(len(written), RACK, (), (SOA,), ())
    answer = dns.reply(dns.parse(query(written)), Rcode.NXDOMAIN, AA, body)
    apex = 0xC00C + len(written) - len(b"\x04rack\x07example\0" + b"\0\1\0\1")
    names = b"\x02ns" + struct.pack("!H", apex) + b"\x0ahostmaster" + struct.pack("!H", apex)
    data = names + struct.pack("!5I", *SOA[3][2:])
    record = struct.pack("!HHHIH", apex, 6, 1, 5, len(data)) + data
    assert answer == struct.pack("!6H", 0x1234, 0x8503, 1, 0, 1, 0) + written + record


@pytest.mark.parametrize(
    ("version", "rcode", "flags", "expected"),
    [
        (0, Rcode.NOERROR, 0, b"\0\0\x29\x04\xd0\0\0\0\0\0\0"),
        (0, Rcode.NOERROR, 0x8000, b"\0\0\x29\x04\xd0\0\0\x80\0\0\0"),
        (1, Rcode.BADVERS, 0, b"\0\0\x29\x04\xd0\1\0\0\0\0\0"),
    ],
)
def test_who_speaks_edns_is_answered_in_edns(version: int, rcode: Rcode, flags: int, expected: bytes) -> None:
    answer = dns.reply(dns.parse(edns(opt(version=version, flags=flags))), rcode)
    assert answer == struct.pack("!6H", 0x1234, 0x8100, 1, 0, 0, 1) + NODE_QUESTION + expected


BODY = Body((2, 1, 1), b"a" * 400 + b"b" * 200, 400)
SPACE = 12 + len(NODE_QUESTION)


@pytest.mark.parametrize(
    ("limit", "flags", "counts", "length"),
    [
        (SPACE + 600, 0, (2, 1, 1), 600),
        (SPACE + 599, 0, (2, 1, 0), 400),
        (SPACE + 400, 0, (2, 1, 0), 400),
        (SPACE + 399, TC, (0, 0, 0), 0),
    ],
)
def test_what_does_not_fit_is_left_out_and_told(limit: int, flags: int, counts: tuple[int, ...], length: int) -> None:
    answer = dns.reply(dns.parse(query()), Rcode.NOERROR, 0, BODY, limit=limit)
    assert answer[:12] == struct.pack("!6H", 0x1234, 0x8100 | flags, 1, *counts)
    assert len(answer) == SPACE + length


@given(st.integers(0, 70000), st.sampled_from([query(), edns(opt()), edns(opt(100))]), st.integers(0, 800))
def test_an_answer_is_never_longer_than_it_may_be(limit: int, message: bytes, size: int) -> None:
    asked = dns.parse(message)
    answer = dns.reply(asked, Rcode.NOERROR, 0, Body((1, 0, 0), b"x" * size, size // 2), limit=limit)
    assert len(answer) <= max(limit, SPACE + 11)


@pytest.mark.parametrize(
    ("message", "limit"),
    [(query(), 512), (edns(opt(0)), 512), (edns(opt(800)), 800), (edns(opt(1232)), 1232), (edns(opt(65535)), 1232)],
)
def test_a_datagram_is_as_large_as_the_client_and_the_network_take(message: bytes, limit: int) -> None:
    assert dns.udp_limit(dns.parse(message)) == limit


def test_names_far_behind_in_a_long_message_are_not_pointed_to() -> None:
    many = [((f"n{number}".encode(), *RACK), 1, 60, (bytes(4),)) for number in range(1500)]
    body = dns.body(len(NODE_QUESTION), NODE, many + many, (), ())
    answer = dns.reply(dns.parse(query()), Rcode.NOERROR, 0, body, limit=65535)
    assert [line.split(".")[0] for line in read(answer)] == [f"n{number}" for number in range(1500)] * 2


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3))
def test_labels_of_any_bytes_can_be_answered(labels: list[bytes]) -> None:
    written = b"".join(bytes((len(label),)) + label for label in labels) + b"\x04rack\x07example\0"
    asked = dns.parse(query(written + b"\0\1\0\1"))
    body = dns.body(len(asked.question), asked.name, [(asked.name, 1, 60, (bytes(4),))], (), ())
    answer = dns.reply(asked, Rcode.NOERROR, 0, body)
    assert answer[12:] == asked.question + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes(4)
