"""Durations and sizes as people write them."""

import re
from dataclasses import dataclass
from typing import Self

_DURATION_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(
    r"(?:(?P<d>\d+(?:\.\d+)?)d)?(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m(?!s))?"
    r"(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+(?:\.\d+)?)ms)?",
    re.ASCII,
)
_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(?P<number>\d{1,18})(?P<unit>[KMGT]?)(?:iB)?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time, never negative. Written `90s`, `500ms`, `1h30m`; units d, h, m, s, ms, largest first."""

    seconds: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a duration; raise ValueError when it has no unit or is none."""
        found = _DURATION.fullmatch(text)
        if not text or len(text) > 64 or found is None:
            raise ValueError(f"{text!r} is not a duration; write it like 90s, 500ms or 1h30m")
        return cls(sum(float(found[unit]) * seconds for unit, seconds in _DURATION_UNITS.items() if found[unit]))

    def __str__(self) -> str:
        rest, parts = round(self.seconds * 1000), []
        for unit, seconds in _DURATION_UNITS.items():
            count, rest = divmod(rest, round(seconds * 1000))
            if count:
                parts.append(f"{count}{unit}")
        return "".join(parts) or "0s"


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """A number of bytes. Written `512M` or `512MiB`; K, M, G and T are powers of 1024, no unit means bytes."""

    bytes: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a size; raise ValueError when it is none. `MB` is refused: it means two things."""
        found = _SIZE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a size; write it like 4096, 512M or 2G (powers of 1024)")
        return cls(int(found["number"]) * _SIZE_UNITS[found["unit"]])

    def __str__(self) -> str:
        for unit in ("T", "G", "M", "K"):
            if self.bytes and self.bytes % _SIZE_UNITS[unit] == 0:
                return f"{self.bytes // _SIZE_UNITS[unit]}{unit}"
        return str(self.bytes)
