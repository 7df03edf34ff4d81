"""What others want of a keeper, on a unix socket: one line with a wish and its arguments (JSON), one JSON object for an answer.

A keeper answers `status` and `certificates` at once, from a thread; it grants `mend` and `rotate` in its own time, one after the
other, and answers then. No answer means that it has ended. (`down` is a signal: it must reach a keeper that is busy.)
"""

import json
import os
import select
import socket
import socketserver
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from threading import Thread
from typing import Any

from kubeception_sim import claims
from kubeception_sim.errors import HarnessError

_POLL_SECONDS = 0.1
_LINE_BYTES = 1 << 16

Answer = Mapping[str, Any]
Arguments = Mapping[str, Any]


class Wish(StrEnum):
    """What can be asked."""

    STATUS = "status"
    MEND = "mend"
    CERTIFICATES = "certificates"
    ROTATE = "rotate"  # arguments: those of `rotating.Wanted`


@contextmanager
def listen(name: str, grant: Callable[[Wish, Arguments], Answer]) -> Iterator[None]:
    """Answer to the lab's name for the length of the block. `grant` is called in a thread for each wish."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline(_LINE_BYTES).decode(errors="replace").strip()
            wish = _wish(line)
            answer = grant(*wish) if wish else {"ok": False, "problem": f"no such wish: {line}"}
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked has gone, as people do
                self.wfile.write(json.dumps(answer).encode())

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True  # nobody waits for who has not been answered

    path = claims.file(name, "sock")
    path.unlink(missing_ok=True)
    with _short(path) as address, Server(address, Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="wishes", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class Asked:
    """A wish on its way."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._heard = b""

    def answer(self, within: float) -> Answer | None:
        """The answer; None when there is none yet after `within` seconds. Raises HarnessError when there will be none."""
        while select.select([self._connection], [], [], within)[0]:
            try:
                part = self._connection.recv(1 << 16)
            except ConnectionResetError:
                part = b""
            self._heard += part
            if not part:
                return _read(self._heard)
        return None


@contextmanager
def ask(name: str, wish: Wish, arguments: Arguments | None = None, *, patience: float = 0.0) -> Iterator[Asked]:
    """Ask the keeper of the lab `name`. Raises HarnessError when it does not listen within `patience` seconds, or is gone."""
    deadline = time.monotonic() + patience
    while True:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                with _short(claims.file(name, "sock")) as address:
                    connection.connect(address)
                connection.sendall(f"{wish} {json.dumps(arguments or {})}\n".encode())
            except OSError as error:
                if time.monotonic() > deadline or not claims.held(name):
                    raise HarnessError(f"the keeper of {name} does not listen: {error.strerror}") from error
            else:
                yield Asked(connection)
                return
        time.sleep(_POLL_SECONDS)


def _wish(line: str) -> tuple[Wish, Arguments] | None:
    word, _, text = line.partition(" ")
    try:
        arguments = json.loads(text or "{}")
    except ValueError:
        return None
    return (Wish(word), arguments) if word in list(Wish) and isinstance(arguments, dict) else None


def _read(heard: bytes) -> Answer:
    try:
        answer = json.loads(heard)
    except ValueError as error:
        raise HarnessError("the keeper has ended before it answered") from error
    if not isinstance(answer, dict):
        raise HarnessError(f"the keeper's answer makes no sense: {answer!r}")
    return answer


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """The address of a socket, however deep its folder is: sun_path holds 108 bytes (unix(7))."""
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HarnessError(f"{path.parent}: {error.strerror}") from error
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
