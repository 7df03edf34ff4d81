"""The part of RSGI (Granian's server interface, version 1.5) that is used here, as types."""

from typing import Protocol

Headers = list[tuple[str, str]]


class RequestHeaders(Protocol):
    """Request headers by lower-case name."""

    def get(self, key: str) -> str | None:
        """The header's value."""

    def items(self) -> list[tuple[str, str]]:
        """All of them."""


class Scope(Protocol):
    """One request, without its body. `client` and `server` are `address:port`."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query_string(self) -> str: ...
    @property
    def headers(self) -> RequestHeaders: ...
    @property
    def client(self) -> str: ...
    @property
    def server(self) -> str: ...
    @property
    def http_version(self) -> str: ...


class Stream(Protocol):
    """The body of an answer that has begun. Its end is the end of the request's coroutine."""

    async def send_str(self, data: str) -> None:
        """Send a piece. Raises granian's RSGIProtocolClosed when the client has gone."""


class HttpProtocol(Protocol):
    """The way to answer. Calling one of the `response_` methods ends the request."""

    def __aiter__(self) -> "HttpProtocol":
        """The body, in pieces."""

    async def __anext__(self) -> bytes:
        """The next piece."""

    async def client_disconnect(self) -> None:
        """Return when the client has gone."""

    def response_empty(self, status: int, headers: Headers) -> None:
        """No body; a content-length header is kept, as the answer to HEAD needs."""

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """A body at hand."""

    def response_file(self, status: int, headers: Headers, file: str) -> None:
        """A whole file, streamed by Rust."""

    def response_file_range(self, status: int, headers: Headers, file: str, start: int, end: int) -> None:
        """Bytes from `start` up to, not including, `end`."""

    def response_stream(self, status: int, headers: Headers) -> Stream:
        """A body that comes piece by piece."""
