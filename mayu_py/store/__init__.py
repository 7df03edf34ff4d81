"""State that outlives a process. Workers share nothing but a store; every change it acknowledges is on the disk."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol, Self

from mayu_py.core.discovery import Cluster, Step
from mayu_py.core.exchange import Event
from mayu_py.core.hosts import Host, Stage, State
from mayu_py.core.inventory import Changes, Inventory
from mayu_py.errors import IllegalTransition


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something happened: wall clock for people, CLOCK_MONOTONIC (ns since boot) for measuring on this machine."""

    at: str
    monotonic_ns: int

    @classmethod
    def now(cls) -> Self:
        """The present."""
        return cls(datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic_ns())


@dataclass(frozen=True, slots=True)
class Happened:
    """Something worth remembering that moves no host: a worker restarted, a config was served."""

    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    host: Host | None = None


Entry = tuple[Event | Happened, Stamp]
Counts = Mapping[tuple[str, str, str], int]
"""(worker, name, reason) -> how many more."""
Served = Mapping[str, bytes]
"""Host name -> the config that it is served."""

NO_COUNTS: Counts = MappingProxyType({})
NO_CONFIGS: Served = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One row of the history. `id` grows and is never used twice."""

    id: int
    at: str
    monotonic_ns: int
    serial: str | None
    host: str | None
    kind: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """Where a host stands. `since` is when it came into its state."""

    state: State
    stage: Stage | None
    since: str


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker process, as the supervisor last saw it."""

    worker: str
    pid: int
    ready: bool
    restarts: int
    generation: int = 0  # of the config that it serves


@dataclass(frozen=True, slots=True)
class Generation:
    """A config that was put into service. `number` grows with each and never starts anew; `pid` is the supervisor's."""

    number: int
    loaded_at: str
    pid: int


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What came of a reload: the generation that serves now, and the problems for which it was refused, or what is different."""

    accepted: bool
    generation: int
    problems: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)


class Store(Protocol):
    """What a worker may ask of the state.

    Every method is one atomic, durable step, safe for several threads and processes at once; any of them raises StoreError.
    """

    def revision(self) -> int:
        """The inventory's revision; cheap enough for every packet."""

    def inventory(self) -> Inventory:
        """All enrolled hosts, all that machines told and operators set."""

    def change(self, decide: Callable[[Inventory], Changes]) -> None:
        """Write the changes that `decide` makes of the inventory, with their notes. Nobody else can write in between."""

    def record(
        self, entries: Sequence[Entry], served: Served = NO_CONFIGS, counts: Counts = NO_COUNTS
    ) -> list[IllegalTransition]:
        """Write events down and move hosts by them; remember the configs that hosts are served; add to counters.

        A move that is not legal is written as `refused` and returned.
        """

    def statuses(self) -> Mapping[str, Status]:
        """Host name -> where it stands; a host nothing happened to is absent."""

    def events(self, after: int, limit: int, host: str | None = None) -> list[StoredEvent]:
        """The history after event `after`, oldest first; of one host, if it is named."""

    def keep_served(self, host: str, config: bytes) -> None:
        """Remember the config that a host is served, until it is served another."""

    def last_served(self, host: str) -> bytes | None:
        """The config that a host was served last, None before the first."""

    def count(self, worker: str, counts: Mapping[tuple[str, str], int]) -> None:
        """Add to the counters of a worker: (name, reason) -> how many more."""

    def counters(self) -> list[tuple[str, str, str, int]]:
        """(worker, name, reason, count), sorted."""

    def set_workers(self, workers: Sequence[WorkerStatus]) -> None:
        """Replace what is known of the worker processes."""

    def workers(self) -> list[WorkerStatus]:
        """The worker processes, by name."""

    def generation(self) -> Generation | None:
        """The config in service, None before the first."""

    def load(self, pid: int, changes: Mapping[str, Any], upto: int) -> Generation:
        """A new generation serves: number it, write down `reloaded` and answer the reloads asked for up to request `upto`."""

    def refuse_reload(self, problems: Sequence[str], upto: int) -> None:
        """The last good config stays: write down `reload-refused` and answer the reloads asked for up to request `upto`."""

    def ask_reload(self, by: str) -> int:
        """Leave a request for a reload; returns its number. Only the supervisor reads it, and it must be told."""

    def asked(self) -> int:
        """The number of the newest request for a reload, 0 when there is none."""

    def reload_outcome(self, request: int) -> ReloadOutcome | None:
        """What came of a request, None while there is no answer. The answers to the last hundred are kept."""

    def discovery(self, token: str) -> Cluster | None:
        """What is known of a token of etcd's discovery."""

    def discovery_index(self, token: str) -> tuple[int, float | None]:
        """The index of that token, 0 when there is none, and when its next member expires; cheap enough for every watch."""

    def change_discovery(self, token: str, step: Step) -> None:
        """Write what `step` makes of a token. Nobody else can write in between. Raises DiscoveryFull."""

    def close(self) -> None:
        """Let go of the files."""
