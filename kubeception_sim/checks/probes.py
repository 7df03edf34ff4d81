"""Ask again and again, and remember when it went well.

A probe lives on a thread of its own, in the fabric's namespace, on the run's clock. Every attempt has a connection of its own: a
client that is new, as each of a customer's is.
"""

import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Any, Self

from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.door import Door
from kubeception_sim.model.results import Gap, ProbeResult

ANSWER_SECONDS = 1.0
LABEL = "kubeception/probe"


@dataclass(frozen=True)
class Attempt:
    """One attempt: when it began, when it was over, and why it failed; both times are of the run's clock."""

    began: float
    at: float
    problem: str = ""


class ApiProbe:
    """GET /readyz. A context manager: it probes for the length of the block."""

    def __init__(self, name: str, door: Door, every: float, now: Callable[[], float]) -> None:
        self.name = name
        self._door = door
        self._context = door.context()
        self._every = every
        self._now = now
        self._attempts: list[Attempt] = []
        self._under_way: float | None = None  # since when
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"probe-{name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """No attempt begins any more; what it saw stays. It may have ended before."""
        self._stop.set()
        self._thread.join()

    def attempt(self) -> None:
        """One attempt. Raises OSError or HTTPException when it fails."""
        self._ask("GET", "/readyz", None)

    def verify(self, deadline: float = -math.inf) -> str:
        """What is not as it should be in the end; empty when all is well.

        While nobody answers it asks again until `deadline` (on the run's clock), and once in any case. Raises OSError,
        HTTPException or HarnessError when nobody has.
        """
        return ""

    def steady(self, seconds: float, deadline: float) -> bool:
        """Wait until nothing but success was seen for `seconds`; False when `deadline` (on the run's clock) came first.

        What was seen before the call does not count, nor does an attempt that is not over: it may hang.
        """
        since = self._now()
        with self._changed:
            while not self._is_steady(seconds, since):
                left = deadline - self._now()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 1.0))
            return True

    def trouble(self) -> str:
        """What is wrong: an attempt that hangs, or else the last failure; empty when there was none."""
        with self._changed:
            began = self._under_way
        hangs = 0.0 if began is None else self._now() - began
        return f"no answer for {hangs:.1f} s" if hangs > ANSWER_SECONDS else self.result().problem

    def result(self) -> ProbeResult:
        """What it saw so far."""
        with self._changed:
            attempts = tuple(self._attempts)
        failures = sum(bool(attempt.problem) for attempt in attempts)
        last = next((attempt.problem for attempt in reversed(attempts) if attempt.problem), "")
        start, end = (attempts[0].at, attempts[-1].at) if attempts else (0.0, 0.0)
        return ProbeResult(self.name, len(attempts), failures, gaps(attempts, end), last, start, end)

    def _is_steady(self, seconds: float, since: float) -> bool:
        # Time is covered by attempts that are over, not by the clock: silence is no success.
        began = end = self._attempts[-1].at if self._attempts else since
        for attempt in reversed(self._attempts):
            if attempt.problem or attempt.began < since:
                break
            began = attempt.began
        return end - began >= seconds

    def _run(self) -> None:
        while not self._stop.is_set():
            began, problem = self._now(), ""
            with self._changed:
                self._under_way = began
            try:
                self.attempt()
            except (OSError, HTTPException, HarnessError) as error:
                problem = str(error) or type(error).__name__
            with self._changed:
                self._attempts.append(Attempt(began, self._now(), problem))
                self._under_way = None
                self._changed.notify_all()
            self._stop.wait(max(0.0, began + self._every - self._now()))

    def _ask(self, method: str, path: str, body: Any, *, within: float = ANSWER_SECONDS) -> bytes:
        door = self._door
        with door.connect() as raw:
            raw.settimeout(within)
            raw.connect((door.address, door.port))
            connection = HTTPConnection(door.address, door.port)
            connection.sock = self._context.wrap_socket(raw, server_hostname=door.address)
            try:
                text = None if body is None else json.dumps(body)
                connection.request(method, path, text, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                read = answer.read()
            finally:
                connection.close()
        if answer.status not in (200, 201):
            raise HTTPException(f"{method} {path.partition('?')[0]}: {answer.status}")
        return read


@dataclass
class _Written:
    next: int = 0
    acknowledged: set[str] = field(default_factory=set)


class WritesProbe(ApiProbe):
    """Creates ConfigMaps, one after the other; each that was acknowledged must be there in the end."""

    def __init__(self, name: str, door: Door, every: float, now: Callable[[], float]) -> None:
        super().__init__(name, door, every, now)
        self._written = _Written()

    def attempt(self) -> None:
        """Create the next object."""
        self._written.next += 1
        name = f"{self.name}-{self._written.next}"
        labels = {LABEL: self.name}
        self._ask("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": name, "labels": labels}})
        self._written.acknowledged.add(name)

    def verify(self, deadline: float = -math.inf) -> str:
        """Which acknowledged objects are not there. An answer is final: only what is not answered is asked again."""
        while True:
            try:
                return self._lost()
            except (OSError, HTTPException, HarnessError):
                if self._now() + self._every > deadline:
                    raise
            self._stop.wait(self._every)

    def _lost(self) -> str:
        path = f"/api/v1/namespaces/default/configmaps?labelSelector={LABEL}%3D{self.name}"
        expected = set(self._written.acknowledged)  # before the question: what is acknowledged later may be missing in its answer
        there = {item["metadata"]["name"] for item in json.loads(self._ask("GET", path, None, within=10.0))["items"]}
        lost = sorted(expected - there)
        return f"{len(lost)} of {len(expected)} acknowledged writes are lost: {', '.join(lost[:5])}" if lost else ""


def gaps(attempts: Sequence[Attempt], now: float) -> tuple[Gap, ...]:
    """The times without a success: from the last success before a failure to the first after it, or to `now`.

    A gap without a success before begins with the first attempt.
    """
    found: list[Gap] = []
    last, failing = (attempts[0].at if attempts else now), False
    for attempt in attempts:
        if attempt.problem:
            failing = True
            continue
        if failing:
            found.append(Gap(last, attempt.at))
        last, failing = attempt.at, False
    if failing:
        found.append(Gap(last, now))
    return tuple(found)
