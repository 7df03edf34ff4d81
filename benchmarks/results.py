"""Rounds of measurements into ratios, and ratios into results.json and the tables of README.md."""

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
US = "mayu"


@dataclass(frozen=True)
class Row:
    """One workload. `rounds` holds one mapping of server to value per round; `more_is_better` says which way to read."""

    workload: str
    unit: str
    rounds: Sequence[Mapping[str, float]]
    more_is_better: bool = True

    def middle(self, server: str) -> float:
        """The median over the rounds."""
        return median(one[server] for one in self.rounds)

    def ratio(self, peer: str) -> tuple[float, float, float]:
        """How many times better we are than a peer: least, median and most over the rounds. 1 is a tie."""
        pairs = [(one[US], one[peer]) for one in self.rounds]
        ratios = sorted(ours / theirs if self.more_is_better else theirs / ours for ours, theirs in pairs)
        return ratios[0], median(ratios), ratios[-1]

    def peers(self) -> list[str]:
        """The servers we are compared with in this row, in the order they ran."""
        return [server for server in self.rounds[0] if server != US]

    def cells(self, peers: Sequence[str]) -> list[str]:
        """The row as text; a peer that was not measured has a dash."""
        known = self.rounds[0]
        ratios = ["**{1:.2f}** ({0:.2f} .. {2:.2f})".format(*self.ratio(peer)) if peer in known else "-" for peer in peers]
        medians = [f"{self.middle(name):,.0f}" if name in known else "-" for name in (US, *peers)]
        return [self.workload, *ratios, *medians, self.unit]


def table(rows: Sequence[Row]) -> str:
    """A Markdown table of ratios, with the medians they come from."""
    peers = rows[0].peers()
    head = ["workload", *(f"{US} : {peer} (min .. max)" for peer in peers), US, *peers, "unit"]
    lines = [head, ["---"] * len(head), *(row.cells(peers) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def publish(part: str, rows: Sequence[Row], folder: Path = HERE) -> str:
    """Writes one part's rounds into results.json and its table into README.md, leaving other parts alone."""
    text = table(rows)
    _update_json(folder / "results.json", part, rows)
    readme = folder / "README.md"
    between = re.compile(rf"(<!-- {part} -->\n).*?(<!-- /{part} -->)", re.DOTALL)
    old = readme.read_text()
    if not between.search(old):
        raise ValueError(f"{readme} has no markers for {part}")
    readme.write_text(between.sub(lambda found: f"{found[1]}{text}\n{found[2]}", old))
    return text


def _update_json(path: Path, part: str, rows: Sequence[Row]) -> None:
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results["machine"] = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    results[part] = {
        f"{row.workload} [{row.unit}]": {
            "ratio": {peer: dict(zip(("min", "median", "max"), row.ratio(peer), strict=True)) for peer in row.peers()},
            "rounds": [dict(one) for one in row.rounds],
        }
        for row in rows
    }
    path.write_text(json.dumps(results, indent=1) + "\n")
