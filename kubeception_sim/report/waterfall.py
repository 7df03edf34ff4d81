"""The geometry of the waterfall: one row per host on a shared time axis. Pure; the drawings are elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubeception_sim.model.boot import Stage
from kubeception_sim.model.results import RunResult, Span

_TAIL = 0.05  # how much of the axis follows the last arrival, so that "running" can be seen
_PATIENCE = 2.0  # a wait that ran out is drawn to this multiple of the last sign of life, or it would squeeze all the rest
_MARKED = ("kill-worker", "fault", "undo")  # what is done to a rack that is on
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Segment:
    """Time a host spent in one stage. `start` and `end` are seconds on the axis, `seconds` the true length.

    `open` says that the host never left the stage, although there was a next one.
    """

    name: str
    start: float
    end: float
    seconds: float
    open: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One host's segments, in order."""

    host: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something the harness did to the rack, at one point of the axis."""

    at: float
    title: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Rows over an axis from 0 to `length` seconds, where 0 is the first power-on (`origin` on the run's clock)."""

    origin: float
    length: float
    rows: tuple[Row, ...]
    marks: tuple[Mark, ...] = ()

    def ticks(self, most: int = 8) -> tuple[float, ...]:
        """Round values for the axis, `most` at the most, starting with 0."""
        step = next((step for step in _STEPS if self.length / step < most), _STEPS[-1])
        return tuple(n * step for n in range(int(self.length / step) + 1))


def waterfall(result: RunResult) -> Waterfall | None:
    """Lay out a run's host spans, or None when no host was ever powered on.

    The axis ends shortly after the last host arrived; when one never did, at the end of that host's last span, but not
    beyond twice the time in which anything happened.
    """
    spans = {host.name: [span for span in result.spans if span.host == host.name] for host in result.hosts}
    rows = {host: sorted(found, key=lambda span: span.start) for host, found in spans.items() if found}
    if not rows:
        return None
    origin = min(found[0].start for found in rows.values())
    last_sign = max(found[-1].start for found in rows.values()) - origin
    ends = [found[-1].end - origin for found in rows.values() if not _arrived(found)]
    waited = min(max(ends, default=0.0), _PATIENCE * last_sign or max(ends, default=0.0))
    length = max(last_sign, waited, 0.1) * (1 + _TAIL)
    return Waterfall(
        origin,
        length,
        tuple(Row(host, _segments(found, origin, length)) for host, found in rows.items()),
        tuple(
            Mark(step.start - origin, step.title)
            for step in result.steps
            if step.do in _MARKED and 0 <= step.start - origin <= length
        ),
    )


def _arrived(spans: Sequence[Span]) -> bool:
    return spans[-1].name == Stage.RUNNING


def _segments(spans: Sequence[Span], origin: float, length: float) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            name=span.name,
            start=span.start - origin,
            end=max(span.start - origin, min(span.end - origin, length)),
            seconds=span.seconds,
            open=span is spans[-1] and not _arrived(spans),
        )
        for span in spans
    )
