"""The two ways a config is written: Ignition's JSON and Butane's YAML.

They differ in how keys are spelt, what an unknown key means, and what Butane adds. A dialect holds that difference, so
that one reader serves both and a rule broken in the config can be shown in the document it came from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from ignition.document.nodes import ListNode, MapNode, Node
from ignition.errors import Entry, Mark, Problem, Severity

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands in the config: Ignition's keys and list indexes, such as ("storage", "files", 0, "path")."""

Prepare: TypeAlias = "Callable[[MapNode, Path, Findings], MapNode]"


class Findings:
    """Collects problems while a document is read or checked. `misfits` are the values of a wrong type, as they were found."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self.problems: list[Problem] = []
        self.misfits: list[Node] = []

    def error(self, mark: Mark, path: Path, message: str, hint: str = "") -> None:
        self._add(Severity.ERROR, mark, path, message, hint)

    def warning(self, mark: Mark, path: Path, message: str, hint: str = "") -> None:
        self._add(Severity.WARNING, mark, path, message, hint)

    def misfit(self, node: Node, path: Path, message: str) -> None:
        """Report a value of the wrong type."""
        self.misfits.append(node)
        self.error(node.mark, path, message)

    def _add(self, severity: Severity, mark: Mark, path: Path, message: str, hint: str) -> None:
        self.problems.append(Entry(severity, mark, dotted(path, is_json=self.is_json), message, hint))

    @property
    def has_errors(self) -> bool:
        return any(problem.is_error for problem in self.problems)


@dataclass(frozen=True)
class Dialect:
    """How a config is written down.

    `is_json`: keys in camelCase and matched in any case, unknown keys are warnings, types are JSON's. Otherwise keys in
    snake_case matched exactly, unknown keys are errors, and any scalar is text where text is asked for. `prepare`
    rewrites an object before it is read, by the struct it becomes: Butane's additions turn into what Ignition knows.
    """

    is_json: bool
    prepare: Mapping[type[msgspec.Struct], Prepare] = field(default_factory=dict)


IGNITION = Dialect(is_json=True)


def dotted(path: Path, *, is_json: bool = True) -> str:
    """Write a path as Ignition's and Butane's own reports do: `$.storage.files.0.path`."""
    return ".".join(["$", *(str(step) if is_json or isinstance(step, int) else snake(step) for step in path)])


def locate(root: Node, path: Path, is_json: bool) -> Mark:
    """Return the mark of the value at a path, or of the nearest enclosing value that the document holds."""
    node = root
    for step in path:
        child: Node | None = None
        if isinstance(step, int):
            if isinstance(node, ListNode) and step < len(node.items):
                child = node.items[step]
        elif isinstance(node, MapNode):
            child = node.by_key.get(step if is_json else snake(step))
        if child is None:
            break
        node = child
    return node.mark


def snake(key: str) -> str:
    """Turn Ignition's key into Butane's: `sizeMiB` -> `size_mib`."""
    return "".join("_" + char.lower() if char.isupper() else char for char in key.replace("MiB", "Mib"))
