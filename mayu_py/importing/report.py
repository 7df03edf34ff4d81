"""What an import did with every value it did not simply carry over."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from ignition.errors import Mark, Problem


class Fate(StrEnum):
    """What became of a value. `left` is work for a person: the import could not do it."""

    CHANGED = "changed"
    DROPPED = "dropped"
    LEFT = "left"


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One line of the report: what, where it stood, and why."""

    mark: Mark
    what: str
    fate: Fate
    why: str

    def __str__(self) -> str:
        place = f"{self.mark}" if self.mark.line else self.mark.file
        return f"{place}: {self.fate}: {self.what}: {self.why}"

    def as_json(self) -> dict[str, str | int]:
        """The line as plain values."""
        place: dict[str, str | int] = {"file": self.mark.file, "line": self.mark.line}
        return {**place, "what": self.what, "fate": str(self.fate), "why": self.why}


@dataclass
class Journal:
    """Takes the report down."""

    items: list[Item] = field(default_factory=list)

    def changed(self, mark: Mark, what: str, why: str) -> None:
        """It is there, and it is not what it was."""
        self.items.append(Item(mark, what, Fate.CHANGED, why))

    def dropped(self, mark: Mark, what: str, why: str) -> None:
        """It is gone."""
        self.items.append(Item(mark, what, Fate.DROPPED, why))

    def left(self, mark: Mark, what: str, why: str) -> None:
        """A person has to do it."""
        self.items.append(Item(mark, what, Fate.LEFT, why))

    def problems(self, found: Iterator[Problem] | tuple[Problem, ...], what: str) -> None:
        """What a reader found wrong with a document."""
        for problem in found:
            self.left(problem.mark, problem.path or what, problem.message)

    def sorted(self) -> tuple[Item, ...]:
        """By place, each line once."""
        return tuple(sorted(set(self.items)))
