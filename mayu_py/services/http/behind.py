"""Run a WSGI application (Flask) behind the RSGI front, on a few threads of its own."""

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from mayu_py.services.http.proto import Headers, HttpProtocol, Scope
from mayu_py.services.http.replies import TEXT, Whole

# What a host may say when it fails (docs/architecture.md); nothing else is longer.
BODY_LIMIT = 64 * 1024
THREADS = 4
# A body of 64 KiB that takes longer comes from nobody who wants an answer.
BODY_SECONDS = 30.0

Telling = Callable[[Scope], Mapping[str, Any]]
Trouble = Callable[[str, int, str], Whole]
Taker = Callable[[Scope, HttpProtocol, str], Awaitable[None]]


class WsgiApplication(Protocol):
    """PEP 3333."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""


class BodyTooLong(Exception):
    """The request's body passes the limit: the answer is 413."""


class Wsgi:
    """Adapter from RSGI to WSGI for small requests and small answers; bodies are whole in memory."""

    def __init__(
        self,
        application: WsgiApplication,
        told: Telling,
        trouble: Trouble,
        takers: Mapping[str, Taker] = MappingProxyType({}),
    ) -> None:
        """`told` adds to each request's environment; a taker answers in the place of an answer that has its header.

        `trouble` makes an answer of a path, a status and what is wrong, where the application cannot be asked.
        """
        self._application = application
        self._told = told
        self._trouble = trouble
        self._takers = takers
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="flask")

    async def __call__(self, scope: Scope, proto: HttpProtocol) -> None:
        """Answer one request."""
        try:
            body = await _body(proto)
        except BodyTooLong:
            proto.response_bytes(*self._trouble(scope.path, 413, f"a body of {BODY_LIMIT} bytes is the most"))
            return
        except TimeoutError:
            proto.response_bytes(*self._trouble(scope.path, 408, f"the body took more than {BODY_SECONDS:.0f} s"))
            return
        loop = asyncio.get_running_loop()
        environ = {**_environ(scope, body), **self._told(scope)}
        status, headers, content = await loop.run_in_executor(self._threads, self._run, environ)
        for name, value in headers:
            if taker := self._takers.get(name):
                await taker(scope, proto, value)
                return
        proto.response_bytes(status, headers, content)

    def _run(self, environ: dict[str, Any]) -> tuple[int, Headers, bytes]:
        status, headers = 500, TEXT

        def start_response(line: str, given: Headers, exc_info: object = None) -> None:
            nonlocal status, headers
            status, headers = int(line.split(" ", 1)[0]), [(name.lower(), value) for name, value in given]

        chunks = self._application(environ, start_response)
        try:
            content = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        return status, headers, content


async def _body(proto: HttpProtocol) -> bytes:
    body = bytearray()
    async with asyncio.timeout(BODY_SECONDS):
        async for piece in proto:
            body += piece
            if len(body) > BODY_LIMIT:
                raise BodyTooLong
    return bytes(body)


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    host, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        # WSGI wants bytes in the shape of latin-1 text (PEP 3333, "Unicode Issues").
        "PATH_INFO": unquote_to_bytes(scope.path).decode("latin-1"),
        "QUERY_STRING": scope.query_string.encode("utf-8", "surrogateescape").decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        key = name.upper().replace("-", "_")
        environ["CONTENT_TYPE" if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ
