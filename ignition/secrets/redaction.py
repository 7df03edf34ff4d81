"""Secrets, and texts without them."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from ignition.document import Data
from ignition.errors import Problem
from ignition.secrets.secret import MARK, SHORTEST, Secret
from ignition.secrets.spellings import in_base64, spelt
from ignition.secrets.urls import DATA_URL, rewrite

P = TypeVar("P", bound=Problem)

_MARK = MARK.encode()
_MAX_DEPTH = 8
_LINE = 8
_FRAGMENT = 8
_BASE64 = frozenset(bytes([byte]) for byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")


class Secrets:
    """A set of secret texts. It never shows them: `repr` gives their number only.

    White space around a secret is not part of it. Each line of 8 characters or more of a secret with several lines is secret by
    itself, but for the lines of a PEM file that say what it is.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Raises ValueError for a text of fewer than SHORTEST characters."""
        self._texts = frozenset(part for text in texts for part in _parts(text))

    @classmethod
    def in_values(cls, values: Data) -> "Secrets":
        """Return every Secret in a tree of values, keys included."""
        return cls(_marked(values))

    def redact(self, text: str) -> str:
        """Return a text with MARK in the place of every secret, in any of the spellings of this package's docstring."""
        return self.redact_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def redact_bytes(self, data: bytes) -> bytes:
        """Redact bytes. Text in them is taken to be UTF-8."""
        return self._redact(data, 0) if self._texts else data

    def redact_message(self, text: str) -> str:
        """Redact a message, which may quote a part of a value.

        Parts of a secret of 8 characters and more go as well, and what begins a secret and is cut off by `...`.
        """
        text = self.redact(text)
        spans = sorted({*self._quoted(text), *self._cut(text)})
        encoded = [(len(text[:start].encode()), len(text[:end].encode())) for start, end in spans]
        return _without(text.encode(), encoded).decode() if spans else text

    def redact_problem(self, problem: P) -> P:
        """Redact what a problem says. It keeps its place."""
        if not self._texts:
            return problem
        path, message, hint = map(self.redact_message, (problem.path, problem.message, problem.hint))
        return replace(problem, path=path, message=message, hint=hint)

    def __or__(self, other: "Secrets") -> "Secrets":
        return Secrets(self._texts | other._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and self._texts == other._texts

    def __hash__(self) -> int:
        return hash(self._texts)

    def __repr__(self) -> str:
        return f"<Secrets: {len(self)}>"

    @cached_property
    def _patterns(self) -> tuple[list[re.Pattern[bytes]], list[re.Pattern[bytes]]]:
        encoded = [text.encode("utf-8", "surrogatepass") for text in self._texts]
        return [spelt(text) for text in self._texts], [pattern for data in encoded for pattern in in_base64(data)]

    @cached_property
    def _spellings_in_messages(self) -> tuple[str, ...]:
        return tuple({way for text in self._texts for way in (text, repr(text)[1:-1], json.dumps(text)[1:-1])})

    @cached_property
    def _fragments(self) -> frozenset[str]:
        ways = self._spellings_in_messages
        return frozenset(way[start : start + _FRAGMENT] for way in ways for start in range(len(way) - _FRAGMENT + 1))

    def _quoted(self, text: str) -> Iterator[tuple[int, int]]:
        for start in range(len(text) - _FRAGMENT + 1):
            if text[start : start + _FRAGMENT] in self._fragments:
                yield start, start + _FRAGMENT

    def _cut(self, text: str) -> Iterator[tuple[int, int]]:
        for found in re.finditer(r"\.\.\.", text):
            for way in self._spellings_in_messages:
                sizes = range(1, min(_FRAGMENT, len(way)))
                yield from ((found.start() - n, found.start()) for n in sizes if text.endswith(way[:n], 0, found.start()))

    def _redact(self, data: bytes, depth: int) -> bytes:
        if depth > _MAX_DEPTH:
            return _MARK
        data = DATA_URL.sub(lambda found: rewrite(found, lambda inner: self._redact(inner, depth + 1)), data)
        return _without(data, self._spans(data))

    def _spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        spelt, in_base64 = self._patterns
        for pattern in spelt:
            yield from (found.span() for found in pattern.finditer(data))
        for pattern in in_base64:
            for found in pattern.finditer(data):
                start, end = found.span()
                # The digits at both ends hold bits of the secret beside others.
                yield start - (data[start - 1 : start] in _BASE64), end + (data[end : end + 1] in _BASE64)


def _parts(text: str) -> Iterator[str]:
    """Give what is looked for: the secret without the space around it, and its lines."""
    text = str.__str__(text).strip()
    if len(text) < SHORTEST:
        raise ValueError(f"a secret has at least {SHORTEST} characters")
    yield text
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _LINE and not line.startswith("-----"))


def _marked(values: Data) -> Iterator[str]:
    if isinstance(values, Secret):
        yield values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            yield from _marked(key)
            yield from _marked(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _marked(value)


def _without(data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """Put one mark in the place of each span, or of several that touch."""
    kept: list[bytes] = []
    position = 0
    for start, end in sorted(spans):
        if start > position or not kept:
            kept += [data[position:start], _MARK]
        position = max(position, end)
    return b"".join((*kept, data[position:]))
