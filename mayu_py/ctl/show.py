"""What people read: cells, tables that fit the terminal, and colours. Pure but for `emit`, `console_width` and `say`."""

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

# Below this a column says nothing any more; a terminal that is narrower breaks the lines itself.
NARROWEST = 6
GAP = "  "
COLOURS = {"running": "green", "failed": "red", "installing": "yellow", "discovered": "cyan"}


def emit(value: Any) -> None:
    """Print a value as JSON. What is no ASCII is escaped, so that nothing in it can move a cursor."""
    click.echo(json.dumps(value, indent=2))


def say(text: str, hint: str = "") -> None:
    """A word to the person, beside what a program reads."""
    click.echo(text, err=True)
    if hint:
        click.echo(f"{click.style('hint:', fg='cyan')} {hint}", err=True)


def console_width() -> int | None:
    """Columns of the terminal; None when the reader is a program, which gets everything."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def cell(value: Any) -> str:
    """A value on one line. What is not printable is escaped: hosts tell texts, and a terminal obeys them."""
    match value:
        case _ if value is None or value in ("", [], {}):
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return plain(value)
        case list() if all(isinstance(item, str) for item in value):
            return ", ".join(map(plain, value))
        case dict() if all(isinstance(item, str | int | None) for item in value.values()):
            return " ".join(f"{plain(key)}={_quoted(item)}" for key, item in value.items())
        case _:
            return plain(json.dumps(value, ensure_ascii=False))


def _quoted(value: Any) -> str:
    text = plain(value) if isinstance(value, str) else json.dumps(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text


def plain(text: str) -> str:
    """The text with everything escaped that is not printable, line breaks and lone surrogates too."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def moment(text: str) -> str:
    """A time in seconds, without the `T`: `2026-01-02 03:04:05Z`."""
    day, _, clock = text.partition("T")
    return f"{day} {clock[:8]}{'Z' if clock.endswith(('Z', '+00:00')) else ''}" if clock else text


def breadth(text: str) -> int:
    """Columns that a text takes in a terminal: wide signs take two, combining ones none (Unicode, UAX #11)."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def clip(text: str, columns: int) -> str:
    """The text, or its beginning and an ellipsis."""
    if breadth(text) <= columns:
        return text
    while breadth(text) > columns - 1:
        text = text[:-1]
    return text + "…"


def widths(rows: Sequence[Sequence[str]], limit: int | None) -> list[int]:
    """How wide each column is: as its widest cell, but all together within the limit, the widest giving way first."""
    found = [max(map(breadth, column)) for column in zip(*rows, strict=True)]
    while limit is not None and sum(found) + len(GAP) * (len(found) - 1) > limit and max(found) > NARROWEST:
        found[found.index(max(found))] -= 1
    return found


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, limit: int | None, legend: bool = True) -> list[str]:
    """The lines of a table, values in columns, styled. The last column is not padded: a pipe gets no blanks."""
    body = [[cell(value) for value in row] for row in rows]
    heads = [[header.upper() for header in headers]] if legend else []
    if not heads and not body:
        return []
    sizes = widths([*heads, *body], limit)
    lines = [click.style(_line(head, sizes), bold=True) for head in heads]
    states = [n for n, header in enumerate(headers) if header == "state"]
    return lines + [_line(row, sizes, states) for row in body]


def _line(row: Sequence[str], sizes: Sequence[int], states: Sequence[int] = ()) -> str:
    cells = []
    for n, (text, size) in enumerate(zip(row, sizes, strict=True)):
        shown = clip(text, size)
        padding = "" if n == len(sizes) - 1 else " " * (size - breadth(shown))
        cells.append((colour(shown, text) if n in states else shown) + padding)
    return GAP.join(cells)


def colour(shown: str, state: str) -> str:
    """A state in its colour."""
    return click.style(shown, fg=COLOURS[state]) if state in COLOURS else shown


def record(values: Mapping[str, Any], limit: int | None) -> list[str]:
    """One thing, a line for each of its fields; long values go on below themselves."""
    indent = max(map(len, values), default=0) + len(GAP)
    lines: list[str] = []
    for name, value in values.items():
        first, *rest = folded(cell(value), max(20, limit - indent) if limit is not None else None)
        lines.append(
            click.style(name, bold=True) + " " * (indent - len(name)) + (colour(first, first) if name == "state" else first)
        )
        lines += [" " * indent + more for more in rest]
    return lines


def folded(text: str, columns: int | None) -> list[str]:
    """Lines of at most so many columns, broken at blanks where there are some."""
    if columns is None:
        return [text]
    lines, rest = [], text
    while breadth(rest) > columns:
        part = rest
        while breadth(part) > columns:
            part = part[:-1]
        cut = part.rfind(" ") + 1 if " " in part[len(part) // 2 :] else len(part)
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:]
    return [*lines, rest]
