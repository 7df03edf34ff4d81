"""A worker's desk: the snapshot it decides by, and the tray of events and counters that a thread carries to the store.

A reply never waits for the history: events are written behind the reply, many in one commit. Only what a client must
be able to rely on is written before it is answered: a new host's address (`enrol`), how far it has come over HTTP
(`write`), and its own reports (`report`). Whoever writes takes along what is on the tray.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address
from time import monotonic
from types import TracebackType
from typing import Self

from mayu_py.core.boot import decide
from mayu_py.core.enrolment import Enrolment, Newcomer, Registry, readdress
from mayu_py.core.exchange import Answer, Became, Event, Learned, Reached, Request
from mayu_py.core.hosts import Host
from mayu_py.core.inventory import Changes, Inventory, compose
from mayu_py.core.networks import Network
from mayu_py.core.settings import Settings
from mayu_py.core.snapshot import Snapshot
from mayu_py.core.verbs import Verb, carry_out
from mayu_py.errors import IllegalTransition, RangeExhausted, StoreError
from mayu_py.services.repeats import Repeats
from mayu_py.services.signs import LastSigns
from mayu_py.store import NO_CONFIGS, Counts, Entry, Happened, Served, Stamp, Store

log = logging.getLogger(__name__)

# One machine asks several times within a breath (DISCOVER retries, HEAD before GET); its boots lie further apart.
REPEAT_SECONDS = 5.0
# What may wait to be written. A flood must not fill the memory.
TRAY_SIZE = 20_000
# How long events gather before they are committed together.
GATHER_SECONDS = 0.02

Key = tuple[str, str, str]


def _key(event: Event) -> Key:
    """What makes an event a repeat of another: its kind, its host, and what it says of it."""
    match event:
        case Reached():
            what: str = event.stage
        case Became():
            what = event.state
        case Learned():
            what = f"{event.identity} {event.os_version} {event.address}"
    return (type(event).__name__, event.host.name, what)


class Desk:
    """Opened once in each worker process, after the fork. Safe for several threads.

    `signs` is what the workers share, made before the fork; without it, a desk has its own.
    """

    def __init__(self, worker: str, settings: Settings, open_store: Callable[[], Store], signs: LastSigns | None = None) -> None:
        self._worker = worker
        self._settings = settings
        self._open_store = open_store
        self._store = open_store()
        self._lock = threading.RLock()
        # SQLite lets a second writer sleep for a while that grows; a lock lets it go on at once.
        self._writing = threading.Lock()
        self._snapshot = Snapshot.of(settings, (), revision=-1)
        self._registry: Registry | None = None
        self._entries: list[Entry] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._recent: Repeats[Key] = Repeats(REPEAT_SECONDS)
        self._signs = signs or LastSigns()
        self._work = threading.Event()
        self._stop = threading.Event()
        self._carrier = threading.Thread(target=self._carry, name="carrier", daemon=True)

    def open(self) -> None:
        """Start the thread that carries the tray to the store. The first who asks should not wait for the index of all hosts."""
        self.snapshot()
        self._carrier.start()

    def close(self) -> None:
        """Write what is on the tray and let go of the store."""
        self._stop.set()
        self._work.set()
        self._carrier.join()
        self._store.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def settings(self) -> Settings:
        """The config this worker runs."""
        return self._settings

    @property
    def store(self) -> Store:
        """This worker's own connection; hold `locked` while using it."""
        return self._store

    @property
    def locked(self) -> threading.RLock:
        """The lock around `store`."""
        return self._lock

    def snapshot(self) -> Snapshot:
        """The newest snapshot: made anew when another process has changed the inventory."""
        with self._lock:
            if self._store.revision() == self._snapshot.revision:
                return self._snapshot
            return self._follow(self._store.inventory())

    def answer(self, request: Request, snapshot: Snapshot | None = None) -> Answer:
        """Decide, and put the events of the decision on the tray. A batch of requests may share one snapshot."""
        answer = self.consider(request, snapshot)
        if answer.events:
            self.note(answer)
        return answer

    def consider(self, request: Request, snapshot: Snapshot | None = None) -> Answer:
        """Decide only; for who writes the events before answering, with `report`."""
        answer = decide(request, snapshot or self.snapshot())
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s -> %s because %s", request, answer.reply, "; ".join(answer.reasons))
        return answer

    def note(self, answer: Answer) -> None:
        """Put an answer's events on the tray, but for repeats within a few seconds."""
        with self._lock:
            for event in self._news(answer):
                self._put(event)

    def happened(self, kind: str, host: Host | None, **detail: object) -> None:
        """Put something on the tray that moves no host, but for a repeat within a few seconds."""
        with self._lock:
            if not self._recent.seen((kind, host.name if host else "", repr(detail)), monotonic()):
                self._put(Happened(kind, detail, host))

    def _news(self, answer: Answer) -> list[Event]:
        """The events of an answer that are no repeats.

        A repeat is what this worker had a few seconds ago, and nobody had another sign of that host since: a host that boots
        again so soon has been further, though it was another worker that heard of it.
        """
        now = monotonic()
        keys = {_key(event): event for event in answer.events}
        # Both are asked of every event: each remembers it.
        told = {key: (self._signs.is_last(key[:2], key[2]), self._recent.seen(key, now)) for key in keys}
        return [event for key, event in keys.items() if not all(told[key])]

    def _put(self, event: Event | Happened) -> None:
        if len(self._entries) >= TRAY_SIZE:
            self._counts["events.lost", "tray-full"] += 1
            return
        self._entries.append((event, Stamp.now()))
        self._work.set()

    def count(self, name: str, reason: str, n: int = 1) -> None:
        """Add to a counter of this worker."""
        with self._lock:
            self._counts[name, reason] += n
        if not self._work.is_set():
            self._work.set()

    def fresh(self, answer: Answer) -> Sequence[Entry]:
        """The events of an answer that are no repeats within a few seconds: to be written, with `write`, before it is given.

        A machine that was served its config may say that it runs, to another worker, before a tray would be emptied; and
        what is on a tray goes with a worker that is killed.
        """
        if not answer.events:
            return ()
        with self._lock:
            return [(event, Stamp.now()) for event in self._news(answer)]

    def write(self, entries: Sequence[Entry], served: Served = NO_CONFIGS) -> None:
        """Write events, and the configs that hosts are served, before returning. Raises StoreError."""
        with self._lock:
            tray, counts = self._take()
            try:
                with self._writing:
                    self._store.record([*tray, *entries], served, counts)
            except StoreError as error:
                _lost(tray, counts, error)
                for event, _ in entries:
                    # Who asks again is no repeat of what was never written.
                    if not isinstance(event, Happened):
                        self._recent.forget(_key(event))
                raise

    def report(self, answer: Answer) -> list[IllegalTransition]:
        """Write an answer's events now; returns the moves that were refused."""
        with self._lock, self._writing:
            self._news(answer)
            return self._store.record([(event, Stamp.now()) for event in answer.events])

    def enrol(self, newcomers: Sequence[Newcomer], avoid: Collection[IPv4Address] = ()) -> Sequence[Host | RangeExhausted]:
        """A durable record for each machine, all in one commit. Addresses in `avoid` are given to nobody."""
        outcome = Enrolment((), ())
        registry: Registry | None = None

        def choose(inventory: Inventory) -> Changes:
            # Looked up again, now that nobody else can write: another worker may have enrolled the machine meanwhile.
            nonlocal outcome, registry
            snapshot = self._follow(inventory)
            if registry is None or registry.snapshot is not snapshot:
                registry = Registry(snapshot)
            outcome = registry.enrol(newcomers, avoid)
            return outcome.changes

        with self._lock:
            registry, self._registry = self._registry, None  # What it gives out counts only when it is written.
            self._change(choose)
            if outcome.new:
                self._snapshot = self._snapshot.adding(outcome.new, self._snapshot.revision + 1)
            if registry is not None:
                registry.follow(self._snapshot)
                self._registry = registry
        return outcome.results

    def readdress(self, host: Host, network: Network, avoid: Collection[IPv4Address], chosen: IPv4Address | None = None) -> None:
        """Another address in `network` for an enrolled host, durably. Raises RangeExhausted; the host keeps what it has then."""

        def choose(inventory: Inventory) -> Changes:
            return readdress(host, network, inventory, self._follow(inventory), avoid, chosen)

        with self._lock:
            self._change(choose)

    def carry_out(self, verb: Verb, name: str, by: str) -> Host | None:
        """Do what an operator asks for, durably. Returns the host as it is then, None when it is gone.

        Raises VerbRefused; LookupError when there is no such host.
        """

        def decide(inventory: Inventory) -> Changes:
            return carry_out(verb, self._follow(inventory).hosts[name], by, inventory, self._settings)

        with self._lock:
            self._change(decide)
            return self.snapshot().hosts.get(name)

    def _change(self, decide: Callable[[Inventory], Changes]) -> None:
        with self._writing:
            self._store.change(decide)

    def _follow(self, inventory: Inventory) -> Snapshot:
        """The snapshot of this inventory: the one at hand, if it is of the same revision."""
        if inventory.revision != self._snapshot.revision:
            hosts = compose(self._settings, inventory)
            self._snapshot = Snapshot.of(self._settings, hosts, inventory.revision)
        return self._snapshot

    def _carry(self) -> None:
        store = self._open_store()
        try:
            while not self._stop.is_set():
                self._work.wait()
                self._stop.wait(GATHER_SECONDS)
                self._empty(store)
            self._empty(store)
        finally:
            store.close()

    def _take(self) -> tuple[Sequence[Entry], Counts]:
        with self._lock:
            self._work.clear()
            entries, self._entries = self._entries, []
            counts, self._counts = self._counts, Counter()
        return entries, {(self._worker, *counter): number for counter, number in counts.items()}

    def _empty(self, store: Store) -> None:
        entries, counts = self._take()
        try:
            with self._writing:
                store.record(entries, counts=counts)
        except StoreError as error:
            _lost(entries, counts, error)


def _lost(entries: Sequence[Entry], counts: Counts, error: StoreError) -> None:
    """History may be lost when the disk is full; answers to machines must not be."""
    log.error("%d events and %d counts are lost: %s", len(entries), sum(counts.values()), error.message)
