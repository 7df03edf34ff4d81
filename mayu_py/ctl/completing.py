"""What a shell offers for the word under the cursor. It asks the server, for a second at most, and says nothing of failures."""

import os
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from mayu_py.asking.connection import Given
from mayu_py.asking.contexts import location, read
from mayu_py.ctl.session import Session
from mayu_py.errors import MayuError

SECONDS = 1.0
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def hosts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of hosts, with their states."""
    return _named(context, incomplete, "hosts", "state")


def profiles(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of profiles, with their images."""
    return _named(context, incomplete, "profiles", "image")


def images(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Images that profiles have; the server names no others."""
    found = {row["image"] for row in _rows(context, "profiles")}
    return [CompletionItem(image) for image in sorted(found) if image.startswith(incomplete)]


def contexts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of contexts, with their servers."""
    try:
        book = read(location(os.environ))
    except MayuError:
        return []
    return [CompletionItem(name, help=each.server) for name, each in book.contexts.items() if name.startswith(incomplete)]


def words(*choices: str) -> Complete:
    """Fixed words."""
    return lambda context, parameter, incomplete: [CompletionItem(word) for word in choices if word.startswith(incomplete)]


def _named(context: click.Context, incomplete: str, what: str, about: str) -> list[CompletionItem]:
    rows = _rows(context, what)
    return [CompletionItem(row["name"], help=row.get(about)) for row in rows if row["name"].startswith(incomplete)]


def _rows(context: click.Context, what: str) -> list[dict[str, Any]]:
    try:
        given = context.find_root().params
        session = Session(Given(**{name: given.get(name) for name in Given.__dataclass_fields__}))
        rows = session.connect(seconds=SECONDS).get("v1", what)
    except MayuError:
        return []
    return [row for row in rows if isinstance(row, dict) and "name" in row] if isinstance(rows, list) else []
