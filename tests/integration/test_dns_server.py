"""The DNS worker on loopback: dig over UDP and TCP, other servers that lie or are silent, and datagrams nobody should send."""

import contextlib
import os
import random
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import dnslib
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mayu_py.core.enrolment import Newcomer
from mayu_py.core.faces import Cluster, Dns, DomainName, Etcd, Forwarder
from mayu_py.core.hosts import Identity, Mac
from mayu_py.core.networks import AddressRange, Network
from mayu_py.core.settings import HostEntry, Settings
from mayu_py.services import dns_tcp
from mayu_py.services.desk import Desk
from mayu_py.services.dns import DnsServer, listen_tcp, listen_udp
from mayu_py.store.sqlite import SqliteStore

LOOPBACK = "127.0.0.1"
SECONDS = 10.0
MEMBERS = 200
DNS = Dns(
    DomainName("rack.example"),
    aliases={DomainName("api"): DomainName("node-1")},
    wildcards={Cluster("customera"): (IPv4Address("10.77.0.1"), IPv4Address("10.77.0.2"))},
    etcd=Etcd("node"),
)
NETWORK = Network(
    "rack",
    IPv4Network("10.77.0.0/22"),
    interface="lo",
    address=IPv4Address("10.77.0.254"),
    range=AddressRange(IPv4Address("10.77.3.1"), IPv4Address("10.77.3.20")),
)
SETTINGS = Settings(
    networks=(NETWORK,),
    images={},
    profiles=(),
    hosts=tuple(HostEntry(f"node-{number}", "node", IPv4Address("10.77.0.0") + number) for number in range(1, MEMBERS + 1)),
)


def _one_port() -> tuple[socket.socket, socket.socket]:
    """Sockets of one number. The kernel chooses it for UDP, and somebody may have it for TCP."""
    while True:
        udp = listen_udp(LOOPBACK, 0)
        try:
            return udp, listen_tcp(LOOPBACK, udp.getsockname()[1])
        except OSError:
            udp.close()


class Server:
    """The worker's loop in a thread."""

    def __init__(self, path: Path, dns: Dns) -> None:
        self.path = path
        self.udp, self.tcp = _one_port()
        self.port = self.udp.getsockname()[1]
        self.desk = Desk("dns", SETTINGS, lambda: SqliteStore(path))
        self.desk.open()
        self.stop_read, self.stop_write = os.pipe()
        server = DnsServer(self.udp, self.tcp, dns, self.desk)
        self.thread = threading.Thread(target=server.serve, args=(self.stop_read,))
        self.thread.start()

    def close(self) -> Counter[tuple[str, str]]:
        """Stop; returns what was counted."""
        os.close(self.stop_write)
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()
        os.close(self.stop_read)
        self.desk.close()
        self.udp.close()
        self.tcp.close()
        with closing(SqliteStore(self.path)) as store:
            return Counter({(name, reason): count for _, name, reason, count in store.counters()})

    def dig(self, *words: str) -> str:
        """What dig prints, without what differs from run to run."""
        if shutil.which("dig") is None:
            pytest.skip("looked for dig: bind9-dnsutils is not installed")
        argv = ["dig", f"@{LOOPBACK}", "-p", str(self.port), "+tries=1", "+time=8", "+nostats", "+nocmd", *words]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def short(self, *words: str) -> list[str]:
        return self.dig("+short", *words).split()

    def ask(self, message: bytes) -> bytes:
        with udp() as client:
            client.sendto(message, (LOOPBACK, self.port))
            return client.recv(65535)

    def connect(self) -> socket.socket:
        return socket.create_connection((LOOPBACK, self.port), timeout=SECONDS)


def udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(SECONDS)
    return made


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Server] = []

    def begin(**changes: object) -> Server:
        started.append(Server(tmp_path / f"mayu{len(started)}.db", replace(DNS, **changes)))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for server in started:
        if server.thread.is_alive():
            server.close()


def question(name: str = "node-1.rack.example", number: int = 7, qtype: str = "A") -> bytes:
    record = dnslib.DNSRecord.question(name, qtype)
    record.header.id = number
    return bytes(record.pack())


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def read_answers(connection: socket.socket, count: int) -> list[dnslib.DNSRecord]:
    stream = connection.makefile("rb")
    return [dnslib.DNSRecord.parse(stream.read(int.from_bytes(stream.read(2), "big"))) for _ in range(count)]


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_dig_is_told_names_addresses_and_that_there_are_none(start: Start, transport: str) -> None:
    server = start()
    assert server.short(transport, "node-5.rack.example") == ["10.77.0.5"]
    assert server.short(transport, "-x", "10.77.0.5") == ["node-5.rack.example."]
    assert server.short(transport, "api.rack.example") == ["node-1.rack.example.", "10.77.0.1"]
    assert server.short(transport, "any.customera.rack.example") == ["10.77.0.1", "10.77.0.2"]
    missing = server.dig(transport, "node-999.rack.example")
    assert "status: NXDOMAIN" in missing
    assert "SOA\tns.rack.example. hostmaster.rack.example. 1 3600 600 604800 5" in missing
    empty = server.dig(transport, "node-5.rack.example", "AAAA")
    assert "status: NOERROR" in empty
    assert "ANSWER: 0, AUTHORITY: 1" in empty
    assert "status: REFUSED" in server.dig(transport, "www.example.org")
    assert "NoDe-5.Rack.Example." in server.dig(transport, "NoDe-5.Rack.Example")
    counts = server.close()
    assert counts["dns.refused", "not-ours"] == 1
    assert counts["dns.sent", "nxdomain"] == 1
    assert counts["dns.drop", "internal"] == 0


def test_edns_of_another_version_is_told_which_one_there_is(start: Start) -> None:
    told = start().dig("+edns=1", "+noednsneg", "node-5.rack.example")
    assert "status: BADVERS" in told
    assert "EDNS: version: 0, flags:; udp: 1232" in told


def test_unknown_options_and_cookies_are_ignored(start: Start) -> None:
    assert start().short("+ednsopt=65001:00ff", "+cookie", "+nsid", "node-5.rack.example") == ["10.77.0.5"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("CH", "TXT", "version.bind"), "REFUSED"),
        (("rack.example", "AXFR", "+notcp"), "REFUSED"),
        (("+opcode=NOTIFY", "rack.example", "SOA"), "NOTIMP"),
        (("+opcode=UPDATE", "rack.example", "SOA"), "NOTIMP"),
    ],
)
def test_what_is_not_served_is_said_to_be_so(start: Start, words: tuple[str, ...], status: str) -> None:
    message = start().dig(*words)
    # dig shows a failed transfer in its own words.
    assert f"status: {status}" in message or "Transfer failed" in message


def test_a_large_answer_comes_over_tcp(start: Start) -> None:
    server = start()
    name = "_etcd-server._tcp.rack.example"
    assert "flags: qr aa tc rd" in server.dig("+ignore", name, "SRV")
    assert len(server.ask(question(name, qtype="SRV"))) <= 512
    whole = server.dig(name, "SRV")  # dig asks again over TCP.
    assert f"ANSWER: {MEMBERS}, AUTHORITY: 0, ADDITIONAL: {MEMBERS + 1}" in whole


@pytest.mark.parametrize("size", [512, 600, 1232, 4096])
def test_no_datagram_is_larger_than_client_and_network_take(start: Start, size: int) -> None:
    record = dnslib.DNSRecord.question("rack.example", "NS")
    record.add_ar(dnslib.EDNS0(udp_len=size))
    server = start(records={DomainName("many"): tuple(IPv4Address("192.0.2.0") + number for number in range(32))})
    for name in ("many", "any.customera", "_etcd-client._tcp"):
        record.q.qname, record.q.qtype = dnslib.DNSLabel(f"{name}.rack.example"), 33 if name.startswith("_") else 1
        assert len(server.ask(record.pack())) <= min(size, 1232)


def test_many_queries_on_one_connection_are_all_answered(start: Start) -> None:
    with start().connect() as connection:
        connection.sendall(b"".join(framed(question(f"node-{n}.rack.example", n)) for n in range(1, MEMBERS + 1)))
        answers = read_answers(connection, MEMBERS)
        assert {(a.header.id, str(a.rr[0].rdata)) for a in answers} == {(n, f"10.77.0.{n}") for n in range(1, MEMBERS + 1)}
        for byte in framed(question()):  # Still open, and in no hurry.
            connection.send(bytes((byte,)))
        connection.shutdown(socket.SHUT_WR)
        assert len(read_answers(connection, 1)) == 1
        assert connection.recv(1) == b""


def test_who_does_not_take_answers_is_not_read_from(start: Start) -> None:
    server = start()
    with server.connect() as connection:
        connection.settimeout(0.5)
        large = framed(question("_etcd-server._tcp.rack.example", qtype="SRV"))
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                sent += connection.send(large * 100)
        assert sent < 64 << 20
        assert server.short("node-1.rack.example") == ["10.77.0.1"]
        connection.settimeout(SECONDS)
        assert len(read_answers(connection, 300)) == 300


def test_connections_are_bounded_per_client_and_end_when_idle(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_tcp, "IDLE_SECONDS", 1.0)
    monkeypatch.setattr(dns_tcp, "MOST_PER_CLIENT", 5)
    server = start()
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(5)]
        read = stack.enter_context(server.connect())
        assert read.recv(1) == b""
        # A drop of a query now and then does not keep a connection.
        for connection in held:
            connection.sendall(framed(question())[:5])
        assert [connection.recv(1) for connection in held] == [b""] * 5
    counts = server.close()
    assert counts["dns.tcp", "client-full"] == 1
    assert counts["dns.tcp", "idle"] == 5


@pytest.mark.parametrize("junk", [b"\0\0", b"\0\x05hello", b"\xff\xff" + b"x" * 100, framed(b"\0\7\x80" + bytes(20))])
def test_nonsense_ends_a_connection(start: Start, junk: bytes) -> None:
    server = start()
    with server.connect() as connection:
        connection.sendall(junk)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert server.short("+tcp", "node-1.rack.example") == ["10.77.0.1"]


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_strangers_are_refused_whatever_they_ask(start: Start, transport: str) -> None:
    server = start(allow=(IPv4Network("10.0.0.0/8"),), forwarders=(Forwarder(IPv4Address("127.0.0.99")),))
    if transport == "+notcp":
        for name in ("node-1.rack.example", "www.example.org"):
            assert "status: REFUSED" in server.dig(name)
        assert server.close()["dns.refused", "stranger"] == 2
    else:
        with server.connect() as connection, contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        assert server.close()["dns.tcp", "stranger"] == 1


def test_a_host_that_enrols_has_a_name_within_a_second(start: Start) -> None:
    server = start()
    with closing(SqliteStore(server.path)) as store, Desk("other", SETTINGS, lambda: SqliteStore(server.path)) as other:
        assert "status: NXDOMAIN" in server.dig("10-77-3-1.rack.example")
        other.enrol([Newcomer(Identity(mac=Mac("52:54:00:00:00:05")), NETWORK)])
        assert store.inventory().revision == 1
        deadline = time.monotonic() + 1.0
        while (found := server.short("10-77-3-1.rack.example")) != ["10.77.3.1"]:
            assert time.monotonic() < deadline, found
        assert server.short("-x", "10.77.3.1") == ["10-77-3-1.rack.example."]


class Other:
    """Another name server: `answer` makes the datagrams that a question is answered with."""

    def __init__(self, answer: Callable[[dnslib.DNSRecord], list[bytes]], host: str = "127.0.0.2") -> None:
        self.udp = udp()
        self.udp.bind((host, 0))
        self.udp.settimeout(0.1)
        self.port = self.udp.getsockname()[1]
        self.tcp = socket.create_server((host, self.port))
        self.tcp.settimeout(0.1)
        self.address = Forwarder(IPv4Address(host), self.port)
        self.answer = answer
        self.asked: list[tuple[int, int]] = []
        self.stopping = False
        self.threads = [threading.Thread(target=run) for run in (self._datagrams, self._streams)]
        for thread in self.threads:
            thread.start()

    def _datagrams(self) -> None:
        while not self.stopping:
            with contextlib.suppress(TimeoutError):
                message, peer = self.udp.recvfrom(4096)
                record = dnslib.DNSRecord.parse(message)
                self.asked.append((record.header.id, peer[1]))
                for reply in self.answer(record):
                    self.udp.sendto(reply, peer)

    def _streams(self) -> None:
        while not self.stopping:
            with contextlib.suppress(TimeoutError), self.tcp.accept()[0] as connection:
                connection.settimeout(SECONDS)
                stream = connection.makefile("rb")
                record = dnslib.DNSRecord.parse(stream.read(int.from_bytes(stream.read(2), "big")))
                connection.sendall(framed(good(record, addresses=300)[0]))

    def close(self) -> None:
        self.stopping = True
        for thread in self.threads:
            thread.join(SECONDS)
        self.udp.close()
        self.tcp.close()


def good(record: dnslib.DNSRecord, addresses: int = 1) -> list[bytes]:
    reply = record.reply()
    reply.header.ra = 1
    for number in range(addresses):
        reply.add_answer(dnslib.RR(record.q.qname, 1, ttl=60, rdata=dnslib.A(f"192.0.2.{number % 250 + 1}")))
    return [bytes(reply.pack())]


@pytest.fixture
def other() -> Iterator[Callable[..., Other]]:
    started: list[Other] = []

    def begin(answer: Callable[[dnslib.DNSRecord], list[bytes]] = good, host: str = "127.0.0.2") -> Other:
        started.append(Other(answer, host))
        return started[-1]

    yield begin
    for each in started:
        each.close()


def test_other_names_are_asked_for_once_and_remembered(start: Start, other: Callable[..., Other]) -> None:
    elsewhere = other()
    server = start(forwarders=(elsewhere.address,))
    first = server.dig("www.example.org")
    assert "flags: qr rd ra;" in first
    assert server.short("WWW.example.org") == ["192.0.2.1"]
    assert server.short("+tcp", "www.example.org") == ["192.0.2.1"]
    assert len(elsewhere.asked) == 1
    assert server.short("node-1.rack.example") == ["10.77.0.1"]
    assert "status: REFUSED" in server.dig("+norecurse", "www.example.org")
    counts = server.close()
    assert (counts["dns.forward", "asked"], counts["dns.forward", "remembered"]) == (1, 2)


def test_questions_have_numbers_and_ports_that_do_not_repeat(start: Start, other: Callable[..., Other]) -> None:
    elsewhere = other()
    server = start(forwarders=(elsewhere.address,))
    for number in range(20):
        server.ask(question(f"n{number}.example.org"))
    assert len({number for number, _ in elsewhere.asked}) > 18
    assert len({port for _, port in elsewhere.asked}) > 18


def test_everybody_who_asks_the_same_waits_for_one_answer(start: Start, other: Callable[..., Other]) -> None:
    def slow(record: dnslib.DNSRecord) -> list[bytes]:
        time.sleep(0.5)
        return good(record)

    elsewhere = other(slow)
    server = start(forwarders=(elsewhere.address,))
    with udp() as client:
        for number in range(10):
            client.sendto(question("www.example.org", number), (LOOPBACK, server.port))
        answers = [dnslib.DNSRecord.parse(client.recv(4096)) for _ in range(10)]
    assert {answer.header.id for answer in answers} == set(range(10))
    assert len(elsewhere.asked) == 1


def test_a_large_answer_is_fetched_over_tcp(start: Start, other: Callable[..., Other]) -> None:
    def cut(record: dnslib.DNSRecord) -> list[bytes]:
        reply = record.reply()
        reply.header.tc = 1
        return [bytes(reply.pack())]

    server = start(forwarders=(other(cut).address,))
    assert "ANSWER: 300" in server.dig("+tcp", "www.example.org")
    assert "tc" in server.dig("+ignore", "www.example.org").split("flags:")[1].split(";")[0]


def test_lies_are_not_believed(start: Start, other: Callable[..., Other]) -> None:
    def lying(record: dnslib.DNSRecord) -> list[bytes]:
        truth = good(record)[0]
        wrong_number = struct.pack("!H", record.header.id ^ 1) + truth[2:]
        wrong_name = good(dnslib.DNSRecord(record.header, q=dnslib.DNSQuestion("bad.example.org")))[0]
        return [b"", wrong_number, wrong_name, truth[:-3], truth]

    server = start(forwarders=(other(lying).address,))
    assert server.short("www.example.org") == ["192.0.2.1"]
    counts = server.close()
    reasons = ("short", "number", "question", "truncated")
    assert {reason: counts["dns.forward-drop", reason] for reason in reasons} == dict.fromkeys(reasons, 1)


def failing(record: dnslib.DNSRecord) -> list[bytes]:
    reply = record.reply()
    reply.header.rcode = 2
    return [bytes(reply.pack())]


def silent(record: dnslib.DNSRecord) -> list[bytes]:
    return []


@pytest.mark.parametrize("answer", [failing, silent])
def test_the_next_server_is_asked_when_one_is_of_no_use(
    start: Start, other: Callable[..., Other], answer: Callable[[dnslib.DNSRecord], list[bytes]]
) -> None:
    bad, fine = other(answer), other(good, "127.0.0.3")
    server = start(forwarders=(bad.address, fine.address))
    assert server.short("www.example.org") == ["192.0.2.1"]
    assert (len(bad.asked), len(fine.asked)) == (1, 1)


def test_when_nobody_answers_the_client_is_told_so_in_time(start: Start, other: Callable[..., Other]) -> None:
    closed = Forwarder(IPv4Address("127.0.0.4"), 9)
    server = start(forwarders=(other(silent).address, closed))
    began = time.monotonic()
    assert "status: SERVFAIL" in server.dig("www.example.org")
    assert time.monotonic() - began < 5
    assert server.short("node-1.rack.example") == ["10.77.0.1"]


def test_questions_on_their_way_are_bounded(start: Start, other: Callable[..., Other]) -> None:
    server = start(forwarders=(other(silent).address,))
    with udp() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for number in range(400):
            client.sendto(question(f"n{number}.example.org", number), (LOOPBACK, server.port))
        answers = [dnslib.DNSRecord.parse(client.recv(4096)) for _ in range(400)]
    assert {answer.header.rcode for answer in answers} == {2}
    counts = server.close()
    assert (counts["dns.forward", "asked"], counts["dns.forward", "full"]) == (256, 144)


GOOD = question()


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good query with a few bytes changed, added or cut: the parser gets far before it stumbles."""
    raw = bytearray(draw(st.sampled_from([GOOD, bytes(dnslib.DNSRecord.parse(GOOD).pack()) + b"\0\0\x29\4\0\0\0\0\0\0\0"])))
    for _ in range(draw(st.integers(0, 6))):
        raw[draw(st.integers(2, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw[: draw(st.integers(0, len(raw)))] + draw(st.binary(max_size=40)))


@pytest.mark.timeout(120)
def test_ten_thousand_odd_datagrams_are_answered_or_counted(start: Start) -> None:
    server = start()
    waiting: list[bytes] = []
    sent = 0

    def throw() -> None:
        nonlocal sent
        with udp() as client:
            for message in waiting:
                client.sendto(message, (LOOPBACK, server.port))
            client.sendto(question(number=0xFFFF), (LOOPBACK, server.port))
            while client.recv(4096)[:4] != b"\xff\xff\x85\0":
                pass
        sent += len(waiting) + 1
        waiting.clear()

    @settings(max_examples=10_000, database=None, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=60) | mangled())
    def collect(message: bytes) -> None:
        waiting.append(message)
        if len(waiting) == 100:
            throw()

    collect()
    throw()
    counts = server.close()
    assert counts["dns.drop", "internal"] == 0
    assert sum(counts.values()) == sent
    assert sent >= 10_000


def test_no_datagram_is_expensive(start: Start) -> None:
    chance = random.Random(1035)
    server = start()
    costly = [
        struct.pack("!6H", 1, 0, 65535, 0, 0, 0) + b"\xc0\x0c\0\1\0\1" * 200,
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c" * 500,
        question("a." * 100 + "rack.example"),
        struct.pack("!6H", 1, 0, 1, 0, 0, 1) + GOOD[12:] + b"\0\0\x29\4\0\0\0\0\0\4\x80" + b"\0\1\0\0" * 288,
        *(question(f"{chance.randbytes(8).hex()}.customera.rack.example") for _ in range(500)),
        *(question(f"{chance.randbytes(8).hex()}.rack.example") for _ in range(500)),
    ]
    began = time.monotonic()
    for message in costly:
        assert len(server.ask(message)) >= 12
    # 0.1 ms each on an idle machine.
    assert (time.monotonic() - began) / len(costly) < 0.01
