"""What other servers say: taken only as an answer to the question, kept as long as it says, never followed anywhere."""

import struct

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.core.dns_cache import OVERHEAD, Bounded
from mayu_py.wire import Malformed, dns
from mayu_py.wire.dns_forward import Reply, ask, scan

QUESTION = b"\x03www\x07example\x03org\0" + b"\0\1\0\1"
NUMBER = 0x1234


def answer(*zone: str, auth: str = "", rcode: int = 0, more: dnslib.RR | None = None) -> bytes:
    record = dnslib.DNSRecord(dnslib.DNSHeader(id=NUMBER, qr=1, ra=1, rcode=rcode), q=dnslib.DNSQuestion("www.example.org"))
    for line in zone:
        record.add_answer(*dnslib.RR.fromZone(line))
    if auth:
        record.add_auth(*dnslib.RR.fromZone(auth))
    if more is not None:
        record.add_ar(more)
    return bytes(record.pack())


A = "www.example.org. 300 IN A 192.0.2.1"
SOA = "example.org. 600 IN SOA ns.example.org. root.example.org. 1 2 3 4 120"


def changed(message: bytes, at: int, value: bytes) -> bytes:
    return message[:at] + value + message[at + len(value) :]


def test_a_question_to_another_server() -> None:
    opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
    assert ask(NUMBER, QUESTION, do=False, cd=False) == struct.pack("!6H", NUMBER, 0x0100, 1, 0, 0, 1) + QUESTION + opt
    assert ask(NUMBER, QUESTION, do=True, cd=True)[2:4] == b"\x01\x10"


def test_an_answer_is_passed_on_in_its_own_bytes() -> None:
    message = answer(A, auth="example.org. 200 IN NS ns.example.org.")
    reply = scan(message, NUMBER, QUESTION)
    assert reply.body.data == message[12 + len(QUESTION) :]
    assert (reply.rcode, reply.truncated, reply.body.counts, reply.lifetime) == (0, False, (1, 1, 0), 200)


def test_the_other_servers_edns_stays_between_the_two() -> None:
    message = answer(A, more=dnslib.EDNS0(udp_len=4096, ext_rcode=0))
    reply = scan(message, NUMBER, QUESTION)
    assert reply.body == scan(answer(A), NUMBER, QUESTION).body
    extended = scan(answer(A, more=dnslib.EDNS0(udp_len=4096, ext_rcode=1)), NUMBER, QUESTION)
    assert extended.rcode == 16


def test_the_spelling_of_the_question_does_not_matter() -> None:
    assert scan(answer(A), NUMBER, QUESTION[:-4].upper() + QUESTION[-4:]).lifetime == 300


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "short"),
        (changed(answer(A), 0, b"\0\0"), "number"),
        (changed(answer(A), 2, b"\x01"), "not-an-answer"),
        (changed(answer(A), 2, b"\xa8"), "not-an-answer"),
        (changed(answer(A), 13, b"WWX"), "question"),
        (changed(answer(A), 4, b"\0\0"), "question"),
        (changed(answer(A), 6, b"\xff\xff"), "counts"),
        (changed(answer(A), 6, b"\0\2"), "truncated"),
        (answer(A)[:-1], "truncated"),
        (changed(answer(A), 12 + len(QUESTION), b"\x7f"), "label-type"),
    ],
)
def test_anything_else_is_no_answer(message: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        scan(message, NUMBER, QUESTION)
    assert caught.value.reason == reason


def test_a_truncated_answer_is_asked_for_again() -> None:
    assert scan(changed(answer(A), 2, b"\x83"), NUMBER, QUESTION) == Reply(0, True, dns.EMPTY)


@pytest.mark.parametrize(
    ("message", "lifetime"),
    [
        (answer(A), 300),
        (answer(A, "www.example.org. 20 IN A 192.0.2.2"), 20),
        (answer("www.example.org. 0 IN A 192.0.2.2"), 0),
        (answer("www.example.org. 900000 IN A 192.0.2.2"), 86400),
        (changed(answer(A), 12 + len(QUESTION) + 6, b"\xff\xff\xff\xff"), 0),
        (answer(auth=SOA, rcode=3), 120),
        (answer(auth=SOA), 120),
        (answer(auth=SOA.replace(" 600 ", " 60 ")), 60),
        (answer(auth=SOA.replace(" 600 ", " 86400 ").replace(" 120", " 86400")), 900),
        (answer("www.example.org. 50 IN CNAME x.example.org.", auth=SOA), 50),
        (answer(), 0),
        (answer(rcode=3), 0),
        (answer(rcode=2), 1),
        (answer(rcode=5), 1),
    ],
)
def test_how_long_an_answer_is_kept(message: bytes, lifetime: int) -> None:
    assert scan(message, NUMBER, QUESTION).lifetime == lifetime


def test_an_answer_that_was_kept_says_how_long_it_is_still_good() -> None:
    reply = scan(answer(A, auth=SOA), NUMBER, QUESTION).aged(100)
    query = dns.parse(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + QUESTION)
    record = dnslib.DNSRecord.parse(dns.reply(query, reply.rcode, dns.RA, reply.body))
    assert [rr.ttl for rr in (*record.rr, *record.auth)] == [200, 500]
    assert record.rr[0].rname == "www.example.org."


@given(st.binary(max_size=400).map(lambda tail: struct.pack("!6H", NUMBER, 0x8180, 1, 3, 2, 1) + QUESTION + tail))
def test_no_answer_does_more_than_be_refused(message: bytes) -> None:
    try:
        reply = scan(message, NUMBER, QUESTION)
    except Malformed:
        return
    assert len(reply.aged(5).body.data) == len(reply.body.data)
    assert reply.body.required <= len(reply.body.data)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 300), st.integers(0, 5), st.integers(0, 8)), max_size=60))
def test_a_bounded_memory_is_never_heavier_than_its_limit_and_never_wrong(steps: list[tuple[int, int, int, int]]) -> None:
    limit = 3 * OVERHEAD
    memory: Bounded[int, tuple[int, int]] = Bounded(limit)
    model: dict[int, tuple[int, int, int]] = {}
    now = 0
    for number, (key, size, wait, life) in enumerate(steps):
        now += wait
        memory.put(key, (key, number), size, now, now + life)
        model[key] = (number, now, now + life)
        assert memory.weight <= limit
        for known, (latest, since, until) in model.items():
            held = memory.get(known, now)
            assert held is None or (held == ((known, latest), now - since) and now < until)
    memory.clear()
    assert (len(memory), memory.weight) == (0, 0)
