"""Start, watch, restart, replace and stop worker processes (`processes`). Knows nothing of what they do."""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from types import FrameType
from typing import Protocol

from mayu_py.errors import MayuError, StartError
from mayu_py.supervisor.processes import FINISH, Running, Worker, start

__all__ = ["FINISH", "Observed", "Successors", "Supervisor", "Worker"]

log = logging.getLogger(__name__)

START_SECONDS = 15.0
STOP_SECONDS = 5.0
# How long a replaced worker may go on with what it had begun: a boot file by TFTP takes seconds, an image some more.
DRAIN_SECONDS = 60.0
# A worker that lived this long is restarted at once; one that dies young waits longer each time.
STEADY_SECONDS = 10.0
BACKOFF_SECONDS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Observed:
    """What the observer is told. `what` is `started`, `ready`, `died`, `replaced` or `stopped`."""

    worker: str
    what: str
    detail: str = ""


class Successors(Protocol):
    """Where the workers of another config come from."""

    def prepare(self) -> Sequence[Worker]:
        """Read the config again and bind what it needs and nobody holds. Raises MayuError: everything stays as it is."""

    def commit(self) -> None:
        """All successors serve; what they do not need may be closed. Raises MayuError: they are stopped again."""

    def abandon(self, error: MayuError) -> None:
        """Nothing came of it: the workers at hand serve on."""


# Told of every change, with the state of all workers: (name, pid, ready, restarts).
Observer = Callable[[Observed, Sequence[tuple[str, int, bool, int]]], None]


class Supervisor:
    """Runs workers until SIGTERM or SIGINT. Must be used in a process without threads: it forks.

    On SIGHUP it replaces them by `successors`: all of the new ones serve beside the old before the first old one is asked to
    go, so that either all workers serve the new config or none does, and there is always one that serves.
    """

    def __init__(self, workers: Sequence[Worker], observer: Observer, successors: Successors | None = None) -> None:
        self._workers = workers
        self._observer = observer
        self._successors = successors
        self._running: dict[str, Running] = {}
        self._coming: dict[str, Running] = {}
        self._leaving: list[Running] = []
        self._signal_read, self._signal_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False
        self._reload_wanted = False

    def run(self, ready: Callable[[], None]) -> None:
        """Start all, call `ready` when all serve, keep them alive. Raises StartError when one cannot start."""
        with self._signals():
            try:
                for worker in self._workers:
                    self._running[worker.name] = self._fork(worker)
                    self._tell(Observed(worker.name, "started"))
                self._await_all(self._running)
                if not self._stopping:
                    ready()
                while not self._stopping:
                    if self._reload_wanted:
                        self._reload()
                    else:
                        self._turn(None)
            finally:
                self._stop_all()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(signum: int, frame: FrameType | None) -> None:
            self._stopping = True
            wake()

        def reload(signum: int, frame: FrameType | None) -> None:
            self._reload_wanted = True
            wake()

        def wake() -> None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._signal_write, b"s")

        handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, **({signal.SIGHUP: reload} if self._successors else {})}
        earlier = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def _fork(self, worker: Worker) -> Running:
        # A leash that a sibling holds too would not close with the supervisor.
        leashes = (each.leash for each in self._all() if each.leash >= 0)
        return start(worker, (self._signal_write, *leashes))

    def _all(self) -> list[Running]:
        return [*self._running.values(), *self._coming.values(), *self._leaving]

    def _await_all(self, workers: dict[str, Running]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping and (missing := [name for name, r in workers.items() if not r.ready]):
            if (left := deadline - time.monotonic()) <= 0:
                raise StartError(f"not ready after {START_SECONDS:.0f} s: {', '.join(missing)}", hint="see the log above")
            self._turn(left)
            if dead := [name for name, r in workers.items() if r.restart_at]:
                raise StartError(f"could not start: {', '.join(dead)}", hint="the log above says why")

    def _turn(self, timeout: float | None) -> None:
        """Wait for one thing to happen and deal with it."""
        due = [r.restart_at for r in self._running.values() if r.restart_at] + [r.leave_by for r in self._leaving]
        if due:
            left = max(0.0, min(due) - time.monotonic())
            timeout = left if timeout is None else min(timeout, left)
        watched: list[int] = [self._signal_read]
        for each in self._all():
            if not each.restart_at:
                watched += [each.process.sentinel, *([] if each.ready else [each.ready_fd])]
        happened: set[object] = set(wait(watched, timeout))
        if self._signal_read in happened:
            os.read(self._signal_read, 100)
        for workers in (self._running, self._coming):
            for each in list(workers.values()):
                self._tend(each, happened)
        for each in list(self._leaving):
            self._see_off(each, happened)

    def _tend(self, each: Running, happened: set[object]) -> None:
        if each.ready_fd in happened and not each.ready and not each.restart_at and os.read(each.ready_fd, 1):
            each.ready = True
            if self._running.get(each.worker.name) is each:
                self._tell(Observed(each.worker.name, "ready"))
        if not each.restart_at and each.process.sentinel in happened:
            self._bury(each)
        now = time.monotonic()
        if each.restart_at and each.restart_at <= now and not self._stopping and self._running.get(each.worker.name) is each:
            successor = self._fork(each.worker)
            successor.restarts, successor.young_deaths = each.restarts + 1, each.young_deaths
            self._running[each.worker.name] = successor
            self._tell(Observed(each.worker.name, "started"))

    def _bury(self, dead: Running) -> None:
        how = dead.close()
        lived = time.monotonic() - dead.started
        dead.young_deaths = 0 if lived > STEADY_SECONDS else dead.young_deaths + 1
        delay = BACKOFF_SECONDS[min(dead.young_deaths, len(BACKOFF_SECONDS) - 1)]
        dead.restart_at = time.monotonic() + delay
        dead.ready = False
        if self._running.get(dead.worker.name) is dead:
            log.error("%s died after %.1f s: %s; restarting in %.1f s", dead.worker.name, lived, how, delay)
            self._tell(Observed(dead.worker.name, "died", how))
        else:
            log.error("%s of the new config died after %.1f s: %s", dead.worker.name, lived, how)

    def _see_off(self, each: Running, happened: set[object]) -> None:
        """A worker that was replaced: it goes when it has finished, is stopped when that takes too long, then killed."""
        if each.process.sentinel in happened:
            each.close()
            self._leaving.remove(each)
        elif each.leave_by <= time.monotonic():
            if each.leash < 0:
                log.warning("%s, which was replaced, did not stop in %.0f s and is killed", each.worker.name, STOP_SECONDS)
                each.process.kill()
            each.let_go()
            each.leave_by = time.monotonic() + STOP_SECONDS

    def _reload(self) -> None:
        assert self._successors is not None  # Without them nobody listens for SIGHUP.
        self._reload_wanted = False
        try:
            workers = self._successors.prepare()
            try:
                for worker in workers:
                    self._coming[worker.name] = self._fork(worker)
                self._await_all(self._coming)
                if not self._stopping:
                    self._successors.commit()
            except MayuError:
                self._dismiss()
                raise
        except MayuError as error:
            self._successors.abandon(error)
            return
        if not self._stopping:
            self._swap()

    def _dismiss(self) -> None:
        """Stop the successors."""
        dismissed, self._coming = self._coming, {}
        for each in dismissed.values():
            if not each.restart_at:
                each.let_go()
                each.leave_by = time.monotonic() + STOP_SECONDS
                self._leaving.append(each)

    def _swap(self) -> None:
        replaced, self._running, self._coming = self._running, self._coming, {}
        for each in replaced.values():
            if each.restart_at:
                continue  # It is dead, and its successor serves.
            with contextlib.suppress(BrokenPipeError):
                os.write(each.leash, FINISH)
            each.leave_by = time.monotonic() + DRAIN_SECONDS
            self._leaving.append(each)
        self._tell(Observed("all", "replaced"))

    def _stop_all(self) -> None:
        """Closing the leashes asks them; what has not gone in time is killed."""
        self._stopping = True
        living = [each for each in self._all() if not each.restart_at]
        for each in living:
            each.let_go()
        deadline = time.monotonic() + STOP_SECONDS
        for each in living:
            each.process.join(max(0.0, deadline - time.monotonic()))
            if each.process.exitcode is None:
                log.warning("%s did not stop in %.0f s and is killed", each.worker.name, STOP_SECONDS)
                each.process.kill()
            each.close()
        self._running.clear()
        self._coming.clear()
        self._leaving.clear()
        self._tell(Observed("all", "stopped"))

    def _tell(self, change: Observed) -> None:
        states = [(r.worker.name, 0 if r.restart_at else r.process.pid or 0, r.ready, r.restarts) for r in self._running.values()]
        self._observer(change, states)
