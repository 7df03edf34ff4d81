"""Which cluster has its pass when. A cluster has one at a time; different ones have theirs beside each other.

Something changed: soon, and soon again if it changes meanwhile. All is well: when the pass said. It failed: later each time.
"""

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kubeception_sim.errors import KubeceptionError

_log = logging.getLogger(__name__)

WORKERS = 4
SETTLE_SECONDS = 0.2
"""Changes come in crowds; and a cluster that changes all the time has five passes a second, not more."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
_MOST_DOUBLINGS = 10

Reconcile = Callable[[str], float | None]


@dataclass
class _State:
    due: float = math.inf
    running: bool = False
    again: bool = False
    failures: int = 0
    problem: str = ""
    seen: object = None


class Passes:
    """Run `reconcile` for the clusters that were heard of. `clock` in seconds."""

    def __init__(self, reconcile: Reconcile, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._reconcile, self._clock = reconcile, clock
        self._changed = threading.Condition()
        self._states: dict[str, _State] = {}
        self._queue: list[tuple[float, str]] = []
        self._stopping = False
        self._bug = ""
        self._counts = {"passes": 0, "failures": 0}
        self._seconds = 0.0

    def poke(self, name: str, version: object = None) -> None:
        """Something changed about a cluster. With a `version`: unless that is what it was, as when we wrote its status."""
        with self._changed:
            state = self._states.setdefault(name, _State())
            if version is not None and state.seen == version:
                return
            if version is not None:
                # Another spec may be what a failure waited for.
                state.seen, state.failures = version, 0
            if state.running:
                state.again = True
            elif not state.failures and (due := self._clock() + SETTLE_SECONDS) < state.due:
                self._schedule(name, state, due)

    def run(self) -> None:
        """Until `stop`: then those that run come to their end."""
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="pass") as workers:
            while (name := self._next()) is not None:
                workers.submit(self._one, name).add_done_callback(self._finished)

    def stop(self) -> None:
        """Let `run` end, from another thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    @property
    def sick(self) -> str:
        """A bug that ended a pass: who runs us may start us anew. Empty while there was none."""
        return self._bug

    def metrics(self) -> Mapping[str, float]:
        """For Prometheus."""
        with self._changed:
            return {
                "kubeception_clusters": len(self._states),
                "kubeception_clusters_failing": sum(bool(state.failures) for state in self._states.values()),
                "kubeception_passes_total": self._counts["passes"],
                "kubeception_pass_failures_total": self._counts["failures"],
                "kubeception_pass_seconds_total": self._seconds,
            }

    def problems(self) -> Mapping[str, str]:
        """Why the last pass of a cluster failed, for those of which it did."""
        with self._changed:
            return {name: state.problem for name, state in self._states.items() if state.problem}

    def _next(self) -> str | None:
        """The next that is due, waited for; None at the end."""
        with self._changed:
            while not self._stopping:
                pause = self._queue[0][0] - self._clock() if self._queue else None
                if pause is None or pause > 0:
                    self._changed.wait(pause)
                    continue
                due, name = heapq.heappop(self._queue)
                state = self._states.get(name)
                # What was scheduled anew is in the queue twice; only the last counts.
                if state and state.due == due and not state.running:
                    state.running, state.again = True, False
                    return name
            return None

    def _one(self, name: str) -> None:
        started = self._clock()
        problem, pause = "", None
        try:
            pause = self._reconcile(name)
        except KubeceptionError as error:
            problem = error.message
            _log.warning("%s: %s", name, problem)
        with self._changed:
            state = self._states[name]
            self._counts["passes"] += 1
            self._counts["failures"] += bool(problem)
            self._seconds += self._clock() - started
            state.running, state.problem = False, problem
            state.failures = state.failures + 1 if problem else 0
            if pause is None and not problem and not state.again:
                del self._states[name]
                return
            self._schedule(name, state, self._clock() + self._pause(state, pause))

    def _pause(self, state: _State, pause: float | None) -> float:
        if state.failures:
            return min(LONGEST_PAUSE, math.ldexp(FIRST_PAUSE, min(state.failures, _MOST_DOUBLINGS) - 1))
        return SETTLE_SECONDS if state.again or pause is None else pause

    def _schedule(self, name: str, state: _State, due: float) -> None:
        state.due = due
        heapq.heappush(self._queue, (due, name))
        self._changed.notify_all()

    def _finished(self, future: "Future[Any]") -> None:
        if (error := future.exception()) is not None:
            self._bug = f"a bug ended a pass: {type(error).__name__}: {error}"
            _log.error("%s", self._bug, exc_info=error)
