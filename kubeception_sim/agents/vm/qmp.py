"""QEMU's machine protocol: one JSON object a line, over a unix socket (docs/interop/qmp-spec in QEMU's sources).

Synchronous and small on purpose. Each command has an id, so that an answer which comes after its deadline is not taken
for the next command's. Events are passed over: a guest makes as many of them as it likes, by opening and closing its ports.
"""

import itertools
import json
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

DEADLINE_SECONDS = 10.0
_MAX_MESSAGE = 1 << 20


class QmpError(Exception):
    """QEMU refused a command, closed the connection, or does not speak QMP."""


class QmpTimeout(Exception):
    """QEMU did not answer in time."""


class Qmp:
    """A client on a connected stream socket, which it owns. Every wait has a deadline, in seconds.

    Safe to use from several threads: one command at a time.
    """

    def __init__(self, connection: socket.socket, deadline: float = DEADLINE_SECONDS) -> None:
        self._socket = connection
        self._buffer = b""
        self._deadline = deadline
        self._ids = itertools.count(1)
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        """Shake hands: QEMU greets when its main loop runs, so this is also how to know that it has started."""
        try:
            greeting = self._message(time.monotonic() + self._deadline, "the greeting")
            if "QMP" not in greeting:
                raise QmpError(f"not a QMP greeting: {greeting}")
            self.execute("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command and return what it returned.

        Raises QmpError for a refusal or a lost connection, QmpTimeout when no answer comes.
        """
        with self._turn:
            return self._execute(command, arguments)

    def _execute(self, command: str, arguments: dict[str, Any]) -> Any:
        until = time.monotonic() + self._deadline
        own = next(self._ids)
        request = {"execute": command, "id": own} | ({"arguments": arguments} if arguments else {})
        self._socket.settimeout(self._deadline)
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpError(f"{command}: the connection is lost: {error.strerror or error}") from error
        while True:
            message = self._message(until, f"the answer to {command}")
            if "error" in message and message.get("id", own) == own:  # no id: QEMU could not even read the command
                raise QmpError(f"{command}: {message['error'].get('desc', message['error'])}")
            if message.get("id") == own and "return" in message:
                return message["return"]

    def _message(self, until: float, what: str) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            self._buffer += self._receive(until, what)
            if len(self._buffer) > _MAX_MESSAGE:
                raise QmpError(f"{what} has more than {_MAX_MESSAGE} bytes")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError as error:
            raise QmpError(f"not JSON: {line[:200]!r}") from error
        if not isinstance(message, dict):
            raise QmpError(f"not a QMP message: {message!r}")
        return message

    def _receive(self, until: float, what: str) -> bytes:
        left = until - time.monotonic()
        try:
            self._socket.settimeout(max(left, 0.001))
            chunk = self._socket.recv(65536)
        except TimeoutError as error:
            raise QmpTimeout(f"QEMU did not send {what} within {self._deadline:g} s") from error
        except OSError as error:
            raise QmpError(f"the connection is lost, waiting for {what}: {error.strerror or error}") from error
        if not chunk:
            raise QmpError(f"QEMU closed the connection, waiting for {what}")
        return chunk
