"""Which server is asked, and with which credentials: a pure choice between options, environment and contexts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mayu_py.asking.contexts import Book, Context
from mayu_py.errors import MayuError

DEFAULT = "http://127.0.0.1:4080"
ADMIN_PORT = 4080
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says. None is what it does not say."""

    server: str | None = None
    context: str | None = None
    token_file: Path | None = None
    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """One server: a URL without a slash at its end, what proves who we are, and what proves who it is."""

    server: str
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


def choose(given: Given, environment: Mapping[str, str], book: Book) -> Connection:
    """The connection that is meant. Raises MayuError for a context that is not there, and for a URL that is none.

    The server: `--server`, `--context`, MAYU_SERVER, MAYU_CONTEXT, the context in use, this machine. A server that is named
    by its URL gets nothing of a context: its credentials are for its own server. The token: `--token-file`, MAYU_TOKEN, the
    context's. Other options go over the context's.
    """
    context = _context(given, environment, book)
    return Connection(
        server=url(context.server),
        token=None if given.token_file else environment.get("MAYU_TOKEN") or context.token,
        token_file=given.token_file or (None if environment.get("MAYU_TOKEN") else context.token_file),
        ca=given.ca or context.ca,
        client_cert=given.client_cert or context.client_cert,
        client_key=given.client_key or context.client_key,
    )


def _context(given: Given, environment: Mapping[str, str], book: Book) -> Context:
    if given.server is not None:
        return Context(given.server)
    if given.context is not None:
        return book.get(given.context)
    if server := environment.get("MAYU_SERVER"):
        return Context(server)
    if name := environment.get("MAYU_CONTEXT") or book.current:
        return book.get(name)
    return Context(DEFAULT)


def url(text: str, *, scheme: str = "https", port: int = ADMIN_PORT) -> str:
    """A server's URL without a slash at its end. `HOST` and `HOST:PORT` get `scheme`, and `port` where there is none.

    The loopback is asked over plain HTTP unless its URL says otherwise. Raises MayuError.
    """
    text = text.rstrip("/")
    if "://" not in text:
        bare = _parts(f"//{text}")
        scheme = "http" if _LOOPBACK.fullmatch(bare[0]) else scheme
        text = f"{scheme}://{text}" if bare[1] else f"{scheme}://{text}:{port}"
    host, _ = _parts(text)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or "@" in parts.netloc:
        raise MayuError(f"{text!r} is no URL of a server", hint="https://HOST:4080, http://127.0.0.1:4080, or just HOST")
    return text


def is_loopback(server: str) -> bool:
    """Whether what is sent to this server stays on the machine."""
    return _LOOPBACK.fullmatch(_parts(server)[0]) is not None


def _parts(text: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(text)
        return parts.hostname or "", parts.port
    except ValueError as error:
        raise MayuError(f"{text.removeprefix('//')!r} is no address of a server: {error}", hint="HOST or HOST:PORT") from error
