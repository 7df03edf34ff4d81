"""QEMU's machine protocol at the other end of a real socket: answers in pieces, too late, too long, and none at all."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from kubeception_sim.agents.vm.qmp import Qmp, QmpError, QmpTimeout

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
READY = b'{"return": {}, "id": 1}\n'
DEADLINE = 0.3


@contextmanager
def qemu(*answers: Sequence[bytes]) -> Iterator[tuple[socket.socket, list[str]]]:
    """Greets, then sends the pieces of one answer for each command; with no answer left it reads on in silence.

    Gives the client's end, and the commands that came.
    """
    near, far = socket.socketpair()
    heard: list[str] = []

    def serve() -> None:
        left = iter(answers)
        with far, far.makefile("rb") as lines:
            far.sendall(GREETING)
            for line in lines:
                heard.append(json.loads(line)["execute"])
                with suppress(BrokenPipeError):  # the client has had enough
                    for piece in next(left, ()):
                        far.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield near, heard
    finally:
        near.close()
        thread.join()


def test_a_command_has_its_answer_though_events_come_between() -> None:
    event = b'{"event": "VSERPORT_CHANGE", "data": {"open": true}, "timestamp": {}}\n'
    with (
        qemu((READY,), (event, event, b'{"return": {"status"', b': "running"}, "id": 2}\n')) as (near, heard),
        Qmp(near, DEADLINE) as client,
    ):
        assert client.execute("query-status") == {"status": "running"}
        assert heard == ["qmp_capabilities", "query-status"]


def test_a_refusal_is_told_as_qemu_says_it() -> None:
    refusal = b'{"error": {"class": "GenericError", "desc": "no such device"}, "id": 2}\n'
    with (
        qemu((READY,), (refusal,)) as (near, _),
        Qmp(near, DEADLINE) as client,
        pytest.raises(QmpError, match="device_del: no such device"),
    ):
        client.execute("device_del", id="card")


def test_a_command_that_qemu_cannot_read_is_refused_without_its_number() -> None:
    with (
        qemu((READY,), (b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n',)) as (near, _),
        Qmp(near, DEADLINE) as client,
        pytest.raises(QmpError, match="JSON parse error"),
    ):
        client.execute("query-status")


def test_an_answer_after_its_deadline_is_not_the_next_commands() -> None:
    late = b'{"return": {"status": "paused"}, "id": 2}\n'
    with qemu((READY,), (), (late, b'{"return": {"status": "running"}, "id": 3}\n')) as (near, _), Qmp(near, DEADLINE) as client:
        with pytest.raises(QmpTimeout, match=r"the answer to query-status within 0\.3 s"):
            client.execute("query-status")
        assert client.execute("query-status") == {"status": "running"}


def test_a_qemu_that_does_not_greet_has_not_started() -> None:
    near, far = socket.socketpair()
    with near, far, pytest.raises(QmpTimeout, match="the greeting"), Qmp(near, DEADLINE):
        pytest.fail("no greeting came")


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"[]\n", b'{"hello": 1}\n'])
def test_another_protocol_is_none(said: bytes) -> None:
    near, far = socket.socketpair()
    far.sendall(said)
    with near, far, pytest.raises(QmpError), Qmp(near, DEADLINE):
        pytest.fail("it shook hands with a stranger")


def test_a_connection_that_ends_is_told_with_what_was_waited_for() -> None:
    near, far = socket.socketpair()
    far.sendall(GREETING + READY)
    with near, Qmp(near, DEADLINE) as client:
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(QmpError, match="QEMU closed the connection, waiting for the answer to query-status"):
            client.execute("query-status")
        far.close()
        with pytest.raises(QmpError, match="query-status: the connection is lost"):
            client.execute("query-status")


def test_a_message_without_an_end_is_not_kept() -> None:
    with (
        qemu((READY,), (b"x" * (2 << 20),)) as (near, _),
        Qmp(near, 10) as client,
        pytest.raises(QmpError, match="more than 1048576 bytes"),
    ):
        client.execute("query-status")
