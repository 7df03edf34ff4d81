"""Contexts: servers with names and credentials, in one file that only its owner may read."""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Self

from mayu_py.errors import MayuError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


@dataclass(frozen=True)
class Context:
    """One server. `token` is kept in the file itself, `token_file` elsewhere; the rest are PEM files."""

    server: str
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


@dataclass(frozen=True)
class Book:
    """All contexts, and the name of the one that is in use."""

    current: str | None = None
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def get(self, name: str) -> Context:
        """The context of that name. Raises MayuError."""
        if name not in self.contexts:
            known = ", ".join(self.contexts) or "none yet; `mayuctl context add NAME --server URL` adds one"
            raise MayuError(f"there is no context {name!r}", hint=f"contexts: {known}")
        return self.contexts[name]

    def adding(self, name: str, context: Context, *, use: bool) -> Self:
        """With one more; the first is used at once. Raises MayuError when the name is taken, or is none."""
        if not NAME.fullmatch(name):
            raise MayuError(f"{name!r} cannot name a context", hint="letters, digits, '.', '_' and '-'")
        if name in self.contexts:
            raise MayuError(f"there is a context {name!r} already", hint=f"`mayuctl context remove {name}` takes it away")
        current = name if use or not self.contexts else self.current
        return replace(self, current=current, contexts={**self.contexts, name: context})

    def using(self, name: str) -> Self:
        """With another one in use. Raises MayuError."""
        self.get(name)
        return replace(self, current=name)

    def without(self, name: str) -> Self:
        """With one less. Raises MayuError."""
        self.get(name)
        rest = {known: context for known, context in self.contexts.items() if known != name}
        return replace(self, current=None if self.current == name else self.current, contexts=rest)


def location(environment: Mapping[str, str]) -> Path:
    """Where the contexts are kept (XDG Base Directory Specification: a relative XDG_CONFIG_HOME is ignored)."""
    base = Path(environment.get("XDG_CONFIG_HOME") or "-")
    return (base if base.is_absolute() else Path("~/.config").expanduser()) / "mayuctl" / "config.yaml"


def read(path: Path) -> Book:
    """The contexts; none when there is no file. Raises MayuError with every problem and its line.

    A file that holds tokens and that others may read is an error: they have had the tokens.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text, mode = file.read(), os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        return Book()
    except (OSError, UnicodeDecodeError) as error:
        raise MayuError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    book = _decoded(text, path)
    if mode & 0o077 and any(context.token for context in book.contexts.values()):
        raise MayuError(f"{path} holds tokens, and others than its owner may read it", hint=f"chmod 600 {path}")
    return book


def _decoded(text: str, path: Path) -> Book:
    # Reading YAML takes longer than all the rest of a short command; who has no contexts does not wait for it.
    from ignition.document import DocumentError, decode, load

    try:
        book: Book = decode(load(text, str(path)), Book).unwrap()
    except DocumentError as error:
        raise MayuError(str(error), hint="`mayuctl context add` writes this file") from error
    return book


def write(path: Path, book: Book) -> None:
    """Replace the file: the old one or the new one is there, never a part, and never for others to read. Raises MayuError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".config-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(_lines(book))
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise MayuError(f"{path} cannot be written: {error.strerror}") from error


def _lines(book: Book) -> Iterator[str]:
    if book.current is not None:
        yield f"current: {_scalar(book.current)}\n"
    yield "contexts:\n" if book.contexts else "contexts: {}\n"
    for name, context in book.contexts.items():
        yield f"  {_scalar(name)}:\n"
        for each in fields(context):
            value = getattr(context, each.name)
            if value is not None:
                yield f"    {each.name}: {_scalar(str(value))}\n"


def _scalar(text: str) -> str:
    """A string of JSON is one of YAML."""
    return json.dumps(text, ensure_ascii=False)
