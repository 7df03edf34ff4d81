"""Where a rule reports: a path into the config, and the problems found."""

import posixpath
from dataclasses import dataclass
from typing import NamedTuple

from ignition.document.json_errors import escaped
from ignition.errors import Severity
from ignition.model import Path


class Broken(NamedTuple):
    """A rule that a config breaks."""

    severity: Severity
    path: Path
    message: str


@dataclass(slots=True)
class Place:
    """The part being checked in a config of spec 3.`minor`, and the list that takes the rules broken there.

    There is one for a whole walk, whose `steps` change as it goes: a path is only built for what is wrong.
    """

    steps: list[str | int]
    minor: int
    broken: list[Broken]

    def error(self, message: str | None, *steps: str | int) -> None:
        """Report an error below this place; None is no error."""
        if message is not None:
            self.broken.append(Broken(Severity.ERROR, (*self.steps, *steps), message))

    def warning(self, message: str | None, *steps: str | int) -> None:
        """Report a warning below this place; None is no warning."""
        if message is not None:
            self.broken.append(Broken(Severity.WARNING, (*self.steps, *steps), message))


def path_fault(path: str | None) -> str | None:
    """Return what is wrong with an absolute, clean path; None when nothing is."""
    if not path:
        return "path not specified"
    if not path.startswith("/"):
        return "path not absolute"
    return None if path == clean(path) else "path is not fully simplified"


def quoted(text: str) -> str:
    """Quote a text as Go's %q does."""
    return '"' + "".join('\\"' if char == '"' else escaped(char) for char in text) + '"'


def clean(path: str) -> str:
    """Simplify a path as Go's path.Clean does. POSIX lets two leading slashes stand; Go does not."""
    cleaned = posixpath.normpath(path) if path else "."
    return cleaned[1:] if cleaned.startswith("//") else cleaned
