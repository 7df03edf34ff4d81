"""Requests and their answers on a terminal, as wide as it is."""

import shutil
import textwrap
from collections.abc import Iterator

import click

from mayu_py.rehearsal.words import Step

_WIDEST = 120
_NAMES = 14
_SHORT = 3  # As many details are told again.


def width() -> int:
    """Columns of the terminal; more than people read along in one go are not used."""
    return min(shutil.get_terminal_size((100, 24)).columns, _WIDEST)


def heading(text: str, label: str, columns: int) -> str:
    """A request, its number or place before it."""
    return click.style(wrapped(text, f"{label} ", columns, indent=4), bold=True)


def body(step: Step, indent: str, columns: int, same_as: Step | None = None) -> Iterator[str]:
    """What came of a request. Details that are those of `same_as` are not told again."""
    yield click.style(wrapped(step.answer, f"{indent}-> ", columns), fg="green" if step.answered else "yellow")
    inner = f"{indent}   "
    if len(step.details) > _SHORT and same_as is not None and same_as.details == step.details:
        yield f"{inner}{column('')}as before"
    else:
        for name, value in step.details:
            yield wrapped(value, f"{inner}{column(name)}", columns)
    for n, text in enumerate(step.reasons):
        yield click.style(wrapped(text, f"{inner}{column('because' if not n else '')}", columns), fg="cyan")
    for n, text in enumerate(step.events):
        yield wrapped(text, f"{inner}{column('noted' if not n else '')}", columns)


def column(name: str) -> str:
    """A name in the column of names."""
    return f"{name:<{_NAMES - 1}} "


def wrapped(text: str, first: str, columns: int, indent: int | None = None) -> str:
    """Lines of at most `columns`, those after the first indented by `indent`, or as far as it is.

    What holds no space stays whole: it may be a URL. What a terminal would act upon is not let through.
    """
    room = max(columns, len(first) + 20)
    visible = "".join(c if c.isprintable() else "\ufffd" for c in text)
    rest = " " * (len(first) if indent is None else indent)
    lines = textwrap.wrap(
        visible, room, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) if lines else first.rstrip()
