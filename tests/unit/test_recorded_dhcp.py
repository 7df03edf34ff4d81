"""Every DHCP packet of a recorded boot of real firmware, given to mayu."""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from mayu_py.core.boot import decide
from mayu_py.core.exchange import Lease
from mayu_py.core.inventory import configured
from mayu_py.core.networks import Network
from mayu_py.core.settings import HostEntry, Settings
from mayu_py.core.snapshot import Snapshot
from mayu_py.services.dhcp_messages import understand
from mayu_py.wire import dhcp4

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "firmware"
SERVER = IPv4Address("10.9.0.1")


def requests(name: str) -> Iterator[dhcp4.Message]:
    """What clients sent to port 67, from a little-endian pcap of Ethernet frames."""
    capture = (FOLDER / name).read_bytes()
    assert struct.unpack_from("<I16xI", capture) == (0xA1B2C3D4, 1)
    at = 24
    while at < len(capture):
        (length,) = struct.unpack_from("<8xI", capture, at)
        frame = capture[at + 16 : at + 16 + length]
        at += 16 + length
        if frame[12:14] == b"\x08\x00" and frame[23] == 17:
            udp = frame[14 + (frame[14] & 15) * 4 :]
            if udp[2:4] == b"\0\x43":
                yield dhcp4.parse(udp[8 : int.from_bytes(udp[4:6], "big")])


@pytest.mark.parametrize("name", ["edk2-pxe-tftp-ipxe.pcap", "edk2-http-boot-ipxe.pcap"])
def test_every_packet_is_understood_and_survives_the_codec(name: str) -> None:
    messages = list(requests(name))
    assert len(messages) >= 4
    for message in messages:
        understand(message, "br0")
        assert dhcp4.parse(dhcp4.build(message)) == message


def test_uefi_gets_a_first_stage_and_its_ipxe_the_script() -> None:
    boot_files = []
    for message in requests("edk2-pxe-tftp-ipxe.pcap"):
        request = understand(message, "br0")
        assert request.identity.mac is not None
        address = request.requested or IPv4Address("10.9.0.86")
        entry = HostEntry("node", "node", address, (request.identity.mac,))
        network = Network("rack", IPv4Network("10.9.0.0/24"), interface="br0", address=SERVER)
        settings = Settings(networks=(network,), images={}, profiles=(), hosts=(entry,))
        reply = decide(request, Snapshot.of(settings, configured(settings))).reply
        assert isinstance(reply, Lease)
        boot_files.append(reply.boot_file)
    script = "http://10.9.0.1:4081/boot.ipxe"
    assert boot_files == ["snponly.efi"] * boot_files.index(script) + [script] * boot_files.count(script)


def test_http_boot_is_known_by_its_architecture() -> None:
    assert {understand(message, "br0").arch for message in requests("edk2-http-boot-ipxe.pcap")} == {16, 7}
