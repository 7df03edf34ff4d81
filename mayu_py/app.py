"""The composition root: config -> store -> sockets -> worker processes. With `workers`, nowhere else is anything wired."""

import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from mayu_py import config
from mayu_py.config import Config
from mayu_py.core.difference import compare
from mayu_py.core.inventory import configured
from mayu_py.errors import MayuError, StartError, StoreError
from mayu_py.services.listeners import Listeners
from mayu_py.store import Happened, Stamp, WorkerStatus
from mayu_py.store.sqlite import SqliteStore
from mayu_py.supervisor import Observed, Supervisor, Worker
from mayu_py.workers import Workers

log = logging.getLogger(__name__)


def serve(path: Path, *, ready_fd: int | None = None, debug: bool = False) -> None:
    """Run the server until SIGTERM or SIGINT; SIGHUP has it read its config file again.

    Raises ConfigError, StartError or StoreError before anything is served.
    """
    began = time.monotonic()
    with Listeners() as listeners:
        service = Service(path, listeners, debug=debug)
        workers = service.prepare()
        service.begin()
        Supervisor(workers, service.observe, service).run(lambda: service.announce(ready_fd, began))


class Service:
    """The config in service, and how another takes its place."""

    def __init__(self, path: Path, listeners: Listeners, *, debug: bool) -> None:
        self._path = path
        self._listeners = listeners
        self._debug = debug
        self._serving: Config | None = None
        self._generation = 0
        self._next: Config | None = None
        self._asked = 0

    def prepare(self) -> Sequence[Worker]:
        """Read and check the config, and bind its sockets. Raises MayuError with every problem."""
        if self._serving is not None:
            with closing(self._store(self._serving)) as store:
                self._asked = store.asked()
        with _garbage_aside():
            found = config.read(self._path)
        if self._serving is not None and found.settings.state != self._serving.settings.state:
            why = f"{self._path}: `state` is another file: {found.settings.state}"
            raise StartError(why, hint="mayu takes its state along only when it is started anew")
        self._next = found
        workers = list(Workers(found, self._listeners, debug=self._debug).all())
        mine = self._listeners.claimed()
        return [Worker(worker.name, partial(self._run, worker, mine)) for worker in workers]

    def _run(self, worker: Worker, mine: Sequence[socket.socket], stop_fd: int, ready: Callable[[], None]) -> None:
        """Runs in the worker's process. It has inherited the sockets of the configs before and after its own as well."""
        self._listeners.leave_only(mine)
        worker.run(stop_fd, ready)

    def begin(self) -> None:
        """The first config of this server. Raises StoreError."""
        assert self._next is not None
        with closing(self._store(self._next)) as store:
            self._generation = store.load(os.getpid(), {}, 0).number
        self._settle()

    def commit(self) -> None:
        """The new config serves. Raises StoreError: then it does not."""
        assert self._serving is not None
        assert self._next is not None
        old, new = self._serving, self._next
        difference = compare(old.settings, new.settings, _digests(old), _digests(new))
        with closing(self._store(old)) as store:
            self._generation = store.load(os.getpid(), difference.as_detail(), self._asked).number
        log.info("config %s is generation %d: %s", self._path, self._generation, difference)
        self._settle()

    def abandon(self, error: MayuError) -> None:
        """The last good config stays; whoever asked learns why."""
        self._next = None
        self._listeners.give_up()
        problems = [line for line in (*error.message.splitlines(), error.hint) if line]
        for problem in problems:
            log.error("reload: %s", problem)
        log.error("reload refused: generation %d serves on", self._generation)
        assert self._serving is not None
        with _survived("the refusal is not written down"), closing(self._store(self._serving)) as store:
            store.refuse_reload(problems, self._asked)

    def observe(self, change: Observed, workers: Sequence[tuple[str, int, bool, int]]) -> None:
        """Write the workers' state where /readyz and /v1/workers find it. Opens the store anew: a fork may come next."""
        assert self._serving is not None
        with _survived("the workers' state is not written down"), closing(self._store(self._serving)) as store:
            store.set_workers([WorkerStatus(*worker, self._generation) for worker in workers])
            detail = {"worker": change.worker, "what": change.what, **({"why": change.detail} if change.detail else {})}
            store.record([(Happened("worker", detail), Stamp.now())])

    def announce(self, ready_fd: int | None, began: float) -> None:
        """Every worker serves."""
        assert self._serving is not None
        settings = self._serving.settings
        log.info(
            "serving %s: dhcp, tftp, %s; %d hosts known; ready after %.2f s",
            ", ".join(f"{network.subnet} on {network.interface}" for network in settings.local),
            settings.url(),
            len(settings.hosts),
            time.monotonic() - began,
        )
        if ready_fd is not None:
            os.write(ready_fd, b"ready\n")
            os.close(ready_fd)

    def _settle(self) -> None:
        self._serving, self._next = self._next, None
        self._listeners.settle()

    def _store(self, of: Config) -> SqliteStore:
        return SqliteStore(of.settings.state)


def _digests(of: Config) -> dict[str, str]:
    """Host name -> the digest of its Ignition config."""
    return {host.name: of.renderer.config(host).sha256 for host in configured(of.settings)}


@contextmanager
def _garbage_aside() -> Iterator[None]:
    """For reading a config, of which everything stays.

    Looking for garbage in it again and again doubles the time that it takes; and a worker that looks through ten thousand hosts
    answers nobody for half a second, and makes its own copy of what it shares with the others.
    """
    gc.unfreeze()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _survived(what: str) -> Iterator[None]:
    """A disk that is full must not take the server down."""
    try:
        yield
    except StoreError as error:
        log.error("%s: %s", what, error.message)
