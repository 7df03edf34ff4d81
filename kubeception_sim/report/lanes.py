"""The geometry of what inner clusters tell: lanes of a creation, cells of the leak matrix, shares of a failover. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kubeception_sim.model.results import Creation, Failover, Leak, Reach, Span

# Okabe and Ito's colours, in the order in which names turn up.
_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#8a7fd1", "#9aa0a6")


def colours(spans: Iterable[Span]) -> Mapping[str, str]:
    """A colour for each name of a span, in the order of their first appearance; beyond eight they repeat."""
    names = dict.fromkeys(span.name for span in spans)
    return {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Bar:
    """A span on its lane. `left` and `width` are per cent of the lane, `at` seconds after the beginning."""

    name: str
    at: float
    seconds: float
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Lane:
    """What happened in one place: a machine, or a condition of the cluster. `label` is for the reader."""

    label: str
    bars: tuple[Bar, ...]


def lanes(creation: Creation) -> tuple[Lane, ...]:
    """A lane for each of the cluster's own spans, which overlap, then one for each machine."""
    length = max([span.end for span in creation.spans] + [creation.ready or 0.0]) - creation.asked if creation.spans else 0.0
    rows: dict[str, list[Span]] = {}
    for span in creation.spans:
        rows.setdefault(span.host or span.name, []).append(span)
    return tuple(Lane(label, _bars(spans, creation.asked, length)) for label, spans in rows.items())


def shares(failover: Failover) -> tuple[Bar, ...]:
    """The spans of a failover one after the other, on a lane as long as the longer of attribution and outage."""
    if not failover.spans:
        return ()
    return _bars(failover.spans, failover.spans[0].start, longest(failover))


def longest(failover: Failover) -> float:
    """The length of a failover's lane, in seconds; never 0."""
    return max(failover.attributed, failover.outage) or 1.0


def difference(failover: Failover) -> float:
    """By how many per cent of the outage the attribution is off; positive when it tells of more."""
    return 100 * (failover.attributed - failover.outage) / failover.outage if failover.outage else 0.0


def _bars(spans: Sequence[Span], origin: float, length: float) -> tuple[Bar, ...]:
    scale = 100 / length if length else 0.0
    return tuple(
        Bar(span.name, span.start - origin, span.seconds, (span.start - origin) * scale, span.seconds * scale) for span in spans
    )


def symbol(leak: Leak) -> str:
    """What a cell shows: `ok`, a leak, or something blocked that was to be open."""
    if leak.ok:
        return "ok"
    return "blocked" if leak.expected is Reach.OPEN else "leak"


@dataclass(frozen=True, slots=True)
class Matrix:
    """Leaks by source and target; each cell holds one for each protocol that was tried."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    cells: Mapping[tuple[str, str], tuple[Leak, ...]]

    @classmethod
    def of(cls, leaks: Iterable[Leak]) -> "Matrix":
        """In the order in which they were tried; targets that are sources too stand first, in the sources' order."""
        cells: dict[tuple[str, str], list[Leak]] = {}
        for leak in leaks:
            cells.setdefault((leak.source, leak.target), []).append(leak)
        sources = tuple(dict.fromkeys(source for source, _ in cells))
        targets = {target for _, target in cells}
        return cls(
            sources,
            tuple(dict.fromkeys([*(each for each in sources if each in targets), *(target for _, target in cells)])),
            {place: tuple(found) for place, found in cells.items()},
        )
