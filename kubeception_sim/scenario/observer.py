"""Follows mayu's history on a thread of its own, so that every step and the screen see the same, always fresh, picture.

All times are seconds since the run began on CLOCK_MONOTONIC, which mayu stamps its events with.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

from kubeception_sim.errors import HarnessError
from kubeception_sim.model.scenario import Scenario
from kubeception_sim.model.timeline import Event, Timeline
from kubeception_sim.scenario.subject import Mayu

POLL_SECONDS = 0.2
# All HTTP workers may be dead for a moment: a scenario may have killed them.
SILENCE_SECONDS = 15.0

Timelines = Mapping[str, Timeline]


class Nonsense(HarnessError):
    """mayu's history holds something that this harness cannot read."""


class Clock:
    """Seconds since the run began."""

    def __init__(self) -> None:
        self._origin_ns = time.monotonic_ns()

    def now(self) -> float:
        """The present."""
        return self.at(time.monotonic_ns())

    def at(self, monotonic_ns: int) -> float:
        """A reading of CLOCK_MONOTONIC on this scale."""
        return (monotonic_ns - self._origin_ns) / 1e9


class Observer:
    """The timelines of all machines, by name. Safe to read from any thread."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._timelines = {m.name: Timeline(m.name, m.serial) for m in scenario.machines}
        self._by_serial = {m.serial: m.name for m in scenario.machines}
        self._listeners: list[Callable[[Timeline, Event], None]] = []
        self._mayu: Mayu | None = None
        self._after = 0
        self._trouble = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="observer", daemon=True)

    def follow(self, mayu: Mayu) -> Self:
        """The history to follow; used as `with observer.follow(mayu)`."""
        self._mayu = mayu
        return self

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def listen(self, listener: Callable[[Timeline, Event], None]) -> None:
        """Call `listener` with each event of a machine, and its timeline after it, from the observer's thread."""
        self._listeners.append(listener)

    @property
    def timelines(self) -> Timelines:
        """All machines' timelines as they are now."""
        with self._changed:
            return dict(self._timelines)

    @property
    def trouble(self) -> str:
        """Why the history cannot be followed any more; empty while it can."""
        with self._changed:
            return self._trouble

    def update(self, name: str, change: Callable[[Timeline], Timeline]) -> None:
        """Change a machine's timeline: power, or a verdict about it."""
        with self._changed:
            self._timelines[name] = change(self._timelines[name])
            self._changed.notify_all()

    def fail(self, name: str, why: str) -> None:
        """Note how a machine missed what was expected of it, unless it has said so itself."""
        self.update(name, lambda line: line if line.failure else replace(line, failure=why))

    def wait(self, until: Callable[[Timelines], bool], deadline: float) -> bool:
        """Whether `until` came true before `deadline` (on the run's clock). Returns early when there is trouble."""
        with self._changed:
            while not until(self._timelines):
                left = deadline - self._clock.now()
                if left <= 0 or self._trouble:
                    return False
                self._changed.wait(min(left, 1.0))
            return True

    def catch_up(self) -> None:
        """Read what has been written so far; for the end of a run, when nothing may be missed."""
        self._read_events()

    def _follow(self) -> None:
        heard = self._clock.now()
        while not self._stop.wait(POLL_SECONDS):
            try:
                self._read_events()
                heard = self._clock.now()
            except HarnessError as error:
                death = self._mayu.death() if self._mayu else ""
                # Silence may pass; what makes no sense now will not do so later.
                if death or isinstance(error, Nonsense) or self._clock.now() - heard > SILENCE_SECONDS:
                    with self._changed:
                        self._trouble = death or error.message
                        self._changed.notify_all()
                    return

    def _read_events(self) -> None:
        assert self._mayu is not None
        while rows := self._mayu.get(f"/v1/events?after={self._after}"):
            for row in rows:
                try:
                    at = self._clock.at(row["monotonic_ns"])
                    self._take_in(Event(row["id"], at, row["serial"] or "", row["kind"], row["detail"]))
                except (KeyError, TypeError, ValueError) as error:
                    raise Nonsense(f"mayu's history holds an event that makes no sense: {row}: {error!r}") from error

    def _take_in(self, event: Event) -> None:
        with self._changed:
            if event.id <= self._after:
                return
            self._after = event.id
            name = self._by_serial.get(event.serial)
            if name is None:
                return
            before = self._timelines[name]
            self._timelines[name] = line = before.observe(event)
            self._changed.notify_all()
        if line != before:
            for listener in self._listeners:
                listener(line, event)
