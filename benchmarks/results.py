"""Rounds of measurements into ratios, and ratios into results.json, the tables of README.md and the plot."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import machine, plot

HERE = Path(__file__).parent
US = "mayu"
BEST = "the best peer"
"""Stands for the best of all peers in each round, where a goal is set against it."""


@dataclass(frozen=True)
class Row:
    """One workload. `rounds` holds one mapping of server to value per round; `more_is_better` says which way to read.

    `goals` are the ratios aimed for, by peer or BEST; `limit` is what our own median is to stay below.
    """

    workload: str
    unit: str
    rounds: Sequence[Mapping[str, float]]
    more_is_better: bool = True
    goals: Mapping[str, float] = field(default_factory=dict)
    limit: float | None = None

    def __post_init__(self) -> None:
        broken = [
            f"{server} in round {place}" for place, one in enumerate(self.rounds, 1) for server in one if not one[server] > 0
        ]
        if broken:
            raise ValueError(f"{self.workload}: nothing was measured of {', '.join(broken)}; no ratio can be made of that")

    def middle(self, server: str) -> float:
        """The median over the rounds."""
        return median(one[server] for one in self.rounds)

    def ratio(self, peer: str) -> tuple[float, float, float]:
        """How many times better we are than a peer, or BEST: least, median and most over the rounds. 1 is a tie."""
        pairs = [(one[US], self._of(one, peer)) for one in self.rounds]
        ratios = sorted(ours / theirs if self.more_is_better else theirs / ours for ours, theirs in pairs)
        return ratios[0], median(ratios), ratios[-1]

    def _of(self, one: Mapping[str, float], peer: str) -> float:
        if peer != BEST:
            return one[peer]
        theirs = [value for server, value in one.items() if server != US]
        return max(theirs) if self.more_is_better else min(theirs)

    def peers(self) -> list[str]:
        """The servers we are compared with in this row, in the order they ran."""
        return [server for server in self.rounds[0] if server != US]

    def compared(self) -> list[str]:
        """The peers, and BEST where a goal is set against it."""
        return [*self.peers(), *(peer for peer in self.goals if peer == BEST)]

    def verdicts(self) -> str:
        """Each goal, and whether the median reaches it."""
        told = [
            f"{'met' if self.ratio(peer)[1] >= goal else '**missed**'}: {goal:.2g} of {peer}" for peer, goal in self.goals.items()
        ]
        if self.limit is not None:
            told.append(f"{'met' if self.middle(US) < self.limit else '**missed**'}: below {self.limit:,.0f} {self.unit}")
        return "<br>".join(told)

    def cells(self, peers: Sequence[str]) -> list[str]:
        """The row as text; a peer that was not measured has a dash."""
        known = self.rounds[0]
        ratios = ["**{1:.2f}** ({0:.2f} .. {2:.2f})".format(*self.ratio(peer)) if peer in known else "-" for peer in peers]
        medians = [_number(self.middle(name)) if name in known else "-" for name in (US, *peers)]
        return [self.workload, *ratios, self.verdicts(), *medians, self.unit]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def table(rows: Sequence[Row]) -> str:
    """A Markdown table of ratios, with the medians they come from."""
    peers = list(dict.fromkeys(peer for row in rows for peer in row.peers()))
    head = ["workload", *(f"{US} : {peer} (min .. max)" for peer in peers), "goal", US, *peers, "unit"]
    lines = [head, ["---"] * len(head), *(row.cells(peers) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def publish(part: str, rows: Sequence[Row], folder: Path = HERE) -> str:
    """Writes one part's rounds into results.json, its table into README.md, and the plot anew; leaves other parts alone."""
    text = table(rows)
    results = _update_json(folder / "results.json", part, rows)
    readme = folder / "README.md"
    _put(readme, part, text)
    _put(readme, "machine", machine.sentence(results["machine"]))
    (folder / "results.svg").write_text(plot.svg(results))
    return text


def _put(readme: Path, part: str, text: str) -> None:
    between = re.compile(rf"(<!-- {part} -->\n).*?(<!-- /{part} -->)", re.DOTALL)
    old = readme.read_text()
    if not between.search(old):
        raise ValueError(f"{readme} has no markers for {part}")
    readme.write_text(between.sub(lambda found: f"{found[1]}{text}\n{found[2]}", old))


def _update_json(path: Path, part: str, rows: Sequence[Row]) -> dict[str, Any]:
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results["machine"] = machine.facts()
    results[part] = {
        f"{row.workload} [{row.unit}]": {
            "ratio": {peer: dict(zip(("min", "median", "max"), row.ratio(peer), strict=True)) for peer in row.compared()},
            "goals": dict(row.goals),
            "limit": row.limit,
            "rounds": [dict(one) for one in row.rounds],
        }
        for row in rows
    }
    path.write_text(json.dumps(results, indent=1) + "\n")
    return results
