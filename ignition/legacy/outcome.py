"""What a migration gives back, and the journal it is written into."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from ignition.document import Kind, ListNode, MapNode, Mark, Node, ScalarNode
from ignition.errors import DocumentError, Entry, Problem
from ignition.model import Config, Findings, Path, dotted, locate

T = TypeVar("T")

_SHOWN = 60


class Effect(StrEnum):
    """Whether a machine can tell the migrated config from the old one."""

    SAME = "info"
    MAY_DIFFER = "warning"


class Fate(StrEnum):
    """What became of a value."""

    KEPT = "kept as"
    CHANGED = "changed to"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that spec 3 says in another way. Paths and marks are those of the old config; columns count bytes."""

    effect: Effect
    mark: Mark
    path: str
    was: str
    fate: Fate
    became: str
    reason: str

    def __str__(self) -> str:
        became = f" {self.became}" if self.became else ""
        place = f"{self.path}, line {self.mark.line} col {self.mark.column}"
        return f"{self.effect} at {place}: {self.was}, {self.fate}{became}: {self.reason}"


@dataclass(frozen=True)
class Migration:
    """A migrated config, None when it was refused; what changed on the way, and what is wrong, in the order of the old config."""

    config: Config | None
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()

    def unwrap(self) -> Config:
        """Return the config; raise DocumentError with every problem when it was refused."""
        if self.config is None:
            raise DocumentError(self.problems)
        return self.config


@dataclass
class Journal:
    """Takes down what a migration does to a document of spec 2.`minor`, on the way to spec 3.`target`.

    `origins` leads from the path of a value in the new config to the path of the one it was made from, so that a rule
    broken by the new config can be shown in the old one.
    """

    document: Node
    minor: int
    target: int
    findings: Findings = field(default_factory=lambda: Findings(is_json=True))
    changes: list[Change] = field(default_factory=list)
    origins: dict[Path, Path] = field(default_factory=dict)

    def kept(self, path: Path, was: str, became: str, reason: str, effect: Effect = Effect.SAME) -> None:
        self._add(effect, path, was, Fate.KEPT, became, reason)

    def changed(self, path: Path, was: str, became: str, reason: str, effect: Effect = Effect.SAME) -> None:
        self._add(effect, path, was, Fate.CHANGED, became, reason)

    def dropped(self, path: Path, was: str, reason: str, effect: Effect = Effect.SAME) -> None:
        self._add(effect, path, was, Fate.DROPPED, "", reason)

    def refuse(self, path: Path, message: str, hint: str = "") -> None:
        """Report why there will be no migrated config."""
        self.findings.error(self.mark(path), path, message, hint)

    def mark(self, path: Path) -> Mark:
        return locate(self.document, path, True)

    def has(self, path: Path) -> bool:
        """Whether the document holds anything but null there; of an empty object the parts know nothing."""
        node: Node | None = self.document
        for step in path:
            if isinstance(step, int):
                node = node.items[step] if isinstance(node, ListNode) else None
            else:
                node = node.by_key.get(step) if isinstance(node, MapNode) else None
        return node is not None and not (isinstance(node, ScalarNode) and node.kind is Kind.NULL)

    def _add(self, effect: Effect, path: Path, was: str, fate: Fate, became: str, reason: str) -> None:
        self.changes.append(Change(effect, self.mark(path), dotted(path), was, fate, became, reason))

    def placed(self, path: Path, items: Iterable[tuple[T, Path]]) -> tuple[T, ...]:
        """Return the items of a new list at `path`, and remember what each was made from."""
        values = []
        for index, (value, origin) in enumerate(items):
            self.origins[*path, index] = origin
            values.append(value)
        return tuple(values)

    def distinct(self, path: Path, items: Iterable[T], show: Callable[[T], str] = str) -> list[tuple[T, Path]]:
        """Return the items of an old list with their paths, each value once: spec 3 refuses equal entries."""
        seen: dict[Hashable, int] = {}
        kept = []
        for index, item in enumerate(items):
            first = seen.setdefault(item, index)
            if first == index:
                kept.append((item, (*path, index)))
            else:
                self.dropped((*path, index), quoted(show(item)), f"it is entry {first} again, and spec 3 refuses equal entries")
        return kept

    def translated(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return what was found in the new config as found in the old one."""
        return [self._translated(problem) for problem in problems]

    def _translated(self, problem: Problem) -> Problem:
        if not problem.path:
            return problem
        steps: Path = tuple(int(step) if step.isdecimal() else step for step in problem.path.split(".")[1:])
        source = next((self.origins[steps[:n]] + steps[n:] for n in range(len(steps), 0, -1) if steps[:n] in self.origins), steps)
        return Entry(problem.severity, self.mark(source), dotted(source), problem.message, problem.hint)


def quoted(text: str) -> str:
    """Quote a value for a report, shortened."""
    return f'"{text}"' if len(text) <= _SHOWN else f'"{text[: _SHOWN - 3]}..."'


MountPoints = Mapping[str, str]
"""Where spec 3 is to mount the filesystems of spec 2, by name."""
