"""What a guest says of itself through its stage port: a line for each stage, and `failed: WHY` when it goes no further.

The guest is a stranger: it may write anything, as much as it likes, without an end to the line. So all that is kept is bounded: a
line's length, the number of stages, the length of a name. What is no stage is counted. Pure: the clock is passed in.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

RUNNING, FAILED = "running", "failed"
LONGEST_LINE = 4096
MOST_STAGES = 64

_NAME = re.compile(rb"[a-z][a-z0-9-]{0,39}")


@dataclass
class LineReader:
    """Cuts a stream into lines of at most LONGEST_LINE bytes; what a line has beyond that is dropped."""

    _held: bytes = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk ends, without their ends, in order."""
        *ended, rest = chunk.split(b"\n")
        lines = [self._take(part) for part in ended]
        self._held = (self._held + rest)[:LONGEST_LINE]
        return [line.rstrip(b"\r") for line in lines]

    def _take(self, part: bytes) -> bytes:
        line, self._held = (self._held + part)[:LONGEST_LINE], b""
        return line


@dataclass
class Stages:
    """The stages that were reached, and when by the clock: the first time counts. The last word decides what the machine is."""

    clock: Callable[[], float]
    reached: dict[str, float] = field(default_factory=dict)
    failure: str = ""
    noise: int = 0
    _last: str = ""
    _reader: LineReader = field(default_factory=LineReader)

    def feed(self, chunk: bytes) -> list[str]:
        """What came out of the port. The stages that were reached by it for the first time, in order."""
        return [name for line in self._reader.feed(chunk) if (name := self._hear(line)) and self.reach(name)]

    def reach(self, name: str) -> bool:
        """Note a stage, unless there are too many. Whether it is new."""
        is_new = name not in self.reached and len(self.reached) < MOST_STAGES
        if is_new:
            self.reached[name] = self.clock()
        return is_new

    @property
    def problem(self) -> str:
        """Why the machine does not run; empty when it does, by its own word."""
        if self._last == RUNNING:
            return ""
        if self._last == FAILED:
            return f"the guest has failed: {self.failure}"
        return f"the guest has not said `{RUNNING}` yet; its last stage: {self._last or 'none'}"

    def _hear(self, line: bytes) -> str:
        name, colon, text = line.partition(b":")
        if not _NAME.fullmatch(name) or (colon and name != FAILED.encode()):
            self.noise += 1
            return ""
        said = name.decode()
        if said == FAILED:
            self.failure = printable(text.strip()) or "it does not say why"
        self._last = said
        return said


def printable(text: bytes) -> str:
    """What a stranger wrote, on one line and without anything that a terminal obeys."""
    return "".join(character if character.isprintable() else " " for character in text.decode("utf-8", errors="replace"))
