"""The requests and acknowledgements of real EDK2 firmware, from a packet capture kept beside the project."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mayu_py.wire.tftp import Ack, Error, Mode, Opcode, Packet, Request, Terms, negotiate, parse
from mayu_py.wire.tftp_sender import Send, Sender, Signal

CAPTURE = Path(__file__).parents[3] / "shared" / "data" / "firmware" / "edk2-pxe-tftp-ipxe.pcap"
IPXE_EFI_SIZE = 850_528


@dataclass(frozen=True)
class Datagram:
    source_port: int
    destination_port: int
    payload: bytes


def read_udp(capture: bytes) -> Iterator[Datagram]:
    """The UDP datagrams of a little-endian pcap of Ethernet frames."""
    magic, link_type = struct.unpack_from("<I16xI", capture)
    assert (magic, link_type) == (0xA1B2C3D4, 1)
    at = 24
    while at < len(capture):
        (length,) = struct.unpack_from("<8xI", capture, at)
        frame = capture[at + 16 : at + 16 + length]
        at += 16 + length
        if frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        udp = frame[14 + (frame[14] & 15) * 4 :]
        source, destination, size = struct.unpack_from(">HHH", udp)
        yield Datagram(source, destination, udp[8:size])


@pytest.fixture(scope="module")
def firmware() -> list[Packet]:
    """Everything the firmware sent by TFTP, in order. It sent from two ports, one for each of its requests."""
    datagrams = list(read_udp(CAPTURE.read_bytes()))
    clients = {datagram.source_port for datagram in datagrams if datagram.destination_port == 69}
    return [parse(datagram.payload) for datagram in datagrams if datagram.source_port in clients]


def test_it_asks_for_the_size_and_aborts_then_asks_for_the_file(firmware: list[Packet]) -> None:
    assert firmware[:4] == [
        Request(Opcode.RRQ, b"ipxe.efi", Mode.OCTET, {"tsize": "0", "blksize": "1468", "windowsize": "4"}),
        Error(8, "User aborted the transfer"),
        Request(Opcode.RRQ, b"ipxe.efi", Mode.OCTET, {"blksize": "1468", "windowsize": "4"}),
        Ack(0),
    ]


def test_it_is_granted_all_it_asks_for(firmware: list[Packet]) -> None:
    requests = [packet for packet in firmware if isinstance(packet, Request)]
    assert [negotiate(request.options, IPXE_EFI_SIZE) for request in requests] == [
        Terms(1468, 4, None, {"tsize": "850528", "blksize": "1468", "windowsize": "4"}),
        Terms(1468, 4, None, {"blksize": "1468", "windowsize": "4"}),
    ]


def test_its_acknowledgements_carry_our_sender_through_the_whole_file(firmware: list[Packet]) -> None:
    # It was recorded against a server that grants no windows.
    sender = Sender(IPXE_EFI_SIZE, Terms(1468, 1, None, {"blksize": "1468"}))
    assert sender.start() is Signal.SEND_OACK
    actions = [sender.ack(packet.block) for packet in firmware if isinstance(packet, Ack)]
    assert actions == [*(Send(block, block) for block in range(1, 581)), Signal.DONE]
