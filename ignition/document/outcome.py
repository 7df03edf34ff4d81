"""What every decoder is and gives back."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from ignition.document.nodes import Node
from ignition.errors import Mark, Problem, Severity

INVALID: Final = object()
"""Stands for a value that could not be decoded; the problem has been reported. None is a value of its own."""

Problems: TypeAlias = list[Problem]
Decoder: TypeAlias = Callable[[Node, str, Problems], Any]


def report(mark: Mark, path: str, problems: Problems, message: str, hint: str = "") -> None:
    problems.append(Problem(Severity.ERROR, mark, path, message, hint))


def wrong(node: Node, path: str, problems: Problems, message: str, hint: str = "") -> Any:
    """Report an error at the node and return INVALID."""
    report(node.mark, path, problems, message, hint)
    return INVALID


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return a hint naming the choice most like `word`, or nothing."""
    close = difflib.get_close_matches(word[:100], list(choices), n=1)
    return f"did you mean {close[0]!r}?" if close else ""
