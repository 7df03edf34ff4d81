"""Findings with the lines they are about, as `butane` shows them (coreos/butane, internal/report/report.go)."""

from collections.abc import Sequence

from ignition.errors import Problem

_CONTEXT_LINES = 2


def excerpts(problems: Sequence[Problem], text: bytes) -> str:
    """Return all findings in a text, with an empty line between any two."""
    lines = text.split(b"\n")
    return "\n".join(_excerpt(problem, lines) for problem in problems)


def _excerpt(problem: Problem, lines: list[bytes]) -> str:
    line, column = problem.mark.line, problem.mark.column
    # Butane counts bytes here, whatever the column counts.
    if not 1 <= line <= len(lines) or not 1 <= column <= len(lines[line - 1]):
        return f"{problem}\n"
    first, last = max(1, line - _CONTEXT_LINES), min(len(lines), line + _CONTEXT_LINES)
    width = len(str(last))
    shown = [f" {' ' * width} |"]
    for number in range(first, last + 1):
        shown.append(f" {number:>{width}} | {lines[number - 1].decode('utf-8', 'replace')}")
        if number == line:
            underline = " " * (column - 1) + "^" * _word_length(lines[line - 1][column - 1 :])
            shown.append(f" {' ' * width} | {underline} {problem.message}")
    path = f"[{problem.path}]" if problem.path else ""
    head = [f"{problem.severity}{path}:", f"  --> {problem.mark.file}:{line}:{column}"]
    return "\n".join([*head, *shown, f" {' ' * width} |", ""])


def _word_length(rest: bytes) -> int:
    """Return how many bytes come before the next white space."""
    text = rest.decode("utf-8", "surrogateescape")
    end = next((index for index, char in enumerate(text) if char.isspace()), len(text))
    return len(text[:end].encode("utf-8", "surrogateescape"))
