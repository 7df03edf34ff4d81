"""The RSGI front: entry script, host scripts, Ignition configs and image files, answered from the event loop.

Granian streams file ranges from Rust, so forty stalled downloads hold up nobody. Whatever is not hot goes on to Flask.
"""

import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Protocol
from urllib.parse import parse_qs

from ignition.document import DocumentError
from mayu_py.core.exchange import (
    Accept,
    Answer,
    BootDisk,
    BootFileRead,
    BootImage,
    ChainTo,
    IgnitionRequest,
    ImageRead,
    Refuse,
    Reply,
    Request,
    ScriptRequest,
    ServeConfig,
)
from mayu_py.core.hosts import Identity
from mayu_py.core.networks import Network
from mayu_py.core.render import Renderer, ServedConfig
from mayu_py.errors import StoreError
from mayu_py.services.desk import Desk
from mayu_py.services.http import files
from mayu_py.services.http.configs import Configs
from mayu_py.services.http.proto import Headers, HttpProtocol, Scope
from mayu_py.services.http.replies import JSON, TEXT, client_address, refusal, trouble
from mayu_py.services.http.together import Together
from mayu_py.wire import ipxe

log = logging.getLogger(__name__)

# A cache between us and the machines must not give one machine's translation to another.
CONFIG: Headers = [*JSON, ("vary", "accept"), ("cache-control", "no-store")]


class Behind(Protocol):
    """Whoever answers what the front does not."""

    async def __call__(self, scope: Scope, proto: HttpProtocol) -> None:
        """Answer one request."""


class Front:
    """One worker's RSGI application."""

    def __init__(
        self,
        desk: Desk,
        renderer: Renderer,
        behind: Behind,
        ready: Callable[[], None],
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        """`finish` ends what would keep a request open for long."""
        self._desk = desk
        self._renderer = renderer
        self._together = Together(desk)
        self._configs = Configs(desk, renderer, self._together)
        self._behind = behind
        self._ready = ready
        self._finish = finish
        self._hot = {"/boot.ipxe": self._boot_ipxe, "/script": self._script, "/ignition": self._ignition}

    def __rsgi_init__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian in the serving process, which accepts before it runs the loop: its first turn is the proof."""
        loop.call_soon(self._ready)

    def __rsgi_del__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian when the process ends in order."""
        self._desk.close()

    def finish(self) -> None:
        """No more requests are accepted; those under way end by themselves, or are ended where they only wait."""
        self._finish()

    async def __rsgi__(self, scope: Scope, proto: HttpProtocol) -> None:
        """Answer one request. The one guard: a request never takes the worker down."""
        try:
            if scope.method in ("GET", "HEAD"):
                if handler := self._hot.get(scope.path):
                    await handler(scope, proto)
                    return
                if scope.path.startswith("/images/") and self._knows_image(scope.path):
                    await self._image(scope, proto)
                    return
                if scope.path.startswith("/boot/"):
                    self._boot_file(scope, proto)
                    return
            await self._behind(scope, proto)
        except Exception:
            self._desk.count("http.error", "internal")
            log.exception("%s %s", scope.method, scope.path)
            proto.response_bytes(*trouble(scope.path, 500, "internal error", "the server's log says more"))

    async def _boot_ipxe(self, scope: Scope, proto: HttpProtocol) -> None:
        # With the whole address: iPXE takes no relative one here.
        url = self._desk.settings.url(self._network(scope))
        _send(scope, proto, TEXT, ipxe.entry(f"{url}/script").encode())

    async def _script(self, scope: Scope, proto: HttpProtocol) -> None:
        query = _query(scope)
        source = client_address(scope.client)
        request = ScriptRequest(_identity(query), query.get("platform", ""), query.get("chip", "").lower(), source)
        reply = (await self._decide(request)).reply
        match reply:
            case ChainTo(file):
                script = ipxe.chain(f"tftp://{self._desk.settings.address(self._network(scope))}/{file}")
            case BootDisk():
                script = ipxe.disk()
            case BootImage(host, image):
                base = f"{self._desk.settings.url(self._network(scope))}/images/{image}"
                try:
                    script = ipxe.boot(f"{base}/kernel", [f"{base}/initrd"], self._renderer.arguments(host))
                except DocumentError as error:
                    self._refuse(proto, self._configs.tell_invalid(host, error))
                    return
            case _:
                self._refuse(proto, reply)
                return
        _send(scope, proto, TEXT, script.encode())

    async def _ignition(self, scope: Scope, proto: HttpProtocol) -> None:
        snapshot = self._desk.snapshot()
        answer = self._desk.consider(IgnitionRequest(_identity(_query(scope)), client_address(scope.client)), snapshot)
        reply: Reply | ServedConfig | None = answer.reply
        if isinstance(reply, ServeConfig):
            reply = await self._configs.serve(reply.host, scope.headers.get("accept") or "", answer, snapshot.revision)
        if isinstance(reply, ServedConfig):
            _send(scope, proto, CONFIG, reply.config)
        else:
            self._refuse(proto, reply)

    async def _image(self, scope: Scope, proto: HttpProtocol) -> None:
        image, _, file = scope.path.removeprefix("/images/").partition("/")
        source = client_address(scope.client)
        answer = await self._decide(ImageRead(source, image, file))
        if not isinstance(answer.reply, Accept):
            self._refuse(proto, answer.reply)
            return
        files.send(scope, proto, self._desk.settings.images[image].served()[file])

    def _boot_file(self, scope: Scope, proto: HttpProtocol) -> None:
        name = scope.path.removeprefix("/boot/")
        answer = self._desk.answer(BootFileRead(client_address(scope.client), name))
        found = files.below(self._desk.settings.tftp.root, name)
        if isinstance(answer.reply, Accept) and found is not None:
            files.send(scope, proto, found)
        else:
            self._refuse(proto, answer.reply if isinstance(answer.reply, Refuse) else None)

    async def _decide(self, request: Request) -> Answer:
        """Decide, and write the events before returning: what follows the answer relies on them."""
        answer = self._desk.consider(request)
        try:
            await self._together.settle(answer)
        except StoreError as error:
            # A full disk must not keep a machine from booting.
            log.error("%d events are lost: %s", len(answer.events), error.message)
            self._desk.count("events.lost", "store", len(answer.events))
        return answer

    def _knows_image(self, path: str) -> bool:
        """Mayu's paths have a serial where ours have the image; those are for Flask."""
        return path.split("/", 3)[2] in self._desk.settings.images

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
