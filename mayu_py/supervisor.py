"""Start, watch, restart and stop worker processes. Knows nothing of what they do.

A worker is a fork: it inherits the sockets that were bound before, so its successor finds the packets that arrived
while nobody served. All workers hold the reading end of one pipe whose writing end only the supervisor has: it closes
when the supervisor stops them, and when the supervisor dies, by SIGKILL too.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from types import FrameType

from mayu_py.errors import MayuError, StartError

log = logging.getLogger(__name__)

START_SECONDS = 15.0
STOP_SECONDS = 5.0
# A worker that lived this long is restarted at once; one that dies young waits longer each time.
STEADY_SECONDS = 10.0
BACKOFF_SECONDS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)

_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Worker:
    """`run(stop_fd, ready)` calls `ready()` once it serves, and returns when `stop_fd` becomes readable."""

    name: str
    run: Callable[[int, Callable[[], None]], None]


@dataclass(frozen=True)
class Observed:
    """What the observer is told. `what` is `started`, `ready`, `died` or `stopped`."""

    worker: str
    what: str
    detail: str = ""


@dataclass
class _Running:
    worker: Worker
    process: "multiprocessing.process.BaseProcess"
    ready_fd: int
    started: float
    ready: bool = False
    restarts: int = 0
    young_deaths: int = 0
    restart_at: float = 0.0


# Told of every change, with the state of all workers: (name, pid, ready, restarts).
Observer = Callable[[Observed, Sequence[tuple[str, int, bool, int]]], None]


class Supervisor:
    """Runs workers until SIGTERM or SIGINT. Must be used in a process without threads: it forks."""

    def __init__(self, workers: Sequence[Worker], observer: Observer) -> None:
        self._workers = workers
        self._observer = observer
        self._running: dict[str, _Running] = {}
        self._life_read, self._life_write = os.pipe()
        self._signal_read, self._signal_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False

    def run(self, ready: Callable[[], None]) -> None:
        """Start all, call `ready` when all serve, keep them alive. Raises StartError when one cannot start."""
        with self._signals():
            try:
                for worker in self._workers:
                    self._start(worker)
                self._await_all()
                if not self._stopping:
                    ready()
                while not self._stopping:
                    self._turn(None)
            finally:
                self._stop_all()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(signum: int, frame: FrameType | None) -> None:
            self._stopping = True
            with contextlib.suppress(BlockingIOError):
                os.write(self._signal_write, b"s")

        earlier = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def _start(self, worker: Worker, before: _Running | None = None) -> None:
        ready_read, ready_write = os.pipe()
        process = _fork.Process(target=self._child, args=(worker, ready_write), name=worker.name)
        process.start()
        os.close(ready_write)
        running = _Running(worker, process, ready_read, time.monotonic())
        if before is not None:
            running.restarts, running.young_deaths = before.restarts + 1, before.young_deaths
        self._running[worker.name] = running
        self._tell(Observed(worker.name, "started"))

    def _child(self, worker: Worker, ready_fd: int) -> None:
        # The terminal sends Ctrl-C to the whole process group; only the supervisor decides when a worker stops.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(self._life_write)
        os.close(self._signal_write)

        def ready() -> None:
            os.write(ready_fd, b"r")

        try:
            worker.run(self._life_read, ready)
        except MayuError as error:
            log.error("%s", error.message)
            raise SystemExit(1) from None

    def _await_all(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping and (missing := [name for name, r in self._running.items() if not r.ready]):
            if (left := deadline - time.monotonic()) <= 0:
                raise StartError(f"not ready after {START_SECONDS:.0f} s: {', '.join(missing)}", hint="see the log above")
            self._turn(left)
            if dead := [name for name, r in self._running.items() if r.restart_at]:
                raise StartError(f"could not start: {', '.join(dead)}", hint="the log above says why")

    def _turn(self, timeout: float | None) -> None:
        """Wait for one thing to happen and deal with it."""
        now = time.monotonic()
        due = [r.restart_at for r in self._running.values() if r.restart_at]
        if due:
            timeout = max(0.0, min(due) - now) if timeout is None else min(timeout, max(0.0, min(due) - now))
        watched: list[int] = [self._signal_read]
        for running in self._running.values():
            if not running.restart_at:
                watched += [running.process.sentinel, *([] if running.ready else [running.ready_fd])]
        happened = set(wait(watched, timeout))
        for running in list(self._running.values()):
            if running.ready_fd in happened and not running.ready and os.read(running.ready_fd, 1):
                running.ready = True
                self._tell(Observed(running.worker.name, "ready"))
            if not running.restart_at and running.process.sentinel in happened:
                self._bury(running)
            if running.restart_at and running.restart_at <= time.monotonic() and not self._stopping:
                self._start(running.worker, running)

    def _bury(self, running: _Running) -> None:
        running.process.join()
        os.close(running.ready_fd)
        lived = time.monotonic() - running.started
        running.young_deaths = 0 if lived > STEADY_SECONDS else running.young_deaths + 1
        delay = BACKOFF_SECONDS[min(running.young_deaths, len(BACKOFF_SECONDS) - 1)]
        running.restart_at = time.monotonic() + delay
        running.ready = False
        how = _how_it_died(running.process.exitcode)
        log.error("%s died after %.1f s: %s; restarting in %.1f s", running.worker.name, lived, how, delay)
        self._tell(Observed(running.worker.name, "died", how))

    def _stop_all(self) -> None:
        """Closing the pipe asks them; what has not gone in time is killed."""
        self._stopping = True
        os.close(self._life_write)
        deadline = time.monotonic() + STOP_SECONDS
        for running in self._running.values():
            running.process.join(max(0.0, deadline - time.monotonic()))
            if running.process.exitcode is None:
                log.warning("%s did not stop in %.0f s and is killed", running.worker.name, STOP_SECONDS)
                running.process.kill()
                running.process.join()
        self._running.clear()
        self._tell(Observed("all", "stopped"))

    def _tell(self, change: Observed) -> None:
        states = [(r.worker.name, r.process.pid or 0, r.ready, r.restarts) for r in self._running.values()]
        self._observer(change, states)


def _how_it_died(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
