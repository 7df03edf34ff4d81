"""The TFTP server on loopback, seen by a client that is nothing but a socket."""

import os
import socket
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mayu_py.services.tftp import TftpServer, listen
from mayu_py.wire.tftp import Ack, Data, Error, Mode, Opcode, OptionAck, Packet, Request, parse

PATIENCE = 5.0


@dataclass
class Records:
    """A recorder that remembers. `wait_for` waits until something has been recorded."""

    counts: Tally[tuple[str, str]] = field(default_factory=Tally)
    started_files: list[str] = field(default_factory=list)
    finished_files: list[tuple[str, int]] = field(default_factory=list)
    aborted_files: list[tuple[str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def count(self, name: str, reason: str, n: int = 1) -> None:
        with self.changed:
            self.counts[str(name), str(reason)] += n
            self.changed.notify_all()

    def started(self, peer: tuple[str, int], file: str) -> None:
        if file == "bug":
            raise RuntimeError("a bug in whoever records")
        with self.changed:
            self.started_files.append(file)
            self.changed.notify_all()

    def finished(self, peer: tuple[str, int], file: str, size: int, seconds: float) -> None:
        with self.changed:
            self.finished_files.append((file, size))
            self.changed.notify_all()

    def aborted(self, peer: tuple[str, int], file: str, why: str) -> None:
        with self.changed:
            self.aborted_files.append((file, why.split(":")[0]))
            self.changed.notify_all()

    def wait_for(self, condition: Callable[["Records"], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), PATIENCE), self


@dataclass
class Running:
    root: Path
    port: int
    records: Records
    stop: Callable[[], None]


@contextmanager
def running(root: Path, listener: socket.socket, max_sessions: int = 2048, max_per_client: int = 2048) -> Iterator[Running]:
    records = Records()
    server = TftpServer(listener, root, recorder=records, max_sessions=max_sessions, max_per_client=max_per_client)
    wake, waker = os.pipe()
    thread = threading.Thread(target=server.serve, args=(wake,))
    thread.start()

    def stop() -> None:
        if thread.is_alive():
            os.write(waker, b"x")
        thread.join(PATIENCE)
        assert not thread.is_alive()

    try:
        yield Running(root, listener.getsockname()[1], records, stop)
    finally:
        stop()
        os.close(wake)
        os.close(waker)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with listen("0.0.0.0", 0) as listener, running(tmp_path, listener) as server:
        yield server


class Client:
    """A UDP socket that speaks in packets. The server's TID is where the last packet came from."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.server = (host, port)
        self.tid: tuple[str, int] = ("", 0)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, name: bytes, mode: Mode = Mode.OCTET, /, **options: str) -> None:
        self.socket.sendto(Request(Opcode.RRQ, name, mode, options).pack(), self.server)

    def send(self, packet: Packet) -> None:
        self.socket.sendto(packet.pack(), self.tid)

    def receive(self) -> Packet:
        datagram, self.tid = self.socket.recvfrom(70000)
        return parse(datagram)

    def fetch(self, name: bytes, mode: Mode = Mode.OCTET, /, **options: str) -> bytes:
        """A whole file, by the rules of RFC 1350, 2348 and 7440 for a network that loses nothing."""
        self.ask(name, mode, **options)
        packet = self.receive()
        granted = dict(packet.options) if isinstance(packet, OptionAck) else {}
        if granted:
            self.send(Ack(0))
            packet = self.receive()
        block_size, window = int(granted.get("blksize", 512)), int(granted.get("windowsize", 1))
        content, block = b"", 1
        while True:
            assert isinstance(packet, Data), packet
            assert packet.block == block % 65536
            content += packet.payload
            last = len(packet.payload) < block_size
            if last or block % window == 0:
                self.send(Ack(packet.block))
            if last:
                return content
            packet = self.receive()
            block += 1


def pattern(size: int) -> bytes:
    return (b"%08x" % size * (size // 8 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024, 300_000])
@pytest.mark.parametrize("options", [{}, {"blksize": "1468"}, {"blksize": "1024", "windowsize": "16"}])
def test_a_file_arrives_whole(server: Running, size: int, options: dict[str, str]) -> None:
    (server.root / "file").write_bytes(pattern(size))
    with Client(server.port) as client:
        assert client.fetch(b"/file", Mode.OCTET, **options) == pattern(size)
    server.records.wait_for(lambda records: records.finished_files == [("/file", size)])
    assert server.records.started_files == ["/file"]
    assert server.records.counts == {}


def test_a_text_is_translated_to_netascii(server: Running) -> None:
    (server.root / "text").write_bytes(b"one\ntwo\r\n")
    with Client(server.port) as client:
        assert client.fetch(b"text", Mode.NETASCII, tsize="0") == b"one\r\ntwo\r\0\r\n"


def test_netascii_of_a_large_file_is_refused_and_says_what_to_do(server: Running) -> None:
    (server.root / "large").write_bytes(bytes((4 << 20) + 1))
    with Client(server.port) as client:
        client.ask(b"large", Mode.NETASCII)
        assert client.receive() == Error(0, "netascii is for texts of at most 4 MiB; ask for octet (binary) mode")


def test_the_answer_comes_from_the_address_that_was_asked_and_from_a_new_port(server: Running) -> None:
    (server.root / "file").write_bytes(b"x")
    for address in ("127.0.0.2", "127.0.0.3"):
        with Client(server.port, address) as client:
            client.ask(b"file")
            assert client.receive() == Data(1, b"x")
            assert client.tid[0] == address
            assert client.tid[1] != server.port
            client.ask(b"missing")
            assert client.receive() == Error(1, "no such file")
            assert client.tid[0] == address


def test_a_stranger_gets_error_5_and_the_transfer_goes_on(server: Running) -> None:
    (server.root / "file").write_bytes(pattern(600))
    with Client(server.port) as client, Client(server.port) as stranger:
        client.ask(b"file")
        assert client.receive() == Data(1, pattern(600)[:512])
        stranger.tid = client.tid
        stranger.send(Ack(1))
        assert stranger.receive() == Error(5, "unknown transfer ID")
        stranger.send(Error(0, "errors are not answered"))
        client.send(Ack(1))
        assert client.receive() == Data(2, pattern(600)[512:])
        client.send(Ack(2))
    server.records.wait_for(lambda records: records.finished_files == [("file", 600)])
    assert server.records.counts["refused", "stranger"] == 1


def test_a_request_sent_again_does_not_start_a_second_transfer(server: Running) -> None:
    (server.root / "file").write_bytes(b"x")
    with Client(server.port) as client:
        client.ask(b"file", tsize="0")
        assert client.receive() == OptionAck({"tsize": "1"})
        first = client.tid
        client.ask(b"file", tsize="0")
        server.records.wait_for(lambda records: records.counts["dropped", "duplicate"] == 1)
        client.send(Ack(0))
        assert client.receive() == Data(1, b"x")
        assert client.tid == first


def test_a_new_request_from_the_same_port_replaces_a_transfer_that_was_under_way(server: Running) -> None:
    (server.root / "file").write_bytes(pattern(2000))
    with Client(server.port) as client:
        client.ask(b"file")
        client.receive()
        client.send(Ack(1))
        client.receive()
        assert client.fetch(b"file") == pattern(2000)
    server.records.wait_for(lambda records: records.finished_files == [("file", 2000)])
    assert server.records.aborted_files == [("file", "superseded")]


def test_a_client_that_only_wanted_the_size_is_a_probe_and_no_failure(server: Running) -> None:
    (server.root / "file").write_bytes(pattern(70_000))
    with Client(server.port) as client:
        client.ask(b"file", tsize="0", blksize="1468")
        assert client.receive() == OptionAck({"tsize": "70000", "blksize": "1468"})
        client.send(Error(8, "User aborted the transfer"))
    server.records.wait_for(lambda records: records.counts["unstarted", "probe"] == 1)
    assert (server.records.started_files, server.records.aborted_files) == ([], [])


def test_an_error_of_the_peer_ends_its_transfer(server: Running) -> None:
    (server.root / "file").write_bytes(pattern(5000))
    with Client(server.port) as client:
        client.ask(b"file")
        client.receive()
        client.send(Error(3, "disk full"))
    server.records.wait_for(lambda records: records.aborted_files == [("file", "peer-error")])


def test_a_client_that_has_closed_its_port_is_given_up_at_once(server: Running) -> None:
    (server.root / "file").write_bytes(pattern(5000))
    with Client(server.port) as client:
        client.ask(b"file")
        client.receive()
        client.send(Ack(1))
    server.records.wait_for(lambda records: records.aborted_files == [("file", "unreachable")])


def test_what_is_not_acknowledged_is_sent_again(server: Running) -> None:
    (server.root / "file").write_bytes(b"x")
    with Client(server.port) as client:
        client.ask(b"file")
        assert [client.receive(), client.receive()] == [Data(1, b"x"), Data(1, b"x")]
        client.send(Ack(1))
    server.records.wait_for(lambda records: records.finished_files == [("file", 1)])
    assert server.records.counts["resent", "timeout"] == 1


def test_more_transfers_than_select_could_watch_run_side_by_side(server: Running) -> None:
    (server.root / "file").write_bytes(pattern(600))
    clients = [Client(server.port) for _ in range(500)]
    try:
        for client in clients:
            client.ask(b"file")
        for number in (1, 2):
            for client in clients:
                packet = client.receive()
                assert isinstance(packet, Data)
                assert packet.block == number
                client.send(Ack(number))
        server.records.wait_for(lambda records: len(records.finished_files) == 500)
    finally:
        for client in clients:
            client.socket.close()


def test_requests_beyond_the_session_limit_are_dropped_for_the_client_to_repeat(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with (
        listen("127.0.0.1", 0) as listener,
        running(tmp_path, listener, max_sessions=1) as server,
        Client(server.port) as first,
        Client(server.port) as second,
    ):
        first.ask(b"file")
        first.receive()
        second.ask(b"file")
        server.records.wait_for(lambda records: records.counts["dropped", "busy"] == 1)
        first.send(Ack(1))
        server.records.wait_for(lambda records: records.finished_files == [("file", 1)])
        assert second.fetch(b"file") == b"x"


def test_a_client_beyond_its_own_limit_must_wait_while_its_transfers_go_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with (
        listen("127.0.0.1", 0) as listener,
        running(tmp_path, listener, max_per_client=1) as server,
        Client(server.port) as first,
        Client(server.port) as second,
    ):
        first.ask(b"file")
        first.receive()
        second.ask(b"file")
        server.records.wait_for(lambda records: records.counts["dropped", "client-busy"] == 1)
        first.send(Ack(1))
        server.records.wait_for(lambda records: records.finished_files == [("file", 1)])
        assert second.fetch(b"file") == b"x"


def test_a_client_that_was_switched_off_and_on_gets_the_place_of_its_stale_transfers(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with (
        listen("127.0.0.1", 0) as listener,
        running(tmp_path, listener, max_per_client=1) as server,
        Client(server.port) as gone,
        Client(server.port) as back,
    ):
        gone.ask(b"file")
        gone.receive()
        server.records.wait_for(lambda records: records.counts["resent", "timeout"] == 1)
        assert back.fetch(b"file") == b"x"
        assert server.records.aborted_files == [("file", "stale")]


def test_a_request_that_came_while_nobody_served_is_answered_by_the_next_server(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with listen("127.0.0.1", 0) as listener:
        with running(tmp_path, listener) as server:
            server.stop()
        with Client(listener.getsockname()[1]) as client:
            client.ask(b"file")
            with running(tmp_path, listener):
                assert client.receive() == Data(1, b"x")


def test_stopping_tells_the_peers_and_records_it(server: Running) -> None:
    (server.root / "file").write_bytes(b"x")
    with Client(server.port) as client:
        client.ask(b"file")
        client.receive()
        server.stop()
        assert client.receive() == Error(0, "the server is stopping")
    assert server.records.aborted_files == [("file", "stopped")]


def test_a_file_cut_short_during_its_transfer_ends_it_with_an_error(server: Running) -> None:
    file = server.root / "file"
    file.write_bytes(bytes(2_000_000))
    with Client(server.port) as client:
        client.ask(b"file")
        packet = client.receive()
        os.truncate(file, 1000)
        while isinstance(packet, Data):
            client.send(Ack(packet.block))
            packet = client.receive()
    assert packet == Error(0, "the file has changed")
    server.records.wait_for(lambda records: records.aborted_files == [("file", "file-changed")])


def test_a_file_replaced_during_its_transfer_arrives_as_it_was(server: Running) -> None:
    file = server.root / "file"
    file.write_bytes(pattern(1_000_000))
    with Client(server.port) as client, Client(server.port) as late:
        client.ask(b"file", windowsize="64", blksize="1468")
        assert isinstance(client.receive(), OptionAck)
        (server.root / "new").write_bytes(b"new")
        os.replace(server.root / "new", file)
        client.send(Ack(0))
        assert client.receive() == Data(1, pattern(1_000_000)[:1468])
        assert late.fetch(b"file") == b"new"


def test_a_bug_met_by_one_packet_costs_only_its_sender(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    (server.root / "bug").write_bytes(b"x")
    (server.root / "file").write_bytes(b"x")
    with Client(server.port) as unlucky, Client(server.port) as client:
        unlucky.ask(b"bug")
        server.records.wait_for(lambda records: records.counts["dropped", "internal"] == 1)
        assert client.fetch(b"file") == b"x"
    assert "a bug in whoever records" in caplog.text
