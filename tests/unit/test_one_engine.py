"""One engine: the live DHCP server, `explain` and `replay` give the same bytes for the same packets, and want the same state.

Fleets and packets are random: networks with interfaces, behind relays, beside another server, extra ones, and off; quotas,
quarantine, ignored hosts. The server runs on a socket whose other end is the test.
"""

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ignition.render import Template
from mayu_py.config import Config
from mayu_py.core.boot import decide
from mayu_py.core.exchange import Answer
from mayu_py.core.faces import BootFiles
from mayu_py.core.hosts import Mac, Uuid
from mayu_py.core.networks import AddressRange, DhcpMode, Network
from mayu_py.core.render import Renderer
from mayu_py.core.settings import HostEntry, Image, Install, Profile, Settings, UnknownHosts
from mayu_py.rehearsal.captured import Replay
from mayu_py.rehearsal.desk import RehearsalDesk
from mayu_py.rehearsal.dhcp import DhcpRehearsal
from mayu_py.rehearsal.engine import Engine
from mayu_py.rehearsal.http import HttpRehearsal, HttpRequest
from mayu_py.services.desk import Desk
from mayu_py.services.dhcp import DhcpServer, Sockets
from mayu_py.store.sqlite import MemoryStore
from mayu_py.wire import Malformed, dhcp4, udp4
from mayu_py.wire.dhcp4 import Message, MessageType, Op, Option
from mayu_py.wire.udp4 import Datagram

INTERFACE = "engine-test0"  # There is none of this name: nothing is taught to the kernel.
MACS = [Mac(f"52:54:00:00:00:{n:02x}") for n in range(1, 6)]
UUIDS = [Uuid(f"00112233-4455-6677-8899-aabbccddee{n:02x}") for n in range(1, 4)]
RELAYS = [IPv4Address(text) for text in ("0.0.0.0", "0.0.0.0", "0.0.0.0", "10.2.0.1", "10.2.0.1", "10.9.9.9", "10.4.0.7")]
SPOTS = [IPv4Address(f"10.{n}.0.{m}") for n in (1, 2, 3) for m in (1, 11, 100, 101)]
LONG_SEARCH = tuple(f"{'rack' * 10}-{n}.example" for n in range(5))
BUTANE = 'variant: fcos\nversion: 1.4.0\nstorage: {files: [{path: /etc/hostname, contents: {inline: "{{ host.name }}"}}]}\n'


def network(draw: st.DrawFn, number: int, **fields: Any) -> Network:
    subnet = IPv4Network(f"10.{number}.0.0/24")
    last = draw(st.integers(100, 103))
    return Network(
        f"net-{number}",
        subnet,
        range=draw(st.sampled_from([None, AddressRange(subnet[100], subnet[last])])),
        gateway=draw(st.sampled_from([None, subnet[1]])),
        dns=draw(st.sampled_from([(), (subnet[2],)])),
        domain=draw(st.sampled_from([None, "rack.example"])),
        search=draw(st.sampled_from([(), ("rack.example", "example"), LONG_SEARCH])),
        **fields,
    )


@st.composite
def fleets(draw: st.DrawFn) -> Settings:
    home = network(
        draw,
        1,
        interface=INTERFACE,
        address=IPv4Address("10.1.0.254"),
        dhcp=draw(st.sampled_from([DhcpMode.AUTHORITATIVE] * 6 + [*DhcpMode])),
    )
    relayed = network(draw, 2, relays=draw(st.sampled_from([(), (IPv4Address("10.9.9.9"),)])))
    extra = network(draw, 3, extra=True)
    networks = (home, *draw(st.sampled_from([(), (relayed,), (relayed, extra), (relayed, extra)])))
    boot = [each for each in networks if not each.extra]
    hosts = tuple(
        _host(draw, number, draw(st.sampled_from(boot)), extra in networks) for number in draw(st.sets(st.integers(0, 3)))
    )
    profiles = (
        Profile("first", "image", Path("first.bu"), quantity=draw(st.sampled_from([None, 1]))),
        Profile("second", "image", Path("second.bu"), install=draw(st.sampled_from(list(Install)))),
    )
    return Settings(
        networks=networks,
        images={"image": Image(Path("/nowhere"), args=("ignition.config.url={{ ignition_url }}",))},
        profiles=profiles,
        hosts=hosts,
        boot=BootFiles(uefi_arm64=draw(st.sampled_from([None, "snponly-arm64.efi"]))),
        unknown_hosts=draw(st.sampled_from([UnknownHosts.ENROL, *UnknownHosts])),
        default_profile=draw(st.sampled_from([None, "second"])),
        ignored_hosts=draw(st.sampled_from([(), (MACS[4],)])),
    )


def _host(draw: st.DrawFn, number: int, seat: Network, has_extra: bool) -> HostEntry:
    proxied = seat.dhcp is DhcpMode.PROXY
    return HostEntry(
        f"node-{number}",
        draw(st.sampled_from(["first", "second"])),
        None if proxied else seat.subnet[11 + number],
        (MACS[number],),
        serial=draw(st.sampled_from([None, f"S{number}"])),
        uuid=UUIDS[number] if number < len(UUIDS) and draw(st.booleans()) else None,
        addresses={"net-3": IPv4Address(f"10.3.0.{11 + number}")} if has_extra and draw(st.booleans()) else {},
    )


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    options: dict[int, bytes] = {Option.MESSAGE_TYPE: bytes((draw(st.sampled_from([1, 1, 1, 3, 3, 3, 4, 4, 7, 8, 2, 9])),))}
    # Out of ten packets.
    likely: dict[int, int] = {Option.SERVER_IDENTIFIER: 1, Option.CLIENT_UUID: 1, Option.REQUESTED_ADDRESS: 8}
    chosen: dict[int, st.SearchStrategy[bytes]] = {
        Option.CLIENT_ARCHITECTURE: st.sampled_from([0, 6, 7, 9, 11, 16, 99]).map(lambda arch: struct.pack(">H", arch)),
        Option.VENDOR_CLASS: st.sampled_from([b"PXEClient:Arch:00007", b"HTTPClient:Arch:00016", b"MSFT 5.0"]),
        Option.USER_CLASS: st.just(b"iPXE"),
        Option.REQUESTED_ADDRESS: st.sampled_from(SPOTS).map(lambda spot: spot.packed),
        Option.SERVER_IDENTIFIER: st.sampled_from(["10.1.0.254"] * 3 + ["10.9.0.1"]).map(
            lambda server: IPv4Address(server).packed
        ),
        Option.PARAMETER_REQUEST_LIST: st.sampled_from([bytes((1, 3, 6, 66, 67)), bytes(range(1, 122))]),
        Option.CLIENT_UUID: st.sampled_from(UUIDS).map(lambda uuid: b"\0" + bytes.fromhex(uuid.replace("-", ""))),
        Option.MAXIMUM_MESSAGE_SIZE: st.sampled_from([b"\x02\x40", b"\x05\xc0"]),
        Option.LEASE_TIME: st.sampled_from([b"\0\0\0\x78", b"\xff\xff\xff\xff"]),
        Option.RELAY_AGENT_INFORMATION: st.sampled_from(
            [b"\x05\x04\x0a\x02\0\0", b"\x0b\x04\x0a\x02\0\x01", b"\x01\xc8" + b"port" * 50, b"\x01\x09eth"]
        ),
        Option.IPXE: st.just(b"\xb1\x05\x01\x1a\xf4\x10\x00"),
    }
    for code, value in chosen.items():
        if draw(st.integers(0, 9)) < likely.get(code, 5):
            options[code] = draw(value)
    mac = draw(st.sampled_from(MACS[2:] if draw(st.booleans()) else MACS))
    return dhcp4.build(
        Message(
            Op.BOOTREQUEST,
            draw(st.integers(0, 3)),
            bytes.fromhex(mac.replace(":", "")),
            options,
            flags=draw(st.sampled_from([0, dhcp4.BROADCAST_FLAG])),
            ciaddr=draw(st.sampled_from([dhcp4.ZERO] * 20 + SPOTS)),
            giaddr=draw(st.sampled_from(RELAYS)),
        )
    )


class Wire(socket.socket):
    """A datagram socket that gives what the test has put into it, and keeps what is sent."""

    def __init__(self) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.waiting: deque[tuple[bytes, tuple[str, int]]] = deque()
        self.sent: list[tuple[bytes, int]] = []

    def recvmsg(self, *sizes: int) -> Any:
        if not self.waiting:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        datagram, sender = self.waiting.popleft()
        return datagram, [], 0, sender

    def sendto(self, datagram: Any, *to: Any) -> int:
        (address,) = to
        self.sent.append((datagram, address[1]))
        return len(datagram)


class PromptDesk(Desk):
    """Without the thread behind the tray: each packet meets what the one before has done."""

    def note(self, answer: Answer) -> None:
        self.report(answer)


@contextmanager
def live(fleet: Settings) -> Iterator[tuple[Wire, Wire, DhcpServer, Desk]]:
    """The server of the home network, as a worker runs it."""
    with closing(Wire()) as server, closing(Wire()) as binl:
        store = MemoryStore()
        desk = PromptDesk("dhcp", fleet, lambda: store)
        yield server, binl, DhcpServer(Sockets(server, binl), fleet.home, desk), desk


def following(datagram: bytes, offered: Mapping[bytes, bytes]) -> bytes:
    """The client asks for the address that it was offered last, where the packet names any."""
    with suppress(Malformed):
        message = dhcp4.parse(datagram)
        if Option.REQUESTED_ADDRESS in message.options and message.chaddr in offered:
            options = {**message.options, Option.REQUESTED_ADDRESS: offered[message.chaddr]}
            return dhcp4.build(replace(message, options=options))
    return datagram


def rehearsed(fleet: Settings) -> RehearsalDesk:
    return RehearsalDesk(fleet, MemoryStore())


SENDER = ("10.1.0.11", 68)
DATAGRAMS = st.lists(
    st.tuples(
        st.one_of(packets(), packets(), packets(), packets(), st.binary(max_size=300)),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=4,
    max_size=20,
)


@settings(deadline=None, max_examples=100)
@given(fleets(), DATAGRAMS)
def test_the_live_server_and_the_rehearsal_answer_with_the_same_bytes(
    fleet: Settings, datagrams: Sequence[tuple[bytes, bool]]
) -> None:
    desk = rehearsed(fleet)
    rehearsal = DhcpRehearsal(desk)
    with live(fleet) as (server, binl, serving, live_desk):
        offered: dict[bytes, bytes] = {}
        for given_datagram, is_binl in datagrams:
            datagram = following(given_datagram, offered)
            wire = binl if is_binl else server
            wire.waiting.append((datagram, SENDER))
            serving.drain(wire)
            outcome = rehearsal.answer(datagram, INTERFACE, SENDER if is_binl else None)
            expected = [(outcome.reply.datagram, outcome.reply.destination[1])] if outcome.reply else []
            assert wire.sent == expected
            assert live_desk.snapshot().hosts == desk.snapshot().hosts
            offered |= {reply[28:34]: reply[16:20] for reply, _ in wire.sent if any(reply[16:20])}
            wire.sent.clear()


def test_addresses_in_conflict_are_avoided_alike() -> None:
    """Declined addresses, which random packets seldom bring about: for who declined them, and for whoever enrols after that."""
    subnet = IPv4Network("10.1.0.0/24")
    home = Network("home", subnet, INTERFACE, IPv4Address("10.1.0.254"), range=AddressRange(subnet[100], subnet[103]))
    fleet = Settings(
        (home,),
        {"image": Image(Path("/nowhere"))},
        (),
        (HostEntry("node-0", "first", subnet[11], (MACS[0],)),),
        unknown_hosts=UnknownHosts.ENROL,
    )
    kinds = [
        (1, 1, None),
        (1, 4, 100),
        (1, 1, None),
        (2, 1, None),
        (0, 4, 11),
        (2, 4, 102),
        (1, 4, 101),
        (2, 1, None),
        (3, 1, None),
    ]
    desk = rehearsed(fleet)
    rehearsal = DhcpRehearsal(desk)
    given_out = []
    with live(fleet) as (server, _, serving, live_desk):
        for who, kind, address in kinds:
            options: dict[int, bytes] = {
                Option.MESSAGE_TYPE: bytes((kind,)),
                **({Option.REQUESTED_ADDRESS: subnet[address].packed} if address else {}),
            }
            datagram = dhcp4.build(Message(Op.BOOTREQUEST, 1, bytes.fromhex(MACS[who].replace(":", "")), options))
            server.waiting.append((datagram, SENDER))
            serving.drain(server)
            outcome = rehearsal.answer(datagram, INTERFACE)
            assert [sent for sent, _ in server.sent] == ([outcome.reply.datagram] if outcome.reply else [])
            assert live_desk.snapshot().hosts == desk.snapshot().hosts
            given_out += [str(IPv4Address(sent[16:20])) for sent, _ in server.sent]
            server.sent.clear()
    assert given_out == ["10.1.0.100", "10.1.0.101", "10.1.0.102", "10.1.0.103"]


@settings(deadline=None, max_examples=50)
@given(fleets(), DATAGRAMS)
def test_replay_tells_what_explain_tells(fleet: Settings, datagrams: Sequence[tuple[bytes, bool]]) -> None:
    """The same packets, once one by one and once out of a capture."""
    config = Config(fleet, renderer(fleet))
    explaining = Engine(config, MemoryStore())
    steps = []
    for datagram, is_binl in datagrams:
        outcome, step = explaining.dhcp(datagram, INTERFACE, SENDER if is_binl else None)
        if outcome.request is not None or _is_message(datagram):
            steps.append(step)
    replay = Replay(Engine(config, MemoryStore()), INTERFACE)
    frames = [_frame(datagram, dhcp4.BINL_PORT if is_binl else dhcp4.SERVER_PORT) for datagram, is_binl in datagrams]
    found = replay.read(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101) + b"".join(frames))
    assert replay.damage == ""
    assert [each.step for each in found] == steps


def _is_message(datagram: bytes) -> bool:
    """Whether a capture's reader takes it for a DHCP request at all."""
    try:
        message = dhcp4.parse(datagram)
        return isinstance(message.type, MessageType) and message.op is Op.BOOTREQUEST
    except Malformed:
        return False


def _frame(datagram: bytes, port: int) -> bytes:
    packet = udp4.build(Datagram(IPv4Address(SENDER[0]), SENDER[1], IPv4Address("10.1.0.254"), port, datagram))
    return struct.pack("<IIII", 1, 0, len(packet), len(packet)) + packet


def renderer(fleet: Settings) -> Renderer:
    return Renderer(fleet, {profile.name: Template.parse(BUTANE, f"{profile.name}.bu") for profile in fleet.profiles})


QUERIES = st.lists(
    st.sampled_from(
        ["serial=S0", "serial=S3", f"uuid={UUIDS[1]}", f"mac={MACS[2]}", "platform=pcbios&chip=e1000", "chip=snp", "mac=x"]
    ),
    max_size=3,
).map("&".join)
TARGETS = st.sampled_from(["/script", "/ignition", "/boot.ipxe"]).flatmap(
    lambda path: QUERIES.map(lambda query: f"{path}?{query}")
) | (
    st.sampled_from(
        ["/images/image/nothing", "/images/none/kernel", "/host/S0/boot_complete", "/host/node-1/stage/switch-root", "/x"]
    )
)


@settings(deadline=None, max_examples=60)
@given(fleets(), st.lists(st.tuples(st.sampled_from(["GET", "PUT"]), TARGETS, st.sampled_from(SPOTS)), max_size=6))
def test_the_http_front_decides_by_nothing_but_the_engine(fleet: Settings, asked: Sequence[tuple[str, str, IPv4Address]]) -> None:
    desk = rehearsed(fleet)
    http = HttpRehearsal(desk, renderer(fleet))
    for method, target, source in asked:
        before = desk.snapshot()
        answer = http.answer(HttpRequest(method, target, source))
        taken = desk.take()
        assert [decision.answer for decision in taken] == [decide(decision.request, before) for decision in taken]
        assert answer.status in {200, 202, 307, 403, 404, 405, 409, 503}
