"""Where a rule reports: a path into the config, and the problems found."""

import posixpath
from dataclasses import dataclass, field
from typing import NamedTuple

from ignition.errors import Severity
from ignition.model import Path

_GO_ESCAPES = {
    **{'"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f"},
    **{"\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"},
}


class Broken(NamedTuple):
    """A rule that a config breaks."""

    severity: Severity
    path: Path
    message: str


@dataclass(frozen=True)
class Place:
    """A part's place in a config of spec 3.`minor`, and the list that takes the rules broken there."""

    path: Path
    minor: int
    broken: list[Broken] = field(compare=False)

    def error(self, message: str | None, *steps: str | int) -> None:
        """Report an error below this place; None is no error."""
        if message is not None:
            self.broken.append(Broken(Severity.ERROR, self.path + steps, message))

    def warning(self, message: str | None, *steps: str | int) -> None:
        """Report a warning below this place; None is no warning."""
        if message is not None:
            self.broken.append(Broken(Severity.WARNING, self.path + steps, message))


def path_fault(path: str | None) -> str | None:
    """Return what is wrong with an absolute, clean path; None when nothing is."""
    if not path:
        return "path not specified"
    if not path.startswith("/"):
        return "path not absolute"
    return None if path == clean(path) else "path is not fully simplified"


def quoted(text: str) -> str:
    """Quote a text as Go's %q does."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in _GO_ESCAPES:
        return _GO_ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clean(path: str) -> str:
    """Simplify a path as Go's path.Clean does. POSIX lets two leading slashes stand; Go does not."""
    cleaned = posixpath.normpath(path) if path else "."
    return cleaned[1:] if cleaned.startswith("//") else cleaned
