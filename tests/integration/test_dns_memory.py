"""What DNS over UDP remembers: a question that is asked again, and none of the names that somebody makes up."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mayu_py.services import dns
from mayu_py.services.dns import UdpFront
from mayu_py.services.dns_loop import Loop
from mayu_py.services.dns_names import Outcome, Send

Ask = Callable[[bytes], bytes]


class Answering:
    """The names behind the front: every question has the answer `ok`, for as long as nothing changes."""

    generation = 0

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def refresh(self, now: float) -> None:
        """There is nothing to follow."""

    def allowed(self, address: str) -> bool:
        return True

    def answer(self, message: bytes, peer: str, send: Send, *, tcp: bool) -> Outcome:
        self.asked.append(message[2:])
        send(message[:2] + b"\x84\x00ok")
        return Outcome.LASTING


def uncounted(name: str, reason: str, n: int = 1) -> None:
    """Nobody looks at counters here."""


@pytest.fixture
def names() -> Answering:
    return Answering()


@pytest.fixture
def ask(names: Any) -> Iterator[Ask]:
    """Asks the front, which takes in what waits in its socket, and returns the answer."""
    loop = Loop(uncounted)
    with dns.listen_udp("127.0.0.1", 0) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        front = UdpFront(server, names, loop, uncounted)
        client.connect(server.getsockname())
        client.settimeout(5.0)

        def ask(message: bytes) -> bytes:
            client.send(message)
            front._on_datagrams(0)
            return client.recv(100)

        yield ask
    loop.close()


def test_the_second_answer_is_remembered_for_all_that_follow(ask: Ask, names: Answering) -> None:
    assert [ask(bytes((7, number)) + b"question") for number in range(5)] == [bytes((7, n)) + b"\x84\x00ok" for n in range(5)]
    assert names.asked == [b"question"] * 2
    names.generation += 1
    ask(b"\0\0question")
    assert len(names.asked) == 3


def test_made_up_names_push_nothing_out(ask: Ask, names: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "MOST_ONCE", 10)
    monkeypatch.setattr(dns, "READY_LIMIT", 1000)
    for _ in range(2):
        ask(b"\0\0question")
    for number in range(100):
        ask(b"\0\0made up %d" % number)
    asked = len(names.asked)
    ask(b"\0\0question")
    assert len(names.asked) == asked
