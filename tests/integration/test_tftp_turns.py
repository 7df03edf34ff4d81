"""Clients that are quicker than the server: what they have sent is not yet read when it judges their next request."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mayu_py.services.tftp import TftpServer, listen
from mayu_py.wire.tftp import Ack, Data, Packet, parse
from tests.integration.test_tftp_hostile import Records, furnish, read, udp


class Quick(Records):
    """Acts in the server's own turn: when a transfer has begun, and nothing has been sent for it yet."""

    server = ("", 0)

    @contextmanager
    def served(self, root: Path, *, max_per_client: int = 16) -> Iterator[None]:
        """A server for the length of the block, whose first turn finds what `ask` sends."""
        wake, waker = os.pipe()
        with listen("127.0.0.1", 0) as listener:
            self.server = listener.getsockname()
            self.ask()
            server = TftpServer(listener, root, recorder=self, max_per_client=max_per_client)
            thread = threading.Thread(target=server.serve, args=(wake,))
            thread.start()
            try:
                yield
            finally:
                os.write(waker, b"x")
                thread.join()
        os.close(wake)
        os.close(waker)

    def ask(self) -> None:
        """The first requests: two, so that the server's turn is not over with one."""
        raise NotImplementedError


def acknowledged(client: socket.socket) -> Packet:
    """The next packet for a client, which acknowledges it."""
    answer, tid = client.recvfrom(2048)
    packet = parse(answer)
    if isinstance(packet, Data):
        client.sendto(Ack(packet.block).pack(), tid)
    return packet


class Prompt(Quick):
    """Does all of its part of one transfer, and asks for the next but one, while the server still takes requests."""

    def __init__(self, asked: int) -> None:
        super().__init__()
        self.clients = [udp() for _ in range(asked)]
        self.left = list(self.clients)
        self.answered: list[Packet] = []

    def ask(self) -> None:
        self.request()
        self.request()

    def request(self) -> None:
        if self.left:
            self.left.pop(0).sendto(read(b"barrier"), self.server)

    def started(self, peer: tuple[str, int], file: str) -> None:
        super().started(peer, file)
        # The one before this one has its answer.
        if len(self.answered) + 1 < self.counts["started", file]:
            self.acknowledge()
        self.request()

    def acknowledge(self) -> None:
        self.answered.append(acknowledged(self.clients[len(self.answered)]))


def test_a_client_that_is_quicker_than_the_server_is_not_taken_for_one_that_asks_too_much(tmp_path: Path) -> None:
    furnish(tmp_path / "root")
    records = Prompt(12)
    try:
        with records.served(tmp_path / "root", max_per_client=3):
            records.clients[-1].recv(2048, socket.MSG_PEEK)
            records.acknowledge()
    finally:
        for client in records.clients:
            client.close()
    assert records.answered == [Data(1, b"here")] * 12
    assert records.total("dropped") == 0


class Hasty(Quick):
    """Asks twice, and has answered the first block when the server finds the second request."""

    def __init__(self, client: socket.socket, other: socket.socket) -> None:
        super().__init__()
        self.client, self.other = client, other
        self.answered: list[Packet] = []

    def ask(self) -> None:
        self.client.sendto(read(b"long"), self.server)
        self.other.sendto(read(b"barrier"), self.server)

    def started(self, peer: tuple[str, int], file: str) -> None:
        super().started(peer, file)
        if file == "barrier":
            self.client.sendto(read(b"long"), self.server)
            self.answered.append(acknowledged(self.client))


def test_a_request_sent_again_does_not_end_the_transfer_that_its_client_goes_on_with(tmp_path: Path) -> None:
    furnish(tmp_path / "root")
    (tmp_path / "root" / "long").write_bytes(bytes(1200))
    with udp() as client, udp() as other:
        records = Hasty(client, other)
        with records.served(tmp_path / "root"):
            other.recv(2048)
            records.answered += [acknowledged(client), acknowledged(client)]
    assert records.answered == [Data(1, bytes(512)), Data(2, bytes(512)), Data(3, bytes(176))]
    assert records.counts["dropped", "duplicate"] == 1
