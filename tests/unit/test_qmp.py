"""The client against a server on a real socket that plays a script, as QEMU would."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from kubeception_sim.errors import DeadlineExceeded
from kubeception_sim.machines.qmp import Qmp, QmpError

GREETING = b'{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}\r\n'
OK = b'{"return": {}, "id": 1}\r\n'  # the answer to the handshake's command


class Server:
    """Sends a greeting, then one prepared answer to each command, and keeps the commands."""

    def __init__(self, connection: socket.socket, answers: Sequence[bytes]) -> None:
        self.commands: list[dict[str, Any]] = []
        self._connection = connection
        self._answers = list(answers)

    def serve(self) -> None:
        with self._connection, self._connection.makefile("rwb") as file:
            try:
                self._play(file)
            except BrokenPipeError:
                return  # the client has left

    def _play(self, file: Any) -> None:
        file.write(self._answers.pop(0))
        file.flush()
        for line in file:
            self.commands.append(json.loads(line))
            if not self._answers:
                return
            file.write(self._answers.pop(0))
            file.flush()


@contextmanager
def qemu(*answers: bytes) -> Iterator[tuple[socket.socket, Server]]:
    near, far = socket.socketpair()
    server = Server(far, answers)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        with near:
            yield near, server
    finally:
        thread.join()


def test_a_command_returns_what_qemu_returned() -> None:
    with qemu(GREETING, OK, b'{"return": {"status": "running"}, "id": 2}\n') as (near, server), Qmp(near) as qmp:
        assert qmp.execute("query-status") == {"status": "running"}
        assert server.commands == [{"execute": "qmp_capabilities", "id": 1}, {"execute": "query-status", "id": 2}]


def test_arguments_are_passed_on() -> None:
    with qemu(GREETING, OK, b'{"return": {}, "id": 2}\n') as (near, server), Qmp(near) as qmp:
        qmp.execute("set_link", name="cable", up=False)
        assert server.commands[-1] == {"execute": "set_link", "id": 2, "arguments": {"name": "cable", "up": False}}


def test_events_before_an_answer_are_passed_over() -> None:
    event = {"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}
    answer = json.dumps(event).encode() + b"\n" + b'{"return": 1, "id": 2}\n'
    with qemu(GREETING, OK, answer) as (near, _), Qmp(near) as qmp:
        assert qmp.execute("stop") == 1


def test_a_refusal_is_an_error_with_qemus_words() -> None:
    refusal = b'{"error": {"class": "GenericError", "desc": "Device is locked"}, "id": 2}\n'
    with (
        qemu(GREETING, OK, refusal) as (near, _),
        Qmp(near) as qmp,
        pytest.raises(QmpError, match=r"^eject: Device is locked$"),
    ):
        qmp.execute("eject")


def test_a_connection_that_closes_is_an_error() -> None:
    with (
        qemu(GREETING, OK) as (near, _),
        Qmp(near) as qmp,
        pytest.raises(QmpError, match="closed the connection, waiting for the answer to quit"),
    ):
        qmp.execute("quit")


def test_silence_ends_at_the_deadline() -> None:
    near, far = socket.socketpair()
    with near, far, pytest.raises(DeadlineExceeded, match=r"did not send the greeting within 0.05 s"), Qmp(near, 0.05):
        pass


def test_a_late_answer_is_not_taken_for_the_next_commands() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(GREETING + OK)
        with Qmp(near, 0.1) as qmp:
            with pytest.raises(DeadlineExceeded, match="the answer to stop"):
                qmp.execute("stop")
            far.sendall(b'{"return": "late", "id": 2}\n{"return": "own", "id": 3}\n')
            assert qmp.execute("cont") == "own"


def test_what_qemu_could_not_read_is_an_error() -> None:
    refusal = b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n'
    with qemu(GREETING, OK, refusal) as (near, _), Qmp(near) as qmp, pytest.raises(QmpError, match="JSON parse error"):
        qmp.execute("stop")


def test_half_a_line_is_not_an_answer() -> None:
    with (
        qemu(GREETING, OK, b'{"return"') as (near, _),
        Qmp(near, 0.1) as qmp,
        pytest.raises(DeadlineExceeded, match="the answer to stop"),
    ):
        qmp.execute("stop")


@pytest.mark.parametrize(
    ("greeting", "complaint"),
    [(b"SSH-2.0-OpenSSH\n", "not JSON"), (b"{}\n", "not a QMP greeting"), (b"[]\n", "not a QMP message")],
)
def test_something_else_on_the_line_is_an_error(greeting: bytes, complaint: str) -> None:
    with qemu(greeting) as (near, _), pytest.raises(QmpError, match=complaint), Qmp(near):
        pass


def test_an_endless_line_is_an_error() -> None:
    with (
        qemu(b"x" * (2 << 20)) as (near, _),
        pytest.raises(QmpError, match="the greeting has more than 1048576 bytes"),
        Qmp(near),
    ):
        pass
