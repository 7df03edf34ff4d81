"""What can be wrong with a document, and where.

    DocumentError       carries every Problem found in a document, at least one of them an error

A `Problem` is a value, not an exception: readers collect all of them before anybody raises.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether a document with this problem can be used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a document. Lines and columns count from 1; 0 means unknown.

    Columns count characters in YAML and bytes in JSON, as the tools for these do.
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `path` names the value, like `hosts[1].macs[0]`; it is empty for the document itself."""

    severity: Severity
    mark: Mark
    path: str
    message: str
    hint: str = ""

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR

    @property
    def located(self) -> str:
        """The finding as compilers write it, for a reader with several files: `file:line: error: path: message (hint)`."""
        where = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.mark}: {self.severity}: {where}{self.message}{hint}"

    def __str__(self) -> str:
        return self.located


@dataclass(frozen=True, slots=True)
class Entry(Problem):
    """A finding in a config. As text it is the line that Ignition's and Butane's own tools print for it."""

    def __str__(self) -> str:
        line = f"line {self.mark.line} col {self.mark.column}" if self.mark.line else ""
        at = ", ".join(part for part in (self.path, line) if part)
        return f"{self.severity}{' at ' + at if at else ''}: {self.message}"


class DocumentError(Exception):
    """A document cannot be used. The message lists every problem with its file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.located for problem in self.problems))
