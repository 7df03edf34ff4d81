"""The RSGI front: entry script, host scripts, Ignition configs and image files, answered from the event loop.

Granian streams file ranges from Rust, so forty stalled downloads hold up nobody. Whatever is not hot goes on to Flask.
"""

import logging
import os
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs

from mayu_py.core.exchange import (
    Accept,
    BootDisk,
    BootImage,
    ChainTo,
    IgnitionRequest,
    ImageRead,
    Reply,
    ScriptRequest,
    ServeConfig,
)
from mayu_py.core.hosts import Identity
from mayu_py.core.render import Renderer
from mayu_py.core.settings import Network
from mayu_py.services.desk import Desk
from mayu_py.services.http.proto import Headers, HttpProtocol, RequestHeaders, Scope
from mayu_py.services.http.ranges import NotSatisfiable, requested
from mayu_py.services.http.replies import JSON, OCTETS, TEXT, client_address, refusal
from mayu_py.wire import ipxe

log = logging.getLogger(__name__)


class Behind(Protocol):
    """Whoever answers what the front does not."""

    async def __call__(self, scope: Scope, proto: HttpProtocol) -> None:
        """Answer one request."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    etag: str


class Front:
    """One worker's RSGI application."""

    def __init__(self, desk: Desk, renderer: Renderer, behind: Behind, ready: Callable[[], None]) -> None:
        self._desk = desk
        self._renderer = renderer
        self._behind = behind
        self._ready = ready
        self._hot = {"/boot.ipxe": self._boot_ipxe, "/script": self._script, "/ignition": self._ignition}

    def __rsgi_init__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian in the serving process, which accepts before it runs the loop: its first turn is the proof."""
        loop.call_soon(self._ready)

    def __rsgi_del__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian when the process ends in order."""
        self._desk.close()

    async def __rsgi__(self, scope: Scope, proto: HttpProtocol) -> None:
        """Answer one request. The one guard: a request never takes the worker down."""
        try:
            if scope.method in ("GET", "HEAD"):
                if handler := self._hot.get(scope.path):
                    handler(scope, proto)
                    return
                if scope.path.startswith("/images/"):
                    self._image(scope, proto)
                    return
            await self._behind(scope, proto)
        except Exception:
            self._desk.count("http.error", "internal")
            log.exception("%s %s", scope.method, scope.path)
            proto.response_bytes(500, TEXT, b"internal error; the server's log says more\n")

    def _boot_ipxe(self, scope: Scope, proto: HttpProtocol) -> None:
        # With the whole address: iPXE takes no relative one here.
        url = self._desk.settings.url(self._network(scope))
        _send(scope, proto, TEXT, ipxe.entry(f"{url}/script").encode())

    def _script(self, scope: Scope, proto: HttpProtocol) -> None:
        query = _query(scope)
        request = ScriptRequest(_identity(query), query.get("platform", ""), query.get("chip", "").lower())
        reply = self._desk.answer_durably(request).reply
        match reply:
            case ChainTo(file):
                script = ipxe.chain(f"tftp://{self._desk.settings.address(self._network(scope))}/{file}")
            case BootDisk():
                script = ipxe.disk()
            case BootImage(host, image):
                base = f"{self._desk.settings.url(self._network(scope))}/images/{image}"
                script = ipxe.boot(f"{base}/kernel", [f"{base}/initrd"], self._renderer.arguments(host))
            case _:
                self._refuse(proto, reply)
                return
        _send(scope, proto, TEXT, script.encode())

    def _ignition(self, scope: Scope, proto: HttpProtocol) -> None:
        answer = self._desk.answer_durably(IgnitionRequest(_identity(_query(scope))))
        match answer.reply:
            case ServeConfig(host):
                rendered = self._renderer.config(host)
                self._desk.happened("ignition", host, sha256=rendered.sha256, bytes=len(rendered.config))
                _send(scope, proto, JSON, rendered.config)
            case reply:
                self._refuse(proto, reply)

    def _image(self, scope: Scope, proto: HttpProtocol) -> None:
        image, _, file = scope.path.removeprefix("/images/").partition("/")
        source = client_address(scope.client)
        answer = self._desk.answer_durably(ImageRead(source, image, file))
        if not isinstance(answer.reply, Accept):
            self._refuse(proto, answer.reply)
            return
        found = _stat(self._desk.settings.images[image].served()[file])
        headers = [*OCTETS, ("accept-ranges", "bytes"), ("etag", found.etag)]
        try:
            part = requested(_wanted_range(scope.headers, found.etag), found.size)
        except NotSatisfiable:
            proto.response_bytes(416, [*headers, ("content-range", f"bytes */{found.size}")], b"")
            return
        status, length = (200, found.size) if part is None else (206, len(part))
        headers.append(("content-length", str(length)))
        if part is not None:
            headers.append(("content-range", part.content_range(found.size)))
        if scope.method == "HEAD" or length == 0:
            proto.response_empty(status, headers)
        elif part is None:
            proto.response_file(status, headers, os.fspath(found.path))
        else:
            proto.response_file_range(status, headers, os.fspath(found.path), part.start, part.end)

    def _network(self, scope: Scope) -> Network | None:
        """The network that a client is in, and so the address of mayu that it reaches."""
        source = client_address(scope.client)
        return self._desk.settings.network_of(source) if source else None

    def _refuse(self, proto: HttpProtocol, reply: Reply | None) -> None:
        status, headers, body = refusal(reply)
        self._desk.count("http.refused", str(status))
        proto.response_bytes(status, headers, body)


def _send(scope: Scope, proto: HttpProtocol, headers: Headers, body: bytes) -> None:
    headers = [*headers, ("content-length", str(len(body)))]
    if scope.method == "HEAD":
        proto.response_empty(200, headers)
    else:
        proto.response_bytes(200, headers, body)


def _query(scope: Scope) -> dict[str, str]:
    """The first value of each parameter; a query too long or too many to be honest counts as none."""
    try:
        found = parse_qs(scope.query_string, keep_blank_values=True, max_num_fields=32, errors="replace")
    except ValueError:
        return {}
    return {key: values[0] for key, values in found.items()}


def _identity(query: dict[str, str]) -> Identity:
    return Identity.claimed(serial=query.get("serial"), uuid=query.get("uuid"), mac=query.get("mac"))


def _wanted_range(headers: RequestHeaders, etag: str) -> str | None:
    """The Range header, unless If-Range says that the client holds part of another file."""
    condition = headers.get("if-range")
    return headers.get("range") if condition in (None, etag) else None


def _stat(path: Path) -> _File:
    status = path.stat()
    return _File(path, status.st_size, f'"{status.st_size:x}-{status.st_mtime_ns:x}"')
