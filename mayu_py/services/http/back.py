"""The admin face's RSGI application: Flask decides about every request; files and event streams are sent from the event loop."""

import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable

from mayu_py.services.desk import Desk
from mayu_py.services.http import files
from mayu_py.services.http.behind import Taker, Telling, Wsgi, WsgiApplication
from mayu_py.services.http.doors import Door
from mayu_py.services.http.proto import HttpProtocol, Scope
from mayu_py.services.http.replies import problem
from mayu_py.services.http.stream import FOLLOW, Streams

log = logging.getLogger(__name__)


class Back:
    """One worker's admin face. `door` is its TLS listener, if it has one."""

    def __init__(
        self, desk: Desk, application: WsgiApplication, told: Telling, door: Door | None, ready: Callable[[], None]
    ) -> None:
        self._desk = desk
        self._door = door
        self._ready = ready
        self._streams = Streams(desk)
        takers: dict[str, Taker] = {files.SEND.lower(): _send, FOLLOW.lower(): self._streams}
        self._behind = Wsgi(application, told, problem, takers)

    def __rsgi_init__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian in the serving process, before its loop runs."""
        self._opening = loop.create_task(self._open())

    def __rsgi_del__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian when the process ends in order."""
        self._desk.close()

    def finish(self) -> None:
        """No more requests are accepted. Streams would not end by themselves; their clients come back to the successor."""
        self._streams.finish()

    async def _open(self) -> None:
        if self._door is not None:
            await self._door.open()
        self._ready()

    async def __rsgi__(self, scope: Scope, proto: HttpProtocol) -> None:
        """Answer one request. The one guard: a request never takes the worker down."""
        try:
            await self._behind(scope, proto)
        except Exception:
            self._desk.count("http.error", "internal")
            log.exception("%s %s", scope.method, scope.path)
            proto.response_bytes(*problem(scope.path, 500, "internal error", "the server's log says more"))


async def _send(scope: Scope, proto: HttpProtocol, path: str) -> None:
    files.send(scope, proto, files.meant(path))
