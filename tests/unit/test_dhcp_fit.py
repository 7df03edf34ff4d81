"""Replies no longer than their receiver takes (option 57), and UDP, ARP and probes without the kernel's help."""

from contextlib import suppress
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP as ScapyArp

from mayu_py.wire import Malformed, arp, dhcp4, dhcp4_fit, udp4
from mayu_py.wire.dhcp4 import Message, Op, Option

RELAY = b"\1\4port\2\6switch"
MUST = {53: b"\2", 54: b"\x0a\1\0\1", 51: bytes(4), 1: bytes(4), 3: bytes(4), 97: bytes(17)}
MAY = {
    119: b"d" * 60,
    42: b"n" * 8,
    28: b"b" * 4,
    66: b"10.1.0.1",
    15: b"rack.example",
    12: b"node-1",
    121: b"r" * 30,
    6: b"d" * 12,
}


def reply(options: dict[int, bytes], **fields: bytes) -> Message:
    return Message(Op.BOOTREPLY, 7, bytes(6), options, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option57", "room"),
    [
        (None, 548),
        (b"", 548),
        (b"\1\0", 548),
        (b"\2\x40", 548),
        (b"\5\xc0", 1444),
        (b"\5\xdc", 1472),
        (b"\xff\0", 1472),
        (b"\1", 548),
    ],
)
def test_how_much_a_client_takes(option57: bytes | None, room: int) -> None:
    options = {53: b"\1", **({57: option57} if option57 is not None else {})}
    assert dhcp4_fit.room(Message(Op.BOOTREQUEST, 7, bytes(6), options)) == room


def test_what_fits_is_written_as_it_is() -> None:
    message = reply({**MUST, **MAY, 82: RELAY})
    assert dhcp4_fit.build(message, 548) == (dhcp4.build(message), ())


def test_file_and_sname_are_used_before_anything_is_left_out() -> None:
    message = reply({**MUST, **MAY, 43: bytes(180), 82: RELAY})
    datagram, left_out = dhcp4_fit.build(message, 548)
    read = dhcp4.parse(datagram)
    assert (len(datagram) <= 548, left_out) == (True, ())
    assert {code: value for code, value in read.options.items() if code != Option.OVERLOAD} == dict(message.options)
    assert datagram.rstrip(b"\0").endswith(RELAY + b"\xff"), "a relay looks for option 82 at the end"


def test_a_boot_file_keeps_its_place() -> None:
    datagram, _ = dhcp4_fit.build(reply({**MUST, **MAY, 43: bytes(200)}, file=b"snponly.efi"), 548)
    assert dhcp4.parse(datagram).file == b"snponly.efi"


def test_what_is_left_out_goes_in_the_stated_order() -> None:
    datagram, left_out = dhcp4_fit.build(reply({**MUST, **MAY, 43: bytes(183), 82: RELAY}, file=b"f" * 100, sname=b"s"), 548)
    assert left_out == (119, 42, 28, 66, 15)
    assert len(datagram) <= 548
    assert set(dhcp4.parse(datagram).options) == {*MUST, 12, 121, 6, 43, 82}


def test_a_relays_option_is_never_touched() -> None:
    relay = b"\x97\xff" + bytes(255)
    datagram, left_out = dhcp4_fit.build(reply({**MUST, **MAY, 43: bytes(200), 82: relay}, file=b"f", sname=b"s"), 548)
    assert dhcp4.parse(datagram).options[82] == relay
    assert set(left_out) == set(MAY)


@given(st.dictionaries(st.integers(1, 254).filter(lambda code: code not in (52, 53)), st.binary(max_size=90), max_size=14))
def test_a_message_that_can_be_made_to_fit_fits_and_loses_only_what_may_go(options: dict[int, bytes]) -> None:
    message = reply({53: b"\2", **options})
    datagram, left_out = dhcp4_fit.build(message, 548)
    kept = {code: value for code, value in dhcp4.parse(datagram).options.items() if code != Option.OVERLOAD}
    assert kept == {code: value for code, value in message.options.items() if code not in left_out}
    assert set(left_out) <= set(dhcp4_fit.FIRST_TO_GO)
    may_go = {code for code in options if code in dhcp4_fit.FIRST_TO_GO}
    assert len(datagram) <= 548 or set(left_out) == may_go


ADDRESS = st.integers(0, 2**32 - 1).map(IPv4Address)
PORT = st.integers(0, 65535)
DATAGRAMS = st.builds(udp4.Datagram, ADDRESS, PORT, ADDRESS, PORT, st.binary(max_size=600))


@given(DATAGRAMS)
def test_a_datagram_is_read_back_and_scapy_agrees(datagram: udp4.Datagram) -> None:
    packet = udp4.build(datagram)
    assert udp4.parse(packet + b"padding of the frame") == datagram
    read = IP(packet)
    ends = (read.src, read[UDP].sport, read.dst, read[UDP].dport)
    assert ends == (str(datagram.source), datagram.source_port, str(datagram.destination), datagram.destination_port)
    checks = (read.chksum, read[UDP].chksum)
    del read.chksum, read[UDP].chksum
    again = IP(bytes(read))
    assert checks == (again.chksum, again[UDP].chksum)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_packet_or_malformed(data: bytes) -> None:
    for parse in (udp4.parse, arp.parse):
        with suppress(Malformed):
            parse(data)


def test_fragments_and_other_protocols_are_no_datagrams() -> None:
    packet = bytearray(udp4.build(udp4.Datagram(IPv4Address(1), 1, IPv4Address(2), 2, b"x")))
    for at, value in ((6, 0x20), (9, 6)):
        changed = packet[:at] + bytes((value,)) + packet[at + 1 :]
        with pytest.raises(Malformed, match="not-udp"):
            udp4.parse(bytes(changed))


def test_a_probe_claims_no_address() -> None:
    address, hardware = IPv4Address("10.1.0.9"), bytes.fromhex("525400000001")
    packet = arp.probe(hardware, address)
    assert packet.is_probe
    assert arp.parse(arp.build(packet) + bytes(18)) == packet
    read = ScapyArp(arp.build(packet))
    assert (read.op, read.hwsrc, read.psrc, read.pdst) == (1, "52:54:00:00:00:01", "0.0.0.0", "10.1.0.9")
