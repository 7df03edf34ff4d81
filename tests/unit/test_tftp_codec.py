"""TFTP packets against the layouts of RFC 1350 and 2347, and back again."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mayu_py.wire import Malformed
from mayu_py.wire.tftp import (
    Ack,
    Data,
    Error,
    Mode,
    Opcode,
    OptionAck,
    Packet,
    Request,
    count_blocks,
    frame_blocks,
    parse,
    to_netascii,
)

GOLDEN: list[tuple[bytes, Packet]] = [
    # RFC 1350 section 5
    (b"\0\1foobar\0octet\0", Request(Opcode.RRQ, b"foobar", Mode.OCTET)),
    (b"\0\2foobar\0netascii\0", Request(Opcode.WRQ, b"foobar", Mode.NETASCII)),
    (b"\0\3\0\1contents", Data(1, b"contents")),
    (b"\0\3\xff\xff", Data(65535, b"")),
    (b"\0\4\0\0", Ack(0)),
    (b"\0\5\0\1File not found\0", Error(1, "File not found")),
    # RFC 2347 "Examples"
    (b"\0\1foofile\0octet\0blksize\x001432\0", Request(Opcode.RRQ, b"foofile", Mode.OCTET, {"blksize": "1432"})),
    (b"\0\6blksize\x001432\0", OptionAck({"blksize": "1432"})),
    # RFC 2348 and 2349
    (
        b"\0\1foobar\0octet\0blksize\x001428\0tsize\x000\0timeout\x001\0",
        Request(Opcode.RRQ, b"foobar", Mode.OCTET, {"blksize": "1428", "tsize": "0", "timeout": "1"}),
    ),
    (b"\0\6timeout\x001\0tsize\x00673312\0", OptionAck({"timeout": "1", "tsize": "673312"})),
    # RFC 7440 section 3
    (b"\0\1foobar\0octet\0windowsize\x0016\0", Request(Opcode.RRQ, b"foobar", Mode.OCTET, {"windowsize": "16"})),
]

LENIENT: list[tuple[bytes, Packet]] = [
    (b"\0\1x\0OcTeT\0BLKSIZE\x0099\0", Request(Opcode.RRQ, b"x", Mode.OCTET, {"blksize": "99"})),
    (b"\0\1x\0octet\0blksize\x001\0blksize\x002\0", Request(Opcode.RRQ, b"x", Mode.OCTET, {"blksize": "1"})),
    (b"\0\1x\0octet\0\0\0\0\0", Request(Opcode.RRQ, b"x", Mode.OCTET)),
    (b"\0\1\xff\xfe\0octet\0", Request(Opcode.RRQ, b"\xff\xfe", Mode.OCTET)),
    (b"\0\5\0\x08no end", Error(8, "no end")),
    (b"\0\5\0\0", Error(0, "")),
    (b"\0\4\0\7padding", Ack(7)),
]

MALFORMED = [
    (b"", "truncated"),
    (b"\0\4\0", "truncated"),
    (b"\0\0\0\0", "opcode"),
    (b"\0\7\0\0", "opcode"),
    (b"\1\0\0\0", "opcode"),
    (b"\0\1name\0octet", "unterminated"),
    (b"\0\1name", "unterminated"),
    (b"\0\1name\0", "truncated"),
    (b"\0\1\0octet\0", "name"),
    (b"\0\1name\0mail\0", "mode"),
    (b"\0\1name\0\xe9\0", "mode"),
    (b"\0\1name\0octet\0blksize\0", "options"),
    (b"\0\6blksize\0", "options"),
    (b"\0\6\0\0", "options"),
]

text = st.text(st.characters(min_codepoint=1, max_codepoint=255))
names = st.binary(min_size=1).filter(lambda name: b"\0" not in name)
options = st.dictionaries(text.map(str.lower).filter(lambda name: name and max(name) <= "\xff"), text)
numbers = st.integers(0, 65535)
requests = st.builds(Request, st.sampled_from([Opcode.RRQ, Opcode.WRQ]), names, st.sampled_from(Mode), options)
packets: st.SearchStrategy[Packet] = st.one_of(
    requests,
    st.builds(Data, numbers, st.binary()),
    st.builds(Ack, numbers),
    st.builds(Error, numbers, st.text(st.characters(exclude_categories=["Cs"], min_codepoint=1))),
    st.builds(OptionAck, options.filter(bool)),
)


@pytest.mark.parametrize(("datagram", "packet"), GOLDEN)
def test_the_bytes_of_the_rfc_are_the_packet_and_the_packet_is_those_bytes(datagram: bytes, packet: Packet) -> None:
    assert parse(datagram) == packet
    assert packet.pack() == datagram


@pytest.mark.parametrize(("datagram", "packet"), LENIENT)
def test_what_clients_get_wrong_without_harm_is_accepted(datagram: bytes, packet: Packet) -> None:
    assert parse(datagram) == packet


@pytest.mark.parametrize(("datagram", "reason"), MALFORMED)
def test_a_malformed_datagram_is_refused_with_its_reason(datagram: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(datagram)
    assert caught.value.reason == reason


@given(packets)
def test_every_packet_survives_the_wire(packet: Packet) -> None:
    assert parse(packet.pack()) == packet


@given(st.one_of(st.binary(), st.integers(1, 6).flatmap(lambda n: st.binary().map(lambda rest: bytes([0, n]) + rest))))
def test_any_bytes_are_a_packet_or_malformed(datagram: bytes) -> None:
    try:
        packet = parse(datagram)
    except Malformed as malformed:
        reason = malformed.reason
        assert reason in {"truncated", "opcode", "unterminated", "name", "mode", "options"}
    else:
        assert parse(packet.pack()) == packet


@given(st.binary(max_size=200), st.integers(1, 70000), st.integers(8, 64))
@example(bytes(64), 1, 32)
@example(b"", 1, 8)
def test_framed_blocks_are_the_data_packets_laid_end_to_end(content: bytes, first: int, block_size: int) -> None:
    count = count_blocks(len(content), block_size)
    frames = frame_blocks(content, first, count, block_size)
    stride = 4 + block_size
    found = [parse(frames[at : at + stride]) for at in range(0, count * stride, stride)]
    blocks = [content[at : at + block_size] for at in range(0, len(content) + 1, block_size)]
    assert found == [Data((first + i) % 65536, block) for i, block in enumerate(blocks)]


def test_netascii_marks_line_ends_and_bare_carriage_returns() -> None:
    assert to_netascii(b"one\ntwo\r\nthree\rfour") == b"one\r\ntwo\r\0\r\nthree\r\0four"
