"""The history as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), as it is written.

Streams are coroutines of the event loop: they cost no request thread. A thread of their own reads the store for them.
"""

import asyncio
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from granian._granian import RSGIProtocolClosed as ProtocolClosed

from mayu_py.services.desk import Desk
from mayu_py.services.http import views
from mayu_py.services.http.proto import Headers, HttpProtocol, Scope
from mayu_py.services.http.replies import TEXT
from mayu_py.store import StoredEvent

MEDIA_TYPE = "text/event-stream"
# An answer of Flask with this header is replaced by the stream after the event that it names.
FOLLOW = "X-Mayu-Follow"

STREAMS = 32
BATCH = 200
# Other processes write the store, and SQLite tells nobody: it is asked, a few microseconds each time.
POLL_SECONDS = 0.25
# Proxies and clients take a silent connection for a dead one.
ALIVE_SECONDS = 15.0
# Granian takes whatever it is given, and keeps it for a client that reads nothing. So a stream ends after a while, and after so
# much; its client comes back by itself, with Last-Event-ID.
LIFE_SECONDS = 600.0
MOST_BYTES = 2 << 20

_HEADERS: Headers = [("content-type", MEDIA_TYPE), ("cache-control", "no-store"), ("x-accel-buffering", "no")]


class Streams:
    """The streams of one worker."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._open = 0
        self._finishing = False

    def finish(self) -> None:
        """End all streams, and begin no more."""
        self._finishing = True

    async def __call__(self, scope: Scope, proto: HttpProtocol, after: str) -> None:
        """Stream what happened after the event `after`, until the client goes or the stream is old."""
        if self._open >= STREAMS:
            self._desk.count("http.refused", "streams")
            headers: Headers = [*TEXT, ("retry-after", "5")]
            proto.response_bytes(503, headers, f"{STREAMS} streams are open, which is the most\n".encode())
            return
        self._open += 1
        try:
            await self._follow(proto, int(after))
        except ProtocolClosed:
            return
        finally:
            self._open -= 1

    async def _follow(self, proto: HttpProtocol, last: int) -> None:
        loop = asyncio.get_running_loop()
        gone = asyncio.ensure_future(proto.client_disconnect())
        transport = proto.response_stream(200, _HEADERS)
        try:
            await transport.send_str("retry: 1000\n\n")
            end, said, sent = monotonic() + LIFE_SECONDS, monotonic(), 0
            while monotonic() < end and sent < MOST_BYTES and not gone.done() and not self._finishing:
                events = await loop.run_in_executor(self._thread, self._read, last)
                if events:
                    text = written(events)
                    last, said, sent = events[-1].id, monotonic(), sent + len(text)
                    await transport.send_str(text)
                elif monotonic() - said > ALIVE_SECONDS:
                    said = monotonic()
                    await transport.send_str(": alive\n\n")
                if len(events) < BATCH:
                    await asyncio.wait((gone,), timeout=POLL_SECONDS)
        finally:
            gone.cancel()

    def _read(self, last: int) -> list[StoredEvent]:
        with self._desk.locked:
            return self._desk.store.events(last, BATCH)


def written(events: Iterable[StoredEvent]) -> str:
    """Events in the form of the stream. JSON has no line break in it."""
    return "".join(f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(views.event(event))}\n\n" for event in events)
