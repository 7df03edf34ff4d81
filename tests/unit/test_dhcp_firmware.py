"""What real firmware says first (tests/golden/firmware), and what mayu makes of it."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from mayu_py.core.boot import decide
from mayu_py.core.exchange import DhcpKind, Lease
from mayu_py.core.hosts import Mac, Uuid
from mayu_py.core.inventory import configured
from mayu_py.core.networks import Network
from mayu_py.core.settings import HostEntry, Settings
from mayu_py.core.snapshot import Snapshot
from mayu_py.services.dhcp_messages import understand
from mayu_py.wire import dhcp4
from mayu_py.wire.dhcp4 import Option

GOLDEN = Path(__file__).parents[1] / "golden" / "firmware"
SCRIPT = "http://10.77.0.1:4081/boot.ipxe"
SENDERS = {
    "bios": (0, SCRIPT),
    "bios-undionly": (0, SCRIPT),
    "uefi": (7, "snponly.efi"),
    "uefi-snponly": (7, SCRIPT),
}


def recorded(name: str) -> dhcp4.Message:
    return dhcp4.parse(bytes.fromhex((GOLDEN / f"{name}.hex").read_text()))


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("kind", ["discover", "request"])
def test_each_firmware_gets_its_boot_file(sender: str, kind: str) -> None:
    message = recorded(f"{sender}-{kind}")
    request = understand(message, "br0")
    arch, boot_file = SENDERS[sender]
    assert (request.arch, request.netboot, request.kind) == (arch, True, DhcpKind[kind.upper()])
    entry = HostEntry("node", "node", request.requested or IPv4Address("10.77.0.11"), (request.identity.mac or Mac(),))
    network = Network("rack", IPv4Network("0.0.0.0/0"), interface="br0", address=request.server_id or IPv4Address("10.77.0.1"))
    settings = Settings(networks=(network,), images={}, profiles=(), hosts=(entry,))
    reply = decide(request, Snapshot.of(settings, configured(settings))).reply
    assert isinstance(reply, Lease)
    assert reply.boot_file == boot_file.replace("10.77.0.1", str(network.address))
    assert reply.ack is (kind == "request")


@pytest.mark.parametrize("sender", SENDERS)
def test_each_firmware_tells_the_uuid_of_its_board(sender: str) -> None:
    message = recorded(f"{sender}-discover")
    raw = message.options[Option.CLIENT_UUID]
    uuid = understand(message, "br0").identity.uuid
    assert uuid is not None
    assert uuid == Uuid.of(raw)
    # UUIDs of version 5, as the machines were given: had the byte order been read wrongly, the digit would be elsewhere.
    assert uuid[14] == "5"


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("kind", ["discover", "request"])
def test_a_recorded_packet_is_built_again_from_its_values(sender: str, kind: str) -> None:
    message = recorded(f"{sender}-{kind}")
    assert dhcp4.parse(dhcp4.build(message)) == message
