"""DHCP messages to requests, and decisions to replies: which options come and go, and why."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from ignition.document import Duration
from mayu_py.core.exchange import DhcpKind, DhcpRequest, Lease
from mayu_py.core.hosts import Host, Identity, Mac, Uuid
from mayu_py.core.networks import DhcpMode, Network, Route
from mayu_py.core.settings import Settings
from mayu_py.services.dhcp_messages import Packet, relay_port, understand
from mayu_py.services.dhcp_replies import Replies
from mayu_py.wire import Malformed, dhcp4
from mayu_py.wire.dhcp4 import Message, MessageType, Op

MAC = bytes.fromhex("525400000005")
SERVER, OWN, RELAY = IPv4Address("10.1.0.1"), IPv4Address("10.1.0.11"), IPv4Address("10.1.0.254")
BOARD = Uuid("00112233-4455-6677-8899-aabbccddeeff")
OPTION_97 = b"\0" + bytes.fromhex("33221100554477668899aabbccddeeff")
DUID_UUID = b"\xff\0\0\0\1\0\4" + bytes.fromhex("00112233445566778899aabbccddeeff")


def message(options: dict[int, bytes], **fields: Any) -> Message:
    return Message(Op.BOOTREQUEST, 7, MAC, {53: b"\1", **options}, **fields)


PLAIN = DhcpRequest(DhcpKind.DISCOVER, Identity(mac=Mac("52:54:00:00:00:05")), interface="br0")
WITH_BOARD = replace(PLAIN, identity=replace(PLAIN.identity, uuid=BOARD))


@pytest.mark.parametrize(
    ("options", "understood"),
    [
        ({}, PLAIN),
        ({60: b"PXEClient:Arch:00007:UNDI:003000", 93: b"\0\7"}, replace(PLAIN, netboot=True, arch=7)),
        ({60: b"HTTPClient:Arch:00016:UNDI:003001", 93: b"\0\x10"}, replace(PLAIN, netboot=True, http=True, arch=16)),
        ({60: b"PXEClient", 93: b"\0\7\0\x09"}, replace(PLAIN, netboot=True, arch=7)),
        ({60: b"udhcp 1.35.0"}, PLAIN),
        ({77: b"iPXE"}, replace(PLAIN, netboot=True, ipxe=True)),
        ({77: b"\4iPXE"}, replace(PLAIN, netboot=True, ipxe=True)),
        ({175: b"\xb1\1\1", 60: b"HTTPClient"}, replace(PLAIN, netboot=True, ipxe=True)),
        ({97: OPTION_97}, WITH_BOARD),
        ({61: OPTION_97}, WITH_BOARD),
        ({61: DUID_UUID}, WITH_BOARD),
        ({61: b"\1" + MAC}, PLAIN),
        ({97: b"\0" + b"\xff" * 16, 61: DUID_UUID}, PLAIN),
        ({97: b"\0" + bytes(16)}, PLAIN),
        ({50: OWN.packed, 54: SERVER.packed}, replace(PLAIN, requested=OWN, server_id=SERVER)),
        ({82: b"\5\4\x0a\1\0\0"}, PLAIN),
    ],
)
def test_what_a_client_says(options: dict[int, bytes], understood: DhcpRequest) -> None:
    assert understand(message(options), "br0") == understood


@pytest.mark.parametrize(
    ("option82", "understood"),
    [
        (b"\1\4port", {}),
        (b"\5\4\x0a\1\0\0", {"link": IPv4Address("10.1.0.0")}),
        (b"\x0b\4\x0a\1\0\xfe", {"override": RELAY}),
        (b"\1\4port\x97\1\0\5\4\x0a\1\0\0\x0b\4\x0a\1\0\xfe", {"link": IPv4Address("10.1.0.0"), "override": RELAY}),
        (b"\5\3abc\5", {}),
        (b"\5\xff", {}),
    ],
)
def test_what_a_relay_adds(option82: bytes, understood: dict[str, IPv4Address]) -> None:
    relayed = message({82: option82}, giaddr=RELAY, hops=1)
    assert understand(relayed, "br0") == replace(PLAIN, giaddr=RELAY, **understood)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"op": Op.BOOTREPLY}, "not-a-request"),
        ({"htype": 6}, "not-ethernet"),
        ({"chaddr": MAC[:5]}, "not-ethernet"),
        ({"options": {}}, "bootp"),
        ({"options": {53: b""}}, "message-type"),
        ({"options": {53: b"\x0d"}}, "message-type"),
        ({"options": {53: b"\2"}}, "server-message"),
        ({"options": {53: b"\1", 50: b"abc"}}, "address-option"),
    ],
)
def test_what_no_client_may_send_is_named(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        understand(replace(message({}), **changed), "br0")
    assert caught.value.reason == reason


NETWORK = Network(
    "rack",
    IPv4Network("10.1.0.0/24"),
    interface="br0",
    address=SERVER,
    gateway=RELAY,
    dns=(SERVER,),
    ntp=(RELAY,),
    domain="rack.example",
    search=("rack.example",),
    routes=(Route(IPv4Network("10.9.0.0/16"), RELAY),),
    lease_time=Duration(3600.0),
)
HOST = Host("node-1", OWN)
LEASE = Lease(HOST, NETWORK, ack=True, yiaddr=OWN, boot_file=None)
TIMES = {51: (3600).to_bytes(4, "big"), 58: (1800).to_bytes(4, "big"), 59: (3150).to_bytes(4, "big")}
PARAMETERS = {
    1: bytes((255, 255, 255, 0)),
    3: RELAY.packed,
    6: SERVER.packed,
    12: b"node-1",
    15: b"rack.example",
    28: IPv4Address("10.1.0.255").packed,
    42: RELAY.packed,
    119: b"\4rack\7example\0",
    121: bytes((16, 10, 9)) + RELAY.packed + b"\0" + RELAY.packed,
}
ACK = {53: b"\5", 54: SERVER.packed}


def reply(lease: Lease, options: dict[int, bytes], override: IPv4Address | None = None, **fields: Any) -> Message:
    settings = Settings(networks=(lease.network,), images={}, profiles=())
    return Replies(settings).lease(message(options, **fields), lease, override)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, {**TIMES, **PARAMETERS}),
        ({55: bytes((1, 3))}, {**TIMES, 1: PARAMETERS[1], 3: PARAMETERS[3]}),
        ({55: bytes((121, 15))}, {**TIMES, 121: PARAMETERS[121], 15: PARAMETERS[15]}),
        ({55: b""}, TIMES),
        (
            {55: b"", 51: (600).to_bytes(4, "big")},
            {51: (600).to_bytes(4, "big"), 58: (300).to_bytes(4, "big"), 59: (525).to_bytes(4, "big")},
        ),
        (
            {55: b"", 51: (1).to_bytes(4, "big")},
            {51: (60).to_bytes(4, "big"), 58: (30).to_bytes(4, "big"), 59: (52).to_bytes(4, "big")},
        ),
        ({55: b"", 51: b"\xff" * 4}, TIMES),
        ({55: b"", 97: OPTION_97, 61: DUID_UUID}, {**TIMES, 97: OPTION_97, 61: DUID_UUID}),
    ],
)
def test_a_client_gets_what_it_asks_for(asked: dict[int, bytes], told: dict[int, bytes]) -> None:
    assert dict(reply(LEASE, asked).options) == {**ACK, **told}


def test_a_relays_option_comes_back_byte_for_byte_and_last() -> None:
    strange = b"\1\0\xfe\3abc\x97\1\xff\1"
    answered = reply(LEASE, {82: strange, 61: DUID_UUID}, giaddr=RELAY, hops=3, secs=9, flags=0x8000)
    assert list(answered.options.items())[-1] == (82, strange)
    assert (answered.giaddr, answered.hops, answered.secs, answered.flags) == (RELAY, 0, 0, 0x8000)


def test_a_relay_that_gives_the_server_its_own_name_gets_it_back() -> None:
    assert reply(LEASE, {}, override=RELAY).options[54] == RELAY.packed
    settings = Settings(networks=(NETWORK,), images={}, profiles=())
    assert Replies(settings).nak(message({}), NETWORK, "why", RELAY).options[54] == RELAY.packed


def test_inform_gets_parameters_and_no_lease() -> None:
    answered = reply(replace(LEASE, yiaddr=None), {}, ciaddr=OWN)
    assert (answered.yiaddr, answered.ciaddr) == (dhcp4.ZERO, OWN)
    assert dict(answered.options) == {**ACK, **PARAMETERS}


URL = "http://10.1.0.1:4081/boot/snponly.efi"
BOOT_FILE = {67: b"snponly.efi", 66: b"10.1.0.1", 60: b"PXEClient", 43: bytes((6, 1, 8, 255))}


@pytest.mark.parametrize(
    ("how", "owned", "proxied"),
    [
        ({"boot_file": "snponly.efi"}, BOOT_FILE, BOOT_FILE),
        ({"boot_file": URL, "http": True}, {67: URL.encode(), 60: b"HTTPClient"}, {67: URL.encode(), 60: b"HTTPClient"}),
        (
            {"boot_file": URL, "ipxe": True},
            {67: URL.encode(), 175: bytes((176, 1, 1))},
            {67: URL.encode(), 60: b"PXEClient"},
        ),
    ],
)
def test_who_boots_is_told_its_file(how: dict[str, Any], owned: dict[int, bytes], proxied: dict[int, bytes]) -> None:
    answered = reply(replace(LEASE, netboot=True, **how), {55: b""})
    assert dict(answered.options) == {**ACK, **TIMES, **owned}
    assert (answered.file, answered.siaddr) == (how["boot_file"].encode(), SERVER)
    beside = replace(LEASE, network=replace(NETWORK, dhcp=DhcpMode.PROXY), ack=False, yiaddr=None, netboot=True, **how)
    offered = reply(beside, {})
    assert dict(offered.options) == {53: bytes((MessageType.OFFER,)), 54: SERVER.packed, **proxied}
    assert (offered.yiaddr, offered.siaddr, offered.file) == (dhcp4.ZERO, SERVER, how["boot_file"].encode())


GIVEN, GIADDR = IPv4Address("10.1.0.12"), IPv4Address("10.9.0.1")


# RFC 2131, section 4.1, line by line: giaddr; then for a NAK broadcast; then ciaddr; then the broadcast flag; then yiaddr.
@pytest.mark.parametrize("kind", [MessageType.OFFER, MessageType.ACK, MessageType.NAK])
@pytest.mark.parametrize("giaddr", [dhcp4.ZERO, GIADDR])
@pytest.mark.parametrize("ciaddr", [dhcp4.ZERO, OWN])
@pytest.mark.parametrize("flags", [0, dhcp4.BROADCAST_FLAG])
@pytest.mark.parametrize("yiaddr", [dhcp4.ZERO, GIVEN])
def test_where_a_reply_goes(kind: MessageType, giaddr: IPv4Address, ciaddr: IPv4Address, flags: int, yiaddr: IPv4Address) -> None:
    table: list[tuple[bool, tuple[IPv4Address, int]]] = [
        (giaddr != dhcp4.ZERO, (giaddr, 67)),
        (kind is MessageType.NAK, (dhcp4.BROADCAST, 68)),
        (ciaddr != dhcp4.ZERO, (ciaddr, 68)),
        (flags == dhcp4.BROADCAST_FLAG, (dhcp4.BROADCAST, 68)),
        (yiaddr != dhcp4.ZERO, (yiaddr, 68)),
        (True, (dhcp4.BROADCAST, 68)),
    ]
    expected = next(where for applies, where in table if applies)
    assert dhcp4.destination(message({}, giaddr=giaddr, ciaddr=ciaddr, flags=flags), kind, yiaddr) == expected


# RFC 8357: that the sub-option is there is all that it says, and it counts only in what a relay has passed on.
@pytest.mark.parametrize(
    ("option82", "giaddr", "port"),
    [
        (b"\x13\0", GIADDR, 1067),
        (b"\x13\2\4\x2b", GIADDR, 1067),
        (b"\1\4port\x13\0\5\4\x0a\1\0\0", GIADDR, 1067),
        (b"\1\4port", GIADDR, 67),
        (None, GIADDR, 67),
        (b"\x13\0", dhcp4.ZERO, 68),
    ],
)
def test_a_relay_that_says_so_is_answered_at_the_port_that_it_sent_from(
    option82: bytes | None, giaddr: IPv4Address, port: int
) -> None:
    asked = message({} if option82 is None else {82: option82}, giaddr=giaddr)
    packet = Packet(asked, understand(asked), relay_port=relay_port(asked, 1067))
    assert packet.destination(MessageType.OFFER, GIVEN) == (GIVEN if giaddr == dhcp4.ZERO else giaddr, port)
