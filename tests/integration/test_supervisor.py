"""The supervisor: real forked processes, killed for real."""

import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from mayu_py.errors import ConfigError, MayuError, StartError, StoreError
from mayu_py.supervisor import FINISH, Observed, Supervisor, Worker

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


def supervise(workers: Sequence[Worker], successors: "Next | None", told: Connection) -> None:
    if successors is not None:
        successors.told = told

    def observe(change: Observed, states: Sequence[tuple[str, int, bool, int]]) -> None:
        pids = {name: pid for name, pid, _, _ in states}
        told.send((change.worker, change.what, pids.get(change.worker, 0)))

    Supervisor(workers, observe, successors).run(lambda: told.send(("all", "ready", 0)))


class Next:
    """The successors of a test: what comes next is decided beforehand."""

    def __init__(self, *generations: Sequence[Worker] | MayuError, at_commit: Callable[[], None] = lambda: None) -> None:
        self._generations = list(generations)
        self._at_commit = at_commit
        self.told: Connection | None = None

    def prepare(self) -> Sequence[Worker]:
        found = self._generations.pop(0)
        if isinstance(found, MayuError):
            raise found
        return found

    def commit(self) -> None:
        self._at_commit()

    def abandon(self, error: MayuError) -> None:
        assert self.told is not None
        self.told.send(("all", f"refused: {error.message}", 0))


class Running:
    """A supervisor in a process of its own, and what it tells."""

    def __init__(self, *workers: Worker, successors: Next | None = None) -> None:
        self._told, child = get_context("fork").Pipe(duplex=False)
        self.process: BaseProcess = get_context("fork").Process(target=supervise, args=(workers, successors, child))
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

    def start_one(*workers: Worker, successors: Next | None = None) -> Running:
        running.append(Running(*workers, successors=successors))
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
            state = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):  # The latter when it goes while it is read.
            return True
        else:
            if state.rsplit(")", 1)[1].split()[0] == "Z":
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


class Tracks:
    """Workers that leave a line of what happens to them: `begun`, then how they were asked to stop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def worker(self, name: str, *, finishing: float = 0.0) -> Worker:
        def run(stop_fd: int, ready: Callable[[], None]) -> None:
            track = self._folder / name
            track.write_text(f"{os.getpid()} ")
            ready()
            asked = os.read(stop_fd, 1)
            if asked == FINISH and finishing:
                readable, _, _ = select.select([stop_fd], [], [], finishing)
                asked += b" cut short" if readable else b" finished"
            track.write_text(f"{track.read_text()}{asked.decode() or 'end'}")

        return Worker("one", run)

    def of(self, name: str) -> tuple[int, str]:
        pid, _, how = (self._folder / name).read_text().partition(" ")
        return int(pid), how


@pytest.fixture
def tracks(tmp_path: Path) -> Tracks:
    return Tracks(tmp_path)


def hup(running: Running) -> None:
    os.kill(running.process.pid or 0, signal.SIGHUP)


def test_sighup_replaces_workers_when_their_successors_serve_and_lets_them_finish(
    start: Callable[..., Running], tracks: Tracks
) -> None:
    running = start(tracks.worker("old", finishing=0.3), successors=Next([tracks.worker("new")]))
    running.until("all", "ready")
    old = running.pids["one"]
    hup(running)
    running.until("all", "replaced")
    assert alive(tracks.of("new")[0])
    assert gone(old)
    assert tracks.of("old") == (old, "d finished")


def test_a_worker_that_takes_too_long_to_finish_is_stopped(
    start: Callable[..., Running], tracks: Tracks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mayu_py.supervisor.DRAIN_SECONDS", 0.2)
    running = start(tracks.worker("old", finishing=60), successors=Next([tracks.worker("new")]))
    running.until("all", "ready")
    hup(running)
    running.until("all", "replaced")
    assert gone(tracks.of("old")[0])
    assert tracks.of("old")[1] == "d cut short"


@pytest.mark.parametrize(
    ("coming", "said"),
    [
        (ConfigError("rack.yaml:3: no"), "refused: rack.yaml:3: no"),
        ([Worker("good", serve), Worker("broken", never_ready)], "refused: could not start: broken"),
        ([Worker("slow", lambda stop_fd, ready: deaf(stop_fd, lambda: None))], "refused: not ready after 1 s: slow"),
    ],
)
def test_what_cannot_serve_replaces_nobody(
    start: Callable[..., Running],
    tracks: Tracks,
    monkeypatch: pytest.MonkeyPatch,
    coming: Sequence[Worker] | MayuError,
    said: str,
) -> None:
    monkeypatch.setattr("mayu_py.supervisor.START_SECONDS", 1.0)
    monkeypatch.setattr("mayu_py.supervisor.STOP_SECONDS", 0.2)
    running = start(tracks.worker("old"), successors=Next(coming, [tracks.worker("new")]))
    running.until("all", "ready")
    hup(running)
    running.until("all", said)
    assert tracks.of("old") == (running.pids["one"], "")
    only = {running.pids["one"]}
    assert until(lambda: set(children(running.process.pid or 0)) == only)
    hup(running)
    running.until("all", "replaced")
    assert until(lambda: set(children(running.process.pid or 0)) == {tracks.of("new")[0]})


def test_a_commit_that_fails_stops_the_successors_again(start: Callable[..., Running], tracks: Tracks) -> None:
    def full() -> None:
        raise StoreError("the disk is full")

    running = start(tracks.worker("old"), successors=Next([tracks.worker("new")], at_commit=full))
    running.until("all", "ready")
    hup(running)
    running.until("all", "refused: the disk is full")
    assert gone(tracks.of("new")[0])
    assert tracks.of("new")[1] == "end"
    assert tracks.of("old") == (running.pids["one"], "")


def test_nobody_outlives_a_supervisor_killed_amid_a_reload(start: Callable[..., Running], tracks: Tracks) -> None:
    running = start(tracks.worker("old", finishing=60), successors=Next([tracks.worker("new")]))
    running.until("all", "ready")
    hup(running)
    running.until("all", "replaced")
    os.kill(running.process.pid or 0, signal.SIGKILL)
    assert gone(tracks.of("old")[0])
    assert gone(tracks.of("new")[0])


def test_many_reloads_leave_no_process_and_no_descriptor_behind(start: Callable[..., Running], tracks: Tracks) -> None:
    running = start(tracks.worker("0"), successors=Next(*([tracks.worker(f"{n}")] for n in range(1, 11))))
    running.until("all", "ready")
    folder = Path(f"/proc/{running.process.pid}/fd")
    before = len(list(folder.iterdir()))
    for _ in range(10):
        hup(running)
        running.until("all", "replaced")
    assert until(lambda: children(running.process.pid or 0) == [tracks.of("10")[0]])
    assert until(lambda: len(list(folder.iterdir())) == before)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(found: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE
    while not found() and time.monotonic() < deadline:
        time.sleep(0.01)
    return found()
