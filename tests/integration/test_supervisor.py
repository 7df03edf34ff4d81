"""The supervisor: real forked processes, killed for real."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import pytest

from mayu_py.errors import StartError
from mayu_py.supervisor import Observed, Supervisor, Worker

Told = tuple[str, str, int]
DEADLINE = 10.0


def serve(stop_fd: int, ready: Callable[[], None]) -> None:
    ready()
    os.read(stop_fd, 1)


def never_ready(stop_fd: int, ready: Callable[[], None]) -> None:
    raise SystemExit(3)


def deaf(stop_fd: int, ready: Callable[[], None]) -> None:
    ready()
    while True:
        time.sleep(60)


def supervise(workers: Sequence[Worker], told: Connection) -> None:
    def observe(change: Observed, states: Sequence[tuple[str, int, bool, int]]) -> None:
        pids = {name: pid for name, pid, _, _ in states}
        told.send((change.worker, change.what, pids.get(change.worker, 0)))

    Supervisor(workers, observe).run(lambda: told.send(("all", "ready", 0)))


class Running:
    """A supervisor in a process of its own, and what it tells."""

    def __init__(self, *workers: Worker) -> None:
        self._told, child = get_context("fork").Pipe(duplex=False)
        self.process: BaseProcess = get_context("fork").Process(target=supervise, args=(workers, child))
        self.process.start()
        child.close()
        self.pids: dict[str, int] = {}

    def until(self, worker: str, what: str) -> int:
        """Read until this was told; returns the pid."""
        while self._told.poll(DEADLINE):
            name, happened, pid = self._told.recv()
            if happened == "started":
                self.pids[name] = pid
            if (name, happened) == (worker, what):
                return int(pid)
        raise AssertionError(f"never told: {worker} {what}")


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start_one(*workers: Worker) -> Running:
        running.append(Running(*workers))
        return running[-1]

    yield start_one
    for each in running:
        if each.process.is_alive():
            each.process.kill()
        each.process.join()


def gone(pid: int) -> bool:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{pid}/stat") as stat:
            if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        time.sleep(0.01)
    return False


def test_a_killed_worker_is_restarted(start: Callable[..., Running]) -> None:
    running = start(Worker("one", serve), Worker("two", serve))
    running.until("all", "ready")
    first = running.pids["one"]
    os.kill(first, signal.SIGKILL)
    running.until("one", "died")
    running.until("one", "ready")
    assert running.pids["one"] != first


def test_sigterm_stops_every_worker_in_order(start: Callable[..., Running]) -> None:
    running = start(Worker("one", serve), Worker("two", serve))
    running.until("all", "ready")
    os.kill(running.process.pid or 0, signal.SIGTERM)
    running.process.join(DEADLINE)
    assert running.process.exitcode == 0
    assert all(gone(pid) for pid in running.pids.values())


def test_workers_do_not_outlive_a_killed_supervisor(start: Callable[..., Running]) -> None:
    running = start(Worker("one", serve), Worker("two", serve))
    running.until("all", "ready")
    os.kill(running.process.pid or 0, signal.SIGKILL)
    assert all(gone(pid) for pid in running.pids.values())


def test_a_worker_that_does_not_listen_is_killed(start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mayu_py.supervisor.STOP_SECONDS", 0.2)
    running = start(Worker("deaf", deaf))
    running.until("all", "ready")
    os.kill(running.process.pid or 0, signal.SIGTERM)
    running.process.join(DEADLINE)
    assert running.process.exitcode == 0
    assert gone(running.pids["deaf"])


def test_a_worker_that_cannot_start_is_named() -> None:
    told: list[Observed] = []
    with pytest.raises(StartError, match="could not start: broken"):
        Supervisor([Worker("broken", never_ready)], lambda change, _: told.append(change)).run(lambda: None)
    assert Observed("broken", "died", "exit code 3") in told
