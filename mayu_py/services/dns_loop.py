"""The DNS worker's loop: what is ready in one epoll set, and what is due, one after the other."""

import heapq
import itertools
import logging
import select
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

Handler = Callable[[int], None]


class Counts(Protocol):
    """Where things are counted: a name and a reason, both from small fixed sets."""

    def __call__(self, name: str, reason: str, n: int = 1) -> None:
        """Add to a counter."""


class Loop:
    """One thread. Whatever happens in a handler, the next one runs."""

    def __init__(self, count: Counts, clock: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._clock = clock
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = itertools.count()
        self._stopping = False
        self.now = clock()

    def close(self) -> None:
        """Let go of the epoll set; sockets belong to those who opened them."""
        self._epoll.close()

    def watch(self, descriptor: int, handler: Handler, events: int = select.EPOLLIN) -> None:
        """Have `handler(events)` called whenever the descriptor is ready."""
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        """Wait for other events of a watched descriptor."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """No longer watch it. To be called before it is closed."""
        del self._handlers[descriptor]
        self._epoll.unregister(descriptor)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` after so long. It cannot be taken back: an action looks whether it is still wanted."""
        heapq.heappush(self._due, (self.now + seconds, next(self._ticket), action))

    def run(self, stop_fd: int, after_turn: Callable[[], None]) -> None:
        """Loop until `stop_fd` is readable; `after_turn` is called whenever everything that was ready has been handled."""
        self.watch(stop_fd, self._on_stop)
        try:
            while not self._stopping:
                self._turn()
                after_turn()
        finally:
            self.forget(stop_fd)

    def _on_stop(self, events: int) -> None:
        self._stopping = True

    def _turn(self) -> None:
        pause = max(0.0, self._due[0][0] - self._clock()) if self._due else None
        ready = self._epoll.poll(pause)
        self.now = self._clock()
        for descriptor, events in ready:
            # An earlier handler may have closed this one; a new owner of its number finds nothing to read, and waits.
            handler = self._handlers.get(descriptor)
            if handler is not None:
                self._guarded(handler, events)
        while self._due and self._due[0][0] <= self.now:
            self._guarded(heapq.heappop(self._due)[2])

    def _guarded(self, action: Callable[..., None], *events: int) -> None:
        try:
            action(*events)
        except Exception:  # The one guard: a bug must not take the rack's names away.
            log.exception("dns: something could not be handled")
            self._count("dns.drop", "internal")
