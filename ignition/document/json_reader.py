"""JSON to nodes, with the messages and places of Go's encoding/json for what is wrong (Go 1.27, which runs on json v2).

YAML's parser cannot stand in: it refuses surrogate pairs and long keys. The reader keeps its own stack, so depth is a
number it checks and not a crash; equal keys are all kept, for the caller to judge. Columns count bytes of UTF-8, as the
tools written in Go do. Bytes that are not UTF-8, and surrogates without a partner, are read as U+FFFD each.

Source: encoding/json/internal/jsonwire/decode.go, jsontext/decode.go, v2_scanner.go.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed lacks it
from math import isinf
from typing import Final, NamedTuple

from ignition.document.json_errors import JSONSyntax, invalid, string_fault
from ignition.document.nodes import Kind, ListNode, MapNode, Node, ScalarNode
from ignition.errors import Mark

__all__ = ["LEAF", "MAX_VALUES", "JSONSyntax", "Shape", "fold", "read_json", "read_located", "value_end"]

MAX_VALUES = 500_000
"""The most values a document may hold, be they kept or skipped: a text of a few bytes a value would fill the memory."""

_SAFE_DIGITS = 300  # no number without an exponent overflows a float64 with fewer
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_LITERALS = {"true": Kind.BOOL, "false": Kind.BOOL, "null": Kind.NULL}
_BY_LETTER = {word[0]: word for word in _LITERALS}
_SURROGATE = re.compile("[\ud800-\udfff]")


class Shape(NamedTuple):
    """What the caller will look at: the keys of an object in lower case, the items of a list. Anything else is skipped."""

    keys: Mapping[str, "Shape"]
    items: "Shape | None" = None


LEAF: Final = Shape({})
_SKIP: Final = Shape({})
_SKIPPED: Final = ScalarNode("", Kind.NULL, Mark("", 0, 0))


class Located(NamedTuple):
    """A document. Without `has_places` it holds a number, maybe where nobody looks, that is too large for a float64."""

    node: Node
    has_places: bool


def fold(key: str) -> str:
    """Return a key in the form that Go compares: two characters beyond ASCII count as the letters s and k."""
    return key.lower() if key.isascii() else key.translate({0x17F: "s", 0x212A: "k"}).lower()


def read_json(text: str | bytes, file: str, max_depth: int, shape: Shape | None = None) -> Node:
    """Read one JSON value; raise JSONSyntax when the text is anything else, or nested deeper than `max_depth`.

    With a `shape`, what is not part of it is checked but not kept: a value below an unknown key, and what is inside a list
    or object where the shape has something else. Its node is empty. At most MAX_VALUES values are read.
    """
    return read_located(text, file, max_depth, shape).node


def read_located(text: str | bytes, file: str, max_depth: int, shape: Shape | None = None) -> "Located":
    """Read one JSON value like `read_json`, and tell whether Go's older reader, which knows places, could read it, too."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    reader = _Reader(raw, file, max_depth, shape)
    node = reader.document()
    return Located(node, reader.has_places)


def value_end(raw: bytes, node: Node) -> Mark:
    """Return where Go says that a value of the wrong type is: behind it, or behind the bracket that opens it."""
    if not isinstance(node, ScalarNode):
        return node.mark
    text = raw.decode("latin-1")
    start = 0
    for _ in range(node.mark.line - 1):
        start = text.index("\n", start) + 1
    start += node.mark.column - 1
    found = _STRING.match(text, start)
    end = found.end() if found else start + len(node.text)
    return Mark(node.mark.file, node.mark.line, node.mark.column + end - start) if end < len(text) else Mark(node.mark.file, 0, 0)


@dataclass(slots=True)
class _Open:
    """A list or object whose end has not been read yet. `keys` is None for a list; `keeps` is whether it takes values."""

    mark: Mark
    items: list[Node]
    keys: list[ScalarNode] | None
    shape: Shape | None
    keeps: bool

    def close(self) -> Node:
        if self.keys is None:
            return ListNode(tuple(self.items), self.mark)
        return MapNode(tuple(zip(self.keys, self.items, strict=True)), self.mark)


class _Reader:
    """Reads text in which every character is one byte."""

    def __init__(self, raw: bytes, file: str, max_depth: int, shape: Shape | None) -> None:
        self.text = raw.decode("latin-1")
        self.file = file
        self.max_depth = max_depth
        self.wanted = shape  # the shape of the next value
        self.position = 0
        self.values = 0
        self.has_places = True
        self.open: list[_Open] = []
        self.marked = (0, 1, 0)  # the last place marked: its position, its line, where that line starts

    def document(self) -> Node:
        while True:
            node = self.value()
            while node is not None:
                if not self.open:
                    if self.peek():
                        raise self.unexpected("after top-level value")
                    return node
                node = self.add(node)

    def value(self) -> Node | None:
        """Read a scalar or an empty collection; open any other collection and return None."""
        char = self.peek()
        self.values += 1
        if self.values > MAX_VALUES:
            raise self.failure(f"more than {MAX_VALUES} values", self.position, self.position)
        if char == '"':
            return self.string()
        if char == "{" or char == "[":
            return self.enter(is_map=char == "{")
        start = self.position
        if found := _NUMBER.match(self.text, start):
            self.position = found.end()
            self.check_number_end(start)
            if (found[2] or len(found[0]) > _SAFE_DIGITS) and isinf(float(found[0])):
                self.has_places = False
            return self.scalar(found[0], Kind.FLOAT if found[1] or found[2] else Kind.INT, start)
        word = _BY_LETTER.get(char, "")
        if word and self.text.startswith(word, start):
            self.position += len(word)
            return self.scalar(word, _LITERALS[word], start)
        raise self.bad_token(word)

    def scalar(self, text: str, kind: Kind, start: int) -> ScalarNode:
        return _SKIPPED if self.wanted is _SKIP else ScalarNode(text, kind, self.mark(start))

    def bad_token(self, word: str) -> JSONSyntax:
        """Say how far a literal or number went before it turned out to be none."""
        start = self.position
        if word:
            matched = next(n for n in range(1, 5) if not self.text.startswith(word[: n + 1], start))
            self.position += matched
            return self.unexpected(f"in literal {word} (expecting '{word[matched]}')")
        if self.text.startswith("-", start):
            self.position += 1
            return self.unexpected("in numeric literal", start)
        return self.unexpected("looking for beginning of value")

    def check_number_end(self, start: int) -> None:
        """Raise for a number that goes on after its end, as in `1.` and `1e`."""
        char = self.text[self.position : self.position + 1]
        if char == ".":
            self.position += 1
        elif char and char in "eE":
            self.position += 2 if self.text[self.position + 1 : self.position + 2] in ("+", "-") else 1
        else:
            return
        raise self.unexpected("in numeric literal", start)

    def enter(self, *, is_map: bool) -> Node | None:
        if len(self.open) >= self.max_depth:
            raise self.failure("exceeded max depth", self.position, self.position + 1)
        self.position += 1
        # Ignition's reports point behind the bracket that opens an object or array.
        mark = _SKIPPED.mark if self.wanted is _SKIP else self.mark(self.position)
        keeps = self.wanted is None or bool(self.wanted.keys if is_map else self.wanted.items)
        top = _Open(mark, [], [] if is_map else None, self.wanted, keeps)
        self.open.append(top)
        if self.peek() == ("}" if is_map else "]"):
            return self.leave()
        if is_map:
            self.key(top)
        else:
            self.want(top, self.wanted.items if self.wanted else None)
        return None

    def want(self, top: _Open, shape: Shape | None) -> None:
        self.wanted = None if top.shape is None else shape or _SKIP

    def leave(self) -> Node:
        self.position += 1
        return self.open.pop().close()

    def add(self, node: Node) -> Node | None:
        """Put a value into the innermost collection; return that once it ends, or None when its next value comes."""
        top, char = self.open[-1], self.peek()
        if top.keeps:
            top.items.append(node)
        if char == ("]" if top.keys is None else "}"):
            return self.leave()
        if char != ",":
            raise self.unexpected("after array element" if top.keys is None else "after object key:value pair")
        self.position += 1
        if top.keys is None:
            self.want(top, top.shape.items if top.shape else None)
        else:
            self.key(top)
        return None

    def key(self, top: _Open) -> None:
        if self.peek() != '"':
            raise self.unexpected("looking for beginning of object key string")
        self.wanted = None if top.keeps else _SKIP
        key = self.string()
        if self.peek() != ":":
            raise self.unexpected("after object key")
        self.position += 1
        if top.keeps and top.keys is not None:
            top.keys.append(key)
        self.want(top, top.shape.keys.get(fold(key.text)) if top.shape else None)

    def string(self) -> ScalarNode:
        start = self.position
        found = _STRING.match(self.text, start)
        if found is None:
            raise self.bad_string(start)
        self.position = found.end()
        if self.wanted is _SKIP:
            return _SKIPPED
        value = found[0][1:-1]
        if not value.isascii():
            value = value.encode("latin-1").decode("utf-8", "surrogateescape")
        if "\\" in value:
            value, _ = scanstring(value + '"', 0, True)
        if not value.isascii():
            value = _SURROGATE.sub("\ufffd", value)
        return ScalarNode(value, Kind.STR, self.mark(start), '"')

    def bad_string(self, start: int) -> JSONSyntax:
        fault = string_fault(self.text, start)
        return self.failure(fault.message, fault.start, fault.end)

    def peek(self) -> str:
        """Skip white space and return the next character, or '' at the end."""
        found = _SPACE.match(self.text, self.position)
        self.position = found.end() if found else self.position
        return self.text[self.position : self.position + 1]

    def mark(self, position: int) -> Mark:
        last, line, start = self.marked
        if position < last:
            last, line, start = 0, 1, 0
        if newlines := self.text.count("\n", last, position):
            line, start = line + newlines, self.text.rindex("\n", last, position) + 1
        self.marked = (position, line, start)
        return Mark(self.file, line, position - start + 1)

    def unexpected(self, state: str, number_start: int | None = None) -> JSONSyntax:
        """Say what is wrong with the next character. Go says of a number that is cut off where it began."""
        if self.position >= len(self.text):
            end = len(self.text) if number_start is None else number_start
            return self.failure("unexpected end of JSON input", len(self.text), end)
        message, length = invalid(self.text, self.position, state)
        return self.failure(message, self.position, self.position + length)

    def failure(self, message: str, start: int, end: int) -> JSONSyntax:
        reported = self.mark(end) if end < len(self.text) else Mark(self.file, 0, 0)
        return JSONSyntax(self.mark(start), message, reported)
