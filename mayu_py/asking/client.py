"""The admin face over HTTP: requests, problem documents (RFC 9457), and the history as a stream.

Redirects are not followed and no proxy is used: a token goes to the server that it is for, and nowhere else.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from mayu_py.asking.connection import Connection, is_loopback
from mayu_py.asking.sse import EventStream
from mayu_py.errors import MayuError

SECONDS = 30.0
# The server says something at least every 15 s.
SILENT_SECONDS = 40.0
EVENT_STREAM = "text/event-stream"


class Unanswered(MayuError):
    """Raised when the server cannot be reached, or does not finish its answer."""


class Refused(MayuError):
    """Raised when the server answers with an error. `status` is the HTTP status."""

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


def path(*parts: str, **query: str | int | None) -> str:
    """A path below the server's URL, every part and every parameter escaped; parameters that are None are left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return "/" + "/".join(quote(part, safe="") for part in parts) + (f"?{urlencode(given)}" if given else "")


class Client:
    """Asks one server. Each request is a connection of its own."""

    def __init__(self, connection: Connection, seconds: float = SECONDS) -> None:
        """Raises MayuError when the token or the certificates cannot be used."""
        self._server = connection.server
        self._seconds = seconds
        self._parts = urlsplit(connection.server)
        self._token = _token(connection)
        if self._token and self._parts.scheme == "http" and not is_loopback(connection.server):
            raise MayuError(f"a token would go to {connection.server} in the clear", hint="use https://")
        self._tls = _tls(connection) if self._parts.scheme == "https" else None

    def get(self, *parts: str, **query: str | int | None) -> Any:
        """What a GET of the path gives, in JSON."""
        return self.ask("GET", *parts, **query)

    def ask(self, method: str, *parts: str, body: Any = None, **query: str | int | None) -> Any:
        """What the path gives, in JSON; None for an answer without JSON. Raises Refused and Unanswered."""
        data = None if body is None else json.dumps(body).encode()
        headers, content = self.send(method, path(*parts, **query), data, "application/json")
        if headers.get_content_type() != "application/json" or not content:
            return None
        try:
            return json.loads(content)
        except ValueError as error:
            raise Unanswered(f"{self._server} sends no JSON: {error}", hint="is this a mayu?") from error

    def send(self, method: str, target: str, data: bytes | None = None, kind: str = "") -> tuple[http.client.HTTPMessage, bytes]:
        """Headers and body of a good answer. Raises Refused and Unanswered."""
        headers = {"Content-Type": kind} if data is not None else {}
        with closing(self._connect(self._seconds)) as connection:
            response = self._exchange(connection, method, target, data, headers)
            content = self._whole(response)
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise _refused(response.status, response.headers, content)
        return response.headers, content

    def follow(self, after: int, lost: Callable[[str], None]) -> Iterator[dict[str, Any]]:
        """Every event after `after`, for ever. The stream is taken up again where it broke; `lost` is told why it did.

        Raises what the first attempt raises; later ones are repeated until the server answers. Raises Refused.
        """
        stream, connected = EventStream(after), False
        while True:
            try:
                for event in self._stream(stream):
                    connected = True
                    yield event
                connected = True
            except Unanswered as error:
                if not connected:
                    raise
                lost(error.message)
            except Refused as error:
                # 503 is for now: too many streams are open, or the server starts.
                if not connected or error.status != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
                lost(error.message)
            time.sleep(stream.retry_seconds)

    def _stream(self, stream: EventStream) -> Iterator[dict[str, Any]]:
        headers = {"Accept": EVENT_STREAM, "Last-Event-ID": str(stream.last)}
        with closing(self._connect(SILENT_SECONDS)) as connection:
            response = self._exchange(connection, "GET", "/v1/events", None, headers)
            if response.status != HTTPStatus.OK:
                raise _refused(response.status, response.headers, self._whole(response))
            if response.headers.get_content_type() != EVENT_STREAM:
                raise MayuError(f"{self._server} streams no events", hint="name the admin face (port 4080), not the boot face")
            while line := self._line(response):
                if (event := stream.feed(line)) is not None:
                    yield event

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=seconds)

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, target: str, data: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        more = {"Accept": "application/json", "User-Agent": "mayuctl", **headers}
        if self._token:
            more["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, self._parts.path + target, data, more)
            return connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            why = f"the certificate of {self._server} is not to be trusted: {error.verify_message}"
            raise MayuError(why, hint="--ca FILE names the authority that signed it") from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise self._unanswered(error) from error

    def _whole(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unanswered(error) from error

    def _line(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.readline()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unanswered(error) from error

    def _unanswered(self, error: Exception) -> Unanswered:
        hint = "is mayu running? name its server with --server, --context or MAYU_SERVER"
        return Unanswered(f"{self._server} does not answer: {error}", hint=hint)


def _refused(status: int, headers: http.client.HTTPMessage, content: bytes) -> Refused:
    text = content.decode("utf-8", "replace").strip()
    if headers.get_content_type() != "application/problem+json":
        return Refused(status, text or f"the answer is {status}")
    try:
        problem = json.loads(text)
    except ValueError:
        return Refused(status, text)
    lines = [problem.get("detail") or problem.get("title") or f"the answer is {status}", *problem.get("errors", ())]
    hint = problem.get("hint", "")
    if status == HTTPStatus.UNAUTHORIZED:
        hint = f"{hint}; here: MAYU_TOKEN, --token-file, or a context" if hint else "MAYU_TOKEN, --token-file, or a context"
    # The first of several errors often is the detail itself.
    return Refused(status, "\n".join(dict.fromkeys(map(str, lines))), hint=hint)


def _token(connection: Connection) -> str | None:
    token = connection.token
    if connection.token_file is not None:
        try:
            token = connection.token_file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise MayuError(f"the token file {connection.token_file} cannot be read: {why}") from error
    token = (token or "").strip()
    if not (token.isascii() and token.isprintable()):
        raise MayuError("the token is no single line of ASCII", hint="`mayu token new NAME` makes one")
    return token or None


def _tls(connection: Connection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=connection.ca)
        if connection.client_cert is not None:
            # Without a password, or OpenSSL would ask the terminal for one.
            context.load_cert_chain(connection.client_cert, connection.client_key, password="")
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(each) for each in (connection.ca, connection.client_cert, connection.client_key) if each)
        why = error.strerror or str(error)
        raise MayuError(f"{files} cannot be used: {why}", hint="PEM, the key without a passphrase") from error
    return context
