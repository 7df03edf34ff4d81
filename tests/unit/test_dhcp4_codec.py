"""The DHCPv4 codec: RFC 2131, RFC 2132, RFC 3396; scapy is the second opinion."""

from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP

from mayu_py.wire import Malformed, dhcp4
from mayu_py.wire.dhcp4 import Message, MessageType, Op, Option, classless_routes, domain_search

ADDRESS = st.integers(0, 2**32 - 1).map(IPv4Address)
TEXT = st.binary(max_size=60).map(lambda raw: raw.replace(b"\0", b"x"))
# PAD, OVERLOAD and END are the codec's own.
CODES = st.integers(1, 254).filter(lambda code: code != Option.OVERLOAD)

MESSAGES = st.builds(
    Message,
    op=st.sampled_from(Op),
    xid=st.integers(0, 2**32 - 1),
    chaddr=st.binary(max_size=16),
    options=st.dictionaries(CODES, st.binary(max_size=600), max_size=12),
    htype=st.integers(0, 255),
    hops=st.integers(0, 255),
    secs=st.integers(0, 65535),
    flags=st.integers(0, 65535),
    ciaddr=ADDRESS,
    yiaddr=ADDRESS,
    siaddr=ADDRESS,
    giaddr=ADDRESS,
    sname=TEXT,
    file=TEXT,
)


def discover(options: Mapping[int, bytes] | None = None, **fields: Any) -> Message:
    return Message(op=Op.BOOTREQUEST, xid=7, chaddr=bytes(6), options={53: b"\1"} if options is None else options, **fields)


@given(MESSAGES)
def test_what_is_built_is_parsed_back(message: Message) -> None:
    assert dhcp4.parse(dhcp4.build(message)) == message


@given(st.binary(max_size=700))
def test_any_bytes_are_a_message_or_malformed(datagram: bytes) -> None:
    with suppress(Malformed):
        dhcp4.parse(datagram)


@given(MESSAGES, st.data())
def test_a_cut_or_changed_message_is_a_message_or_malformed(message: Message, data: st.DataObject) -> None:
    raw = bytearray(dhcp4.build(message))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    with suppress(Malformed):
        dhcp4.parse(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


def test_scapy_reads_what_is_built() -> None:
    raw = dhcp4.build(
        Message(
            op=Op.BOOTREPLY,
            xid=0x1234,
            chaddr=bytes.fromhex("525400000001"),
            yiaddr=IPv4Address("10.77.0.11"),
            siaddr=IPv4Address("10.77.0.1"),
            file=b"undionly.kpxe",
            options={53: b"\2", 54: b"\x0a\x4d\0\1", 51: (3600).to_bytes(4, "big"), 66: b"10.77.0.1"},
        )
    )
    read = BOOTP(raw)
    assert (read.op, read.xid, read.yiaddr, read.siaddr) == (2, 0x1234, "10.77.0.11", "10.77.0.1")
    assert read.file.rstrip(b"\0") == b"undionly.kpxe"
    options: dict[str, Any] = dict(option[:2] for option in read[DHCP].options if isinstance(option, tuple))
    assert options["message-type"] == 2
    assert options["server_id"] == "10.77.0.1"
    assert options["lease_time"] == 3600


def test_what_scapy_builds_is_read() -> None:
    raw = bytes(
        BOOTP(op=1, chaddr=bytes.fromhex("525400000001"), xid=9, flags=0x8000)
        / DHCP(options=[("message-type", "discover"), ("requested_addr", "10.77.0.9"), "end"])
    )
    message = dhcp4.parse(raw)
    assert (message.type, message.xid, message.broadcast) == (MessageType.DISCOVER, 9, True)
    assert message.options[Option.REQUESTED_ADDRESS] == IPv4Address("10.77.0.9").packed


def test_an_option_that_occurs_again_continues_the_first() -> None:
    raw = dhcp4.build(discover({53: b"\1", 43: b"a" * 300}))
    assert dhcp4.parse(raw).options[43] == b"a" * 300
    assert raw.count(bytes((43, 255)) + b"a" * 255 + bytes((43, 45))) == 1


def test_options_overload_file_and_then_sname() -> None:
    raw = bytearray(dhcp4.build(discover({53: b"\1", 52: b"\3"})))
    raw[44 : 44 + 64] = (bytes((12, 2)) + b"me" + b"\xff").ljust(64, b"\0")
    raw[108 : 108 + 128] = (bytes((12, 5)) + b"call-" + b"\xff").ljust(128, b"\0")
    message = dhcp4.parse(bytes(raw))
    assert message.options[Option.HOST_NAME] == b"call-me"
    assert (message.sname, message.file) == (b"", b"")


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "truncated"),
        (dhcp4.build(discover())[:239], "truncated"),
        (dhcp4.build(discover()).replace(b"\x63\x82\x53\x63", b"\0\0\0\0"), "no-magic-cookie"),
        (b"\3" + dhcp4.build(discover())[1:], "op"),
        (b"\1\1\x11" + dhcp4.build(discover())[3:], "hlen"),
        (dhcp4.build(discover())[:240] + b"\x35", "option-without-length"),
        (dhcp4.build(discover())[:240] + b"\x35\2\1", "option-overruns"),
        (dhcp4.build(discover({53: b"\1", 52: b"\7"})), "overload"),
    ],
)
def test_what_is_wrong_is_named(datagram: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        dhcp4.parse(datagram)
    assert caught.value.reason == reason


@pytest.mark.parametrize("value", [b"", b"\0", b"\x09", b"\1\1"])
def test_option_53_must_be_one_known_byte(value: bytes) -> None:
    message = dhcp4.parse(dhcp4.build(discover({53: value} if value else {})))
    with pytest.raises(Malformed):
        _ = message.type


def test_a_reply_is_long_enough_for_every_relay() -> None:
    assert len(dhcp4.build(discover())) == 300


@pytest.mark.parametrize("field", [{"sname": b"x" * 64}, {"file": b"x" * 128}])
def test_a_field_that_does_not_fit_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="longer than its field"):
        dhcp4.build(discover(**field))


RELAY, OWN, GIVEN = IPv4Address("10.9.0.1"), IPv4Address("10.77.0.5"), IPv4Address("10.77.0.6")


@pytest.mark.parametrize(
    ("fields", "reply", "expected"),
    [
        ({"giaddr": RELAY, "ciaddr": OWN}, MessageType.ACK, (RELAY, 67)),
        ({"giaddr": RELAY}, MessageType.NAK, (RELAY, 67)),
        ({"ciaddr": OWN}, MessageType.NAK, (dhcp4.BROADCAST, 68)),
        ({"ciaddr": OWN, "flags": 0x8000}, MessageType.ACK, (OWN, 68)),
        ({"flags": 0x8000}, MessageType.OFFER, (dhcp4.BROADCAST, 68)),
        ({}, MessageType.OFFER, (GIVEN, 68)),
    ],
)
def test_replies_go_where_rfc_2131_section_4_1_says(
    fields: dict[str, Any], reply: MessageType, expected: tuple[IPv4Address, int]
) -> None:
    assert dhcp4.destination(discover(**fields), reply, GIVEN) == expected


def test_routes_are_written_as_rfc_3442_writes_them() -> None:
    routes = [
        (IPv4Network("10.0.0.0/8"), IPv4Address("10.0.0.1")),
        (IPv4Network("10.17.0.0/16"), IPv4Address("10.0.0.2")),
        (IPv4Network("10.27.129.128/25"), IPv4Address("10.0.0.3")),
        (IPv4Network("0.0.0.0/0"), IPv4Address("10.0.0.4")),
    ]
    assert classless_routes(routes).hex(" ") == (
        "08 0a 0a 00 00 01 10 0a 11 0a 00 00 02 19 0a 1b 81 80 0a 00 00 03 00 0a 00 00 04"
    )


def test_search_domains_are_written_as_dns_writes_names() -> None:
    assert domain_search(["rack.example", "a.b."]) == b"\x04rack\x07example\0\x01a\x01b\0"
    with pytest.raises(ValueError, match=r"'a\.\.b' is no domain name"):
        domain_search(["a..b"])
