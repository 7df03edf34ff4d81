"""A worker process: a fork on a leash.

A worker is a fork: it inherits the sockets that were bound before, so its successor finds what arrived while nobody served.
Each holds the reading end of a pipe of its own, its leash, whose writing end only the supervisor has. `FINISH` on it asks the
worker to finish what it has begun and go; the leash closes when the worker is to stop at once, and when the supervisor dies,
by SIGKILL too.
"""

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mayu_py.errors import MayuError

log = logging.getLogger(__name__)

FINISH = b"d"
"""What asks a worker to finish what it has begun and go."""

_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Worker:
    """`run(stop_fd, ready)` calls `ready()` once it serves, and returns soon after `stop_fd` becomes readable.

    What is read from it then says how: `FINISH`, when it has finished what it has begun; the pipe's end, at once.
    """

    name: str
    run: Callable[[int, Callable[[], None]], None]


@dataclass
class Running:
    """A worker that was started. `restart_at` is when a dead one is started anew, 0 while it lives."""

    worker: Worker
    process: "multiprocessing.process.BaseProcess"
    ready_fd: int
    leash: int
    started: float
    ready: bool = False
    restarts: int = 0
    young_deaths: int = 0
    restart_at: float = 0.0
    leave_by: float = 0.0  # Only of those that have been replaced.

    def let_go(self) -> None:
        """Have it stop at once."""
        if self.leash >= 0:
            os.close(self.leash)
            self.leash = -1

    def close(self) -> str:
        """Reap the dead; returns how it died."""
        self.process.join()
        how = _how_it_died(self.process.exitcode)
        self.process.close()
        os.close(self.ready_fd)
        self.let_go()
        return how


def start(worker: Worker, not_its: Sequence[int]) -> Running:
    """Fork. `not_its` are descriptors that the child must not keep."""
    ready_read, ready_write = os.pipe()
    leash_read, leash = os.pipe()
    process = _fork.Process(target=_child, args=(worker, leash_read, ready_write, (leash, *not_its)), name=worker.name)
    process.start()
    os.close(ready_write)
    os.close(leash_read)
    return Running(worker, process, ready_read, leash, time.monotonic())


def _child(worker: Worker, leash_read: int, ready_fd: int, not_its: Sequence[int]) -> None:
    # The terminal sends Ctrl-C to the whole process group; only the supervisor decides when a worker stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for held in not_its:
        os.close(held)

    def ready() -> None:
        os.write(ready_fd, b"r")

    try:
        worker.run(leash_read, ready)
    except MayuError as error:
        log.error("%s", error.message)
        raise SystemExit(1) from None


def _how_it_died(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
