"""An HTTP request to its answer: the front that serves machines, and Flask behind it, with nobody at the other end."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from mayu_py.core.render import Renderer
from mayu_py.core.settings import Settings
from mayu_py.rehearsal.desk import RehearsalDesk
from mayu_py.services.http import pages, senders
from mayu_py.services.http.behind import Wsgi
from mayu_py.services.http.front import Front
from mayu_py.services.http.proto import Headers, HttpProtocol, Stream
from mayu_py.services.http.replies import trouble


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. `target` is the path with its query, as the request line has it."""

    method: str
    target: str
    source: IPv4Address
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One answer: a body, or the file that would be streamed, `size` bytes of it."""

    status: int
    headers: Headers
    body: bytes = b""
    file: Path | None = None
    size: int = 0


class HttpRehearsal:
    """Answers requests over a desk."""

    def __init__(self, desk: RehearsalDesk, renderer: Renderer) -> None:
        self._settings: Settings = desk.settings
        behind = Wsgi(pages.application(desk, renderer), senders.plain(desk.settings), trouble)
        self._front = Front(desk, renderer, behind, lambda: None)

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """What the request is answered."""
        server = f"{self._settings.address(self._settings.network_of(request.source))}:{self._settings.http.port}"
        proto = _Proto(request.body)
        asyncio.run(self._front.__rsgi__(_Scope(request, server), proto))
        assert proto.answer is not None  # RSGI: every request is answered, or the guard of the front is broken.
        return proto.answer


class _Headers:
    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = {name.lower(): value for name, value in headers.items()}

    def get(self, key: str) -> str | None:
        return self._headers.get(key)

    def items(self) -> list[tuple[str, str]]:
        return list(self._headers.items())


class _Scope:
    """A request as Granian gives it."""

    http_version = "1.1"

    def __init__(self, request: HttpRequest, server: str) -> None:
        self.method = request.method
        self.path, _, self.query_string = request.target.partition("?")
        self.headers = _Headers(request.headers)
        self.client = f"{request.source}:0"
        self.server = server


class _Stream:
    """A body that comes piece by piece, and goes nowhere."""

    async def send_str(self, data: str) -> None:
        return None


class _Proto:
    """Granian's side of a request, which keeps the answer. Its client goes as soon as it is waited for."""

    def __init__(self, body: bytes) -> None:
        self._body = [body] if body else []
        self.answer: HttpAnswer | None = None

    def __aiter__(self) -> HttpProtocol:
        return self

    async def client_disconnect(self) -> None:
        return None

    async def __anext__(self) -> bytes:
        if not self._body:
            raise StopAsyncIteration
        return self._body.pop()

    def response_empty(self, status: int, headers: Headers) -> None:
        self.answer = HttpAnswer(status, headers, size=int(dict(headers).get("content-length", "0")))

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        self.answer = HttpAnswer(status, headers, body, size=len(body))

    def response_file(self, status: int, headers: Headers, file: str) -> None:
        self.answer = HttpAnswer(status, headers, file=Path(file), size=Path(file).stat().st_size)

    def response_file_range(self, status: int, headers: Headers, file: str, start: int, end: int) -> None:
        self.answer = HttpAnswer(status, headers, file=Path(file), size=end - start)

    def response_stream(self, status: int, headers: Headers) -> Stream:
        self.answer = HttpAnswer(status, headers)
        return _Stream()
