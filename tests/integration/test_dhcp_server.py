"""The DHCP worker on a loopback socket: every datagram is answered or counted, none takes it down."""

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mayu_py.core.exchange import ScriptRequest
from mayu_py.core.hosts import Identity, Mac
from mayu_py.core.networks import AddressRange, DhcpMode, Network
from mayu_py.core.settings import HostEntry, Settings, UnknownHosts
from mayu_py.services.datagrams import prepare
from mayu_py.services.desk import Desk
from mayu_py.services.dhcp import DhcpServer, Sockets
from mayu_py.store.sqlite import SqliteStore
from mayu_py.wire import dhcp4
from mayu_py.wire.dhcp4 import Message, MessageType, Op, Option

LOOPBACK = IPv4Address("127.0.0.1")
NETWORK = Network(
    "rack",
    IPv4Network("127.0.0.0/8"),
    interface="lo",
    address=LOOPBACK,
    range=AddressRange(IPv4Address("127.0.1.1"), IPv4Address("127.0.1.20")),
    gateway=IPv4Address("127.0.0.254"),
    dns=(IPv4Address("127.0.0.253"),),
)
SETTINGS = Settings(
    networks=(NETWORK,),
    images={},
    profiles=(),
    hosts=(HostEntry("node-5", "node", IPv4Address("127.0.0.5"), (Mac("52:54:00:00:00:05"),)),),
    unknown_hosts=UnknownHosts.ENROL,
)
SECONDS = 5.0


class Server:
    """The worker's loop in a thread, and a relay's socket: replies to a relay are unicast, so loopback carries them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(("127.0.0.1", 0))
        prepare(self.socket)
        self.desk = Desk("dhcp", SETTINGS, lambda: SqliteStore(path))
        self.desk.open()
        self.server = DhcpServer(Sockets(self.socket), NETWORK, self.desk)
        self.stop_read, self.stop_write = os.pipe()
        self.thread = threading.Thread(target=self.server.serve, args=(self.stop_read,))
        self.thread.start()
        self.sent = 0

    def send(self, datagram: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(datagram, self.socket.getsockname())
        self.sent += 1

    def close(self) -> Counter[tuple[str, str]]:
        """Stop; returns what was counted."""
        os.close(self.stop_write)
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()
        # What the loop had not taken in yet when it was told to stop.
        while self.waiting():
            self.server.drain(self.socket)
        self.desk.close()
        self.socket.close()
        with closing(SqliteStore(self.path)) as store:
            return Counter({(name, reason): count for _, name, reason, count in store.counters()})

    def waiting(self) -> bool:
        """Whether a datagram is in the queue."""
        try:
            return bool(self.socket.recvmsg(1, 0, socket.MSG_PEEK))
        except BlockingIOError:
            return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "mayu.db")
    yield started
    if started.thread.is_alive():
        started.close()


def discover(**fields: object) -> Message:
    options = {Option.MESSAGE_TYPE: bytes((MessageType.DISCOVER,))}
    given = {"op": Op.BOOTREQUEST, "xid": 7, "chaddr": bytes.fromhex("525400000005"), "options": options, **fields}
    return Message(**given)  # type: ignore[arg-type]


GOOD = dhcp4.build(discover())


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good packet with a few bytes changed, added or cut: the parser gets far before it stumbles."""
    raw = bytearray(GOOD)
    for _ in range(draw(st.integers(0, 6))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    tail = draw(st.binary(max_size=40))
    return bytes(raw[: draw(st.integers(0, len(raw)))] + tail)


options = st.dictionaries(st.integers(1, 254), st.binary(max_size=40), max_size=8)
built = st.builds(
    lambda options, kind, **more: dhcp4.build(discover(options={**options, 53: bytes((kind,))}, **more)),
    options,
    st.integers(0, 9),
    # Half of them are Ethernet, or nearly none would get as far as their options.
    chaddr=st.one_of(st.just(bytes.fromhex("525400000006")), st.binary(max_size=16)),
    htype=st.one_of(st.just(1), st.integers(0, 255)),
    flags=st.sampled_from([0, 0x8000, 0xFFFF]),
    ciaddr=st.integers(0, 2**32 - 1).map(IPv4Address),
    file=st.binary(max_size=100),
)


@pytest.mark.timeout(120)
def test_ten_thousand_odd_datagrams_are_all_accounted_for(server: Server) -> None:
    @settings(
        max_examples=10_000,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(st.binary(max_size=600), mangled(), built))
    def throw(datagram: bytes) -> None:
        server.send(datagram)

    throw()
    assert server.thread.is_alive()
    server.send(b"the last one, with which the kernel tells how many it dropped")
    counted = server.close()
    assert counted["dhcp.drop", "internal"] == 0
    assert sum(counted.values()) == server.sent >= 10_000
    reasons = {reason for name, reason in counted if name == "dhcp.drop"}
    assert {"truncated", "no-magic-cookie", "option-overruns", "message-type", "bootp", "not-ethernet"} <= reasons


def test_what_the_kernel_drops_is_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mayu_py.services.datagrams.RECEIVE_BUFFER", 4096)
    server = Server(tmp_path / "mayu.db")
    server.send(b"first, so that it knows where the kernel's count stands")
    with server.desk.locked:  # The loop waits for the desk, and the queue runs over.
        for _ in range(500):
            server.send(b"x")
    deadline = time.monotonic() + SECONDS
    while server.waiting() and time.monotonic() < deadline:
        time.sleep(0.01)
    server.send(b"last, which tells how many were lost")
    counted = server.close()
    assert counted["dhcp.drop", "queue-full"] > 0
    assert sum(counted.values()) == server.sent


@pytest.mark.parametrize(
    ("datagram", "counter"),
    [
        (b"", ("dhcp.drop", "truncated")),
        (GOOD[:-80], ("dhcp.drop", "truncated")),
        (dhcp4.build(discover(op=Op.BOOTREPLY)), ("dhcp.drop", "not-a-request")),
        (dhcp4.build(discover(htype=6)), ("dhcp.drop", "not-ethernet")),
        (dhcp4.build(discover(options={53: b"\2"})), ("dhcp.drop", "server-message")),
        (dhcp4.build(discover(options={53: b"\1", 50: b"abc"})), ("dhcp.drop", "address-option")),
        (dhcp4.build(discover(options={53: b"\7"})), ("dhcp.unanswered", "release")),
        (dhcp4.build(discover(options={53: b"\3", 54: b"\1\2\3\4"})), ("dhcp.unanswered", "request")),
    ],
)
def test_what_is_not_answered_is_counted_by_its_reason(server: Server, datagram: bytes, counter: tuple[str, str]) -> None:
    server.send(datagram)
    assert server.close() == Counter({counter: 1})


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A relay agent at 127.0.0.1; port 67 is not ours without root, so the server is told another one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(SECONDS)
        monkeypatch.setattr(dhcp4, "SERVER_PORT", agent.getsockname()[1])
        yield agent


def ask(server: Server, relay: socket.socket, message: Message) -> Message:
    server.send(dhcp4.build(message))
    return dhcp4.parse(relay.recv(2048))


def test_a_relayed_discover_is_answered_to_the_relay_with_its_option_82(server: Server, relay: socket.socket) -> None:
    options = {53: b"\1", 82: b"\1\4port", 61: b"\1abcdef", 55: bytes((1, 3, 6, 12, 28))}
    offer = ask(server, relay, discover(giaddr=LOOPBACK, hops=1, options=options))
    assert (offer.type, offer.op, offer.xid) == (MessageType.OFFER, Op.BOOTREPLY, 7)
    assert (str(offer.yiaddr), offer.giaddr) == ("127.0.0.5", LOOPBACK)
    assert dict(offer.options) == {
        53: b"\2",
        54: LOOPBACK.packed,
        51: (3600).to_bytes(4, "big"),
        58: (1800).to_bytes(4, "big"),
        59: (3150).to_bytes(4, "big"),
        1: bytes((255, 0, 0, 0)),
        28: bytes((127, 255, 255, 255)),
        3: IPv4Address("127.0.0.254").packed,
        6: IPv4Address("127.0.0.253").packed,
        12: b"node-5",
        61: b"\1abcdef",
        82: b"\1\4port",
    }


def test_relays_with_ports_of_their_own_each_have_their_own_answer(server: Server) -> None:
    asked = dhcp4.build(discover(giaddr=LOOPBACK, hops=1, options={53: b"\1", 82: b"\x13\0"}))
    for _ in range(2):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
            agent.bind(("127.0.0.1", 0))
            agent.settimeout(SECONDS)
            agent.sendto(asked, server.socket.getsockname())
            offer = dhcp4.parse(agent.recv(2048))
        assert (str(offer.yiaddr), offer.options[82]) == ("127.0.0.5", b"\x13\0")


def test_only_what_was_asked_for_is_sent_of_what_may_be_left_out(server: Server, relay: socket.socket) -> None:
    offer = ask(server, relay, discover(giaddr=LOOPBACK, options={53: b"\1", 55: bytes((1,))}))
    assert Option.SUBNET_MASK in offer.options
    assert not {Option.ROUTER, Option.HOST_NAME, Option.DOMAIN_NAME_SERVER} & set(offer.options)


def test_a_pxe_rom_and_ipxe_are_told_apart(server: Server, relay: socket.socket) -> None:
    uuid = b"\0" + bytes(16)
    rom = {53: b"\1", 60: b"PXEClient:Arch:00000:UNDI:002001", 93: b"\0\0", 97: uuid}
    offer = ask(server, relay, discover(giaddr=LOOPBACK, options=rom))
    assert (offer.file, str(offer.siaddr)) == (b"undionly.kpxe", "127.0.0.1")
    assert offer.options[Option.VENDOR_CLASS] == b"PXEClient"
    assert offer.options[Option.VENDOR_SPECIFIC] == bytes((6, 1, 8, 255))
    assert (offer.options[Option.BOOTFILE_NAME], offer.options[Option.CLIENT_UUID]) == (b"undionly.kpxe", uuid)
    for sign in ({77: b"iPXE"}, {77: b"\4iPXE"}, {175: b"\xb1\5\1\x1a\xf4\x10\0"}):
        offer = ask(server, relay, discover(giaddr=LOOPBACK, options={**rom, **sign}))
        assert offer.file == b"http://127.0.0.1:4081/boot.ipxe"
        assert offer.options[Option.IPXE] == bytes((176, 1, 1))


def test_a_stranger_is_enrolled_before_it_is_answered(server: Server, relay: socket.socket) -> None:
    offer = ask(server, relay, discover(giaddr=LOOPBACK, chaddr=bytes.fromhex("525400000099")))
    assert str(offer.yiaddr) == "127.0.1.1"
    with closing(SqliteStore(server.path)) as store:
        assert [str(host.address) for host in store.inventory().enrolled] == ["127.0.1.1"]


def test_a_wrong_claim_is_refused_with_the_reason(server: Server, relay: socket.socket) -> None:
    claim = {53: b"\3", 50: IPv4Address("127.0.0.77").packed}
    nak = ask(server, relay, discover(giaddr=LOOPBACK, options=claim))
    assert (nak.type, nak.broadcast, nak.yiaddr) == (MessageType.NAK, True, dhcp4.ZERO)
    assert nak.options[Option.MESSAGE] == b"node-5 has 127.0.0.5, not 127.0.0.77"


def test_an_enrolled_host_that_declines_its_address_gets_another(server: Server, relay: socket.socket) -> None:
    stranger = bytes.fromhex("525400000098")
    first = ask(server, relay, discover(giaddr=LOOPBACK, chaddr=stranger))
    declined = {53: b"\4", 50: first.yiaddr.packed, 54: LOOPBACK.packed}
    server.send(dhcp4.build(discover(giaddr=LOOPBACK, chaddr=stranger, options=declined)))
    again = ask(server, relay, discover(giaddr=LOOPBACK, chaddr=stranger))
    another = ask(server, relay, discover(giaddr=LOOPBACK, chaddr=bytes.fromhex("525400000097")))
    assert [str(offer.yiaddr) for offer in (first, again, another)] == ["127.0.1.1", "127.0.1.2", "127.0.1.3"]
    assert server.close()["dhcp.conflict", "decline"] == 1
    with closing(SqliteStore(server.path)) as store:
        kinds = [(event.kind, event.host, event.detail) for event in store.events(0, 100)]
        enrolled = {host.name: str(host.address) for host in store.inventory().enrolled}
    assert ("address-conflict", "127-0-1-1", {"address": "127.0.1.1", "network": "rack", "by": "decline"}) in kinds
    assert ("readdressed", "127-0-1-1", {"from": "127.0.1.1", "to": "127.0.1.2"}) in kinds
    assert enrolled == {"127-0-1-1": "127.0.1.2", "127-0-1-3": "127.0.1.3"}


def test_a_reply_is_no_longer_than_the_client_takes(server: Server, relay: socket.socket) -> None:
    circuit, identifier = b"\1\xfc" + bytes(252), b"\0" + bytes(150)
    asked = {53: b"\1", 57: (576).to_bytes(2, "big"), 61: identifier, 60: b"PXEClient", 93: b"\0\0", 82: circuit}
    server.send(dhcp4.build(discover(giaddr=LOOPBACK, options=asked)))
    datagram = relay.recv(2048)
    offer = dhcp4.parse(datagram)
    assert len(datagram) <= 576 - 28
    assert (offer.options[82], offer.file) == (circuit, b"undionly.kpxe")
    assert 61 not in offer.options
    assert server.close()["dhcp.left-out", "client_identifier"] == 1


@pytest.mark.parametrize("binl", [False, True])
def test_beside_the_owner_of_the_addresses_only_booting_machines_are_answered(
    tmp_path: Path, relay: socket.socket, binl: bool
) -> None:
    network = replace(NETWORK, dhcp=DhcpMode.PROXY, range=None)
    settings = replace(SETTINGS, networks=(network,), unknown_hosts=UnknownHosts.IGNORE)
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)) for _ in "ab"]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        desk = stack.enter_context(Desk("dhcp", settings, lambda: SqliteStore(tmp_path / "mayu.db")))
        proxy = DhcpServer(Sockets(*sockets), network, desk)
        client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.settimeout(SECONDS)
        kind = MessageType.REQUEST if binl else MessageType.DISCOVER
        for options in ({}, {60: b"PXEClient:Arch:00007", 93: b"\0\7"}):
            message = discover(giaddr=dhcp4.ZERO if binl else LOOPBACK, options={53: bytes((kind,)), **options})
            client.sendto(dhcp4.build(message), sockets[binl].getsockname())
        proxy.drain(sockets[binl])
        # Port 4011 answers to where it was asked from, port 67 to the relay.
        reply = dhcp4.parse((client if binl else relay).recv(2048))
    assert (reply.type, reply.yiaddr, reply.file) == (MessageType(5 if binl else 2), dhcp4.ZERO, b"snponly.efi")
    assert Option.LEASE_TIME not in reply.options
    with closing(SqliteStore(tmp_path / "mayu.db")) as store:
        unanswered = ("dhcp", "dhcp.unanswered", kind.name.lower(), 1)
        assert store.counters() == [("dhcp", "dhcp.sent", reply.type.name.lower(), 1), unanswered]


def test_all_that_a_machine_tells_in_one_breath_is_kept(tmp_path: Path) -> None:
    network = replace(NETWORK, dhcp=DhcpMode.PROXY, range=None)
    mac, here = Mac("52:54:00:00:00:07"), IPv4Address("127.0.0.77")
    settings = replace(SETTINGS, networks=(network,), hosts=(HostEntry("guest", "node", macs=(mac,)),))
    with Desk("http-1", settings, lambda: SqliteStore(tmp_path / "mayu.db")) as desk:
        desk.write(desk.fresh(desk.consider(ScriptRequest(Identity(serial="KC-7", mac=mac), source=here))))
        told = desk.snapshot().hosts["guest"]
        assert (told.serial, told.address, desk.snapshot().by_address[here]) == ("KC-7", here, told)
