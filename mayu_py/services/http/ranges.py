"""Byte ranges of a file (RFC 9110, section 14)."""

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class NotSatisfiable(Exception):
    """The range lies behind the end of the file: the answer is 416."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def content_range(self, size: int) -> str:
        """The Content-Range header of a 206 answer."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


def requested(header: str | None, size: int) -> ByteRange | None:
    """The range a Range header asks for of a file of `size` bytes; None means the whole file.

    Several ranges, other units and nonsense count as no range, as the RFC allows. Raises NotSatisfiable.
    """
    found = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if found is None or found.group(1) == found.group(2) == "":
        return None
    first, last = found.groups()
    if first == "":
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise NotSatisfiable
    return ByteRange(start, end)
