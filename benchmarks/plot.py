"""The ratios of results.json as one SVG: a line per workload on a logarithmic axis, with the spread and the goals.

What is read off it: on which side of 1 a dot is, how far the rounds lie apart, and which goals are missed (hollow dots).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

PARTS = {
    "web": "HTTP",
    "download": "Images",
    "dhcp": "DHCP",
    "tftp": "TFTP",
    "dns": "DNS",
    "storm": "Whole rack",
    "ignition": "Ignition library",
}
COLOURS = {
    "dnsmasq": "#0072b2",
    "dnsmasq, read-only": "#56b4e9",
    "Kea": "#d55e00",
    "tftpd-hpa": "#009e73",
    "atftpd": "#cc79a7",
    "nginx": "#7a9a01",
    "nsd": "#8c564b",
    "dnsmasq and nginx": "#4b3f9e",
    "ignition-validate": "#b8860b",
    "json.loads": "#777777",
    "mayu, fewer hosts": "#222222",
}
LEFT, RIGHT, TOP, LINE = 370, 30, 104, 17
WIDTH = 1000
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)

Line = tuple[str, Mapping[str, Any]]


def svg(results: Mapping[str, Any]) -> str:
    """The drawing. Rows of CPU time and latency stay in the tables."""
    groups = {title: _lines(results.get(part, {})) for part, title in PARTS.items()}
    groups = {title: lines for title, lines in groups.items() if lines}
    ratios = [line["ratio"][peer] for lines in groups.values() for _, line in lines for peer in _peers(line)]
    if not ratios:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    goals = [goal for lines in groups.values() for _, line in lines for goal in line["goals"].values()]
    axis = Axis(min([one["min"] for one in ratios] + goals), max([one["max"] for one in ratios] + goals))
    shapes, y = [], float(TOP)
    for title, lines in groups.items():
        shapes.append(_text(12, y + 12, title, 'font-weight="bold"'))
        y += LINE + 4
        for number, (name, line) in enumerate(lines):
            if number % 2 == 0:
                # The eye has a long way from a name to its dots.
                shapes.append(f'<rect x="0" y="{y - 1:.1f}" width="{WIDTH}" height="{_height(line)}" fill-opacity="0.035"/>')
            shapes += _row(name, line, y, axis)
            y += _height(line)
        y += 6
    peers = [peer for peer in COLOURS if any(peer in _peers(line) for lines in groups.values() for _, line in lines)]
    return "\n".join([_head(y + 30), *_legend(peers), *axis.grid(y), *shapes, "</svg>", ""])


def _lines(part: Mapping[str, Any]) -> list[Line]:
    """Rates and times to compare. What a row costs in CPU or at the 99th percentile has a name with a colon and that word."""
    hidden = (": server CPU", ": servers' CPU", "answered within")
    return [
        (key.rpartition(" [")[0], row)
        for key, row in part.items()
        if _peers(row) and not any(word in key for word in hidden)
    ]  # fmt: skip


def _peers(line: Mapping[str, Any]) -> list[str]:
    return [peer for peer in line["ratio"] if peer in COLOURS]


def _height(line: Mapping[str, Any]) -> float:
    return 11 * len(_peers(line)) + 8


class Axis:
    """Ratios to positions, and the ticks that are in sight."""

    def __init__(self, least: float, most: float) -> None:
        least, most = min(least, 0.9), max(most, 1.1)  # A tie is always in sight.
        self._ticks = [tick for tick in TICKS if least / 1.05 <= tick <= most * 1.05]
        self._low, self._high = math.log(least / 1.1), math.log(most * 1.1)

    def x(self, ratio: float) -> float:
        return LEFT + (math.log(ratio) - self._low) / (self._high - self._low) * (WIDTH - LEFT - RIGHT)

    def grid(self, bottom: float) -> list[str]:
        shapes = []
        for tick in self._ticks:
            x = self.x(tick)
            stroke = 'stroke="#444" stroke-width="1.4"' if tick == 1 else 'stroke="#ddd"'
            shapes.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom:.1f}" {stroke}/>')
            shapes += [_text(x, at, f"{tick:g}", 'text-anchor="middle"') for at in (TOP - 12, bottom + 16)]
        tie, grey = self.x(1.0), 'fill="#666" font-size="11"'
        shapes.append(_text(tie - 10, TOP - 26, "\u2190 the peer is ahead", f'text-anchor="end" {grey}'))
        shapes.append(_text(tie + 10, TOP - 26, "mayu is ahead \u2192", grey))
        return shapes


def _row(name: str, line: Mapping[str, Any], y: float, axis: Axis) -> list[str]:
    """A name, and below each other a mark per peer: the median, the spread as a line, the goal as a triangle."""
    peers = _peers(line)
    goals: Mapping[str, float] = dict(line["goals"])
    if "the best peer" in goals:
        # The best peer is the one that we are ahead of least.
        goals = {**goals, min(peers, key=lambda peer: line["ratio"][peer]["median"]): goals["the best peer"]}
    shapes = [_text(LEFT - 12, y + 11 * len(peers) / 2 + 4, name, 'text-anchor="end"')]
    for place, peer in enumerate(peers):
        at, ratio, colour = y + 11 * place + 6, line["ratio"][peer], COLOURS[peer]
        least, middle, most = (axis.x(ratio[key]) for key in ("min", "median", "max"))
        stroke = f'stroke="{colour}" stroke-width="3" stroke-opacity="0.45"'
        shapes.append(f'<line x1="{least:.1f}" y1="{at}" x2="{most:.1f}" y2="{at}" {stroke}/>')
        if peer in goals:
            goal = axis.x(goals[peer])
            shapes.append(f'<path d="M{goal:.1f} {at - 6}v12" stroke="{colour}" stroke-width="1.5"/>')
            shapes.append(f'<path d="M{goal:.1f} {at - 6}l6 3l-6 3z" fill="{colour}"/>')
        is_missed = peer in goals and ratio["median"] < goals[peer]
        look = f'fill="{"white" if is_missed else colour}" stroke="{colour}" stroke-width="1.5"'
        shapes.append(f'<circle cx="{middle:.1f}" cy="{at}" r="3.6" {look}/>')
    return shapes


def _head(height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
        ' font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + _text(12, 22, "How many times better mayu is than its peers, in one run on one machine", 'font-size="15"')
    )


def _legend(peers: Sequence[str]) -> list[str]:
    shapes, x, y = [], 12.0, 42
    for peer in peers:
        width = 22 + 6.6 * len(peer)
        if x + width > WIDTH - 12:
            x, y = 12.0, y + 16
        shapes += [f'<circle cx="{x + 4:.1f}" cy="{y - 4}" r="4" fill="{COLOURS[peer]}"/>', _text(x + 12, y, peer)]
        x += width
    how = "dot: median · line: all rounds · flag: goal · hollow dot: goal missed"
    shapes.append(_text(WIDTH - RIGHT, 22, how, 'text-anchor="end"'))
    return shapes


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'
