"""Long polls of etcd's discovery: coroutines of the event loop, which cost no request thread."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

from mayu_py.core.discovery import Answer, Cluster, Watch
from mayu_py.services.desk import Desk
from mayu_py.services.http.proto import HttpProtocol, Scope
from mayu_py.services.http.replies import JSON, TEXT

# An answer of Flask with this header is replaced by what the watch sees.
FOLLOW = "X-Mayu-Etcd-Watch"

WATCHES = 256
# Other processes write the store, and SQLite tells nobody: two columns of one row are read each time.
POLL_SECONDS = 0.2
# etcd itself ends a watch after five minutes, with an empty body; its clients then ask again.
LIFE_SECONDS = 60.0


def written(watch: Watch) -> str:
    """A watch as the header's value."""
    return json.dumps([watch.token, watch.key, watch.since, watch.recursive])


class Watches:
    """The watches of one worker."""

    def __init__(self, desk: Desk, seconds: float = LIFE_SECONDS) -> None:
        self._desk = desk
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watches")
        self._open = 0
        self._finishing = False

    def finish(self) -> None:
        """End all watches; their clients come back to the successor."""
        self._finishing = True

    async def __call__(self, scope: Scope, proto: HttpProtocol, text: str) -> None:
        """Answer with the change that is waited for, or with nothing after a while."""
        if self._open >= WATCHES:
            self._desk.count("etcd.refused", "watches")
            proto.response_bytes(503, [*TEXT, ("retry-after", "5")], f"{WATCHES} watches are open, which is the most\n".encode())
            return
        self._open += 1
        try:
            found = await self._wait(Watch(*json.loads(text)), proto)
        finally:
            self._open -= 1
        if isinstance(found, int):
            proto.response_empty(200, [*JSON, ("x-etcd-index", str(found)), ("content-length", "0")])
        else:
            headers = [*JSON, ("x-etcd-index", str(found.index))]
            proto.response_bytes(found.status, headers, json.dumps(found.body).encode() + b"\n")

    async def _wait(self, watch: Watch, proto: HttpProtocol) -> Answer | int:
        """What the watch saw, or the index up to which there was nothing to see."""
        loop = asyncio.get_running_loop()
        gone = asyncio.ensure_future(proto.client_disconnect())
        end, index = time.monotonic() + self._seconds, 0
        try:
            while True:
                index, answer = await loop.run_in_executor(self._thread, self._look, watch, index)
                if answer is not None:
                    return answer
                if time.monotonic() >= end or gone.done() or self._finishing:
                    return index
                await asyncio.wait((gone,), timeout=min(POLL_SECONDS, self._seconds))
        finally:
            gone.cancel()

    def _look(self, watch: Watch, before: int) -> tuple[int, Answer | None]:
        """The token's index, and what is to be seen if it has moved from `before`."""
        now = time.time()
        with self._desk.locked:
            store = self._desk.store
            index, expires = store.discovery_index(watch.token)
            if expires is not None and expires <= now:
                store.change_discovery(watch.token, lambda cluster: cluster.expired(now) if cluster else None)
            elif index == before:
                return before, None
            found = store.discovery(watch.token) or Cluster(watch.token)
        return found.index, found.seen(watch)
