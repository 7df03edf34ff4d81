"""What a guest writes to its serial port, made fit for a log that people read in a terminal. Pure.

Lines as they come, without what a terminal obeys: colours, moves of the cursor, titles (ECMA-48), single control characters. A
guest that writes without an end of line is cut. Of what systemd moves while it waits, twice a second, nothing is said.
"""

import re
from dataclasses import dataclass, field

from kubeception_sim.agents.vm.stages import LineReader, printable

_SEQUENCES = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor
    rb"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system commands: titles, links
    rb"|\x1b[ -/]*[0-~]"  # all other escapes
)
_MOVING = re.compile(r"\[[ *]{6}\] ")
TAIL_LINES = 20


@dataclass
class Console:
    """The lines of a console, the last of them kept."""

    tail: list[str] = field(default_factory=list)
    size: int = 0
    _reader: LineReader = field(default_factory=LineReader)

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that this chunk ends, fit to be printed; empty ones and those that only move are left out."""
        self.size += len(chunk)
        lines = [text for line in self._reader.feed(chunk) if (text := _clean(line)) and not _MOVING.match(text)]
        self.tail = [*self.tail, *lines][-TAIL_LINES:]
        return lines


def _clean(line: bytes) -> str:
    # systemd writes over a line that it has begun: what counts is what was written last.
    last = _SEQUENCES.sub(b"", line).rstrip(b"\r").rpartition(b"\r")[2]
    return printable(last).rstrip()
