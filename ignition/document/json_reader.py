"""JSON to nodes, with Go's messages for what is wrong (encoding/json, scanner.go).

YAML's parser cannot stand in: it refuses surrogate pairs and long keys. The reader keeps its own stack, so depth is a
number it checks and not a crash; equal keys are all kept, for the caller to judge.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]  # typeshed lacks scanstring

from ignition.document.nodes import Kind, ListNode, MapNode, Node, ScalarNode
from ignition.errors import Mark

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_LITERALS = {"true": Kind.BOOL, "false": Kind.BOOL, "null": Kind.NULL}
_SURROGATE = re.compile("[\ud800-\udfff]")  # A lone one has no UTF-8 form; Go reads U+FFFD.
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')


class JSONSyntax(Exception):
    """The text is not JSON. `mark` is where, or the end of the text."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.mark = mark
        self.message = message


def read_json(text: str, file: str, max_depth: int) -> Node:
    """Read one JSON value; raise JSONSyntax when the text is anything else, or is nested deeper than `max_depth`."""
    return _Reader(text, file, max_depth).document()


@dataclass
class _Open:
    """A list or mapping whose end has not been read yet."""

    mark: Mark
    is_map: bool
    items: list[Node]
    keys: list[ScalarNode]

    def close(self) -> Node:
        if self.is_map:
            return MapNode(tuple(zip(self.keys, self.items, strict=True)), self.mark)
        return ListNode(tuple(self.items), self.mark)


class _Reader:
    def __init__(self, text: str, file: str, max_depth: int) -> None:
        self.text = text
        self.file = file
        self.max_depth = max_depth
        self.line_ends = [found.start() for found in re.finditer("\n", text)]
        self.position = 0
        self.open: list[_Open] = []

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
        char, mark = self.peek(), self.mark(self.position)
        if char == '"':
            return self.string()
        if char and char in "{[":
            # Ignition's reports point behind the bracket that opens an object or array.
            return self.enter(self.mark(self.position + 1), is_map=char == "{")
        if found := _NUMBER.match(self.text, self.position):
            self.position = found.end()
            self.check_number_end()
            return ScalarNode(found[0], Kind.FLOAT if found[1] or found[2] else Kind.INT, mark)
        for word, kind in _LITERALS.items():
            if self.text.startswith(word, self.position):
                self.position += len(word)
                return ScalarNode(word, kind, mark)
        raise self.bad_token()

    def bad_token(self) -> JSONSyntax:
        """Say how far a literal or number went before it turned out to be none."""
        start = self.text[self.position : self.position + 1]
        word = next((word for word in _LITERALS if start and word.startswith(start)), None)
        if word is not None:
            matched = next(n for n in range(1, 5) if not self.text.startswith(word[: n + 1], self.position))
            self.position += matched
            return self.unexpected(f"in literal {word} (expecting '{word[matched]}')")
        if start == "-":
            self.position += 1
            return self.unexpected("in numeric literal")
        return self.unexpected("looking for beginning of value")

    def check_number_end(self) -> None:
        """Raise for a number that goes on after its end, as in `1.` and `1e`."""
        char = self.text[self.position : self.position + 1]
        if char == ".":
            self.position += 1
            raise self.unexpected("after decimal point in numeric literal")
        if char and char in "eE":
            self.position += 2 if self.text[self.position + 1 : self.position + 2] in ("+", "-") else 1
            raise self.unexpected("in exponent of numeric literal")

    def enter(self, mark: Mark, *, is_map: bool) -> Node | None:
        if len(self.open) >= self.max_depth:
            raise self.unexpected("exceeded max depth")
        self.open.append(_Open(mark, is_map, [], []))
        self.position += 1
        if self.peek() == ("}" if is_map else "]"):
            return self.leave()
        if is_map:
            self.key()
        return None

    def leave(self) -> Node:
        self.position += 1
        return self.open.pop().close()

    def add(self, node: Node) -> Node | None:
        """Put a value into the innermost collection; return that once it ends, or None when its next value comes."""
        top, char = self.open[-1], self.peek()
        top.items.append(node)
        if char == ("}" if top.is_map else "]"):
            return self.leave()
        if char != ",":
            raise self.unexpected("after object key:value pair" if top.is_map else "after array element")
        self.position += 1
        if top.is_map:
            self.key()
        return None

    def key(self) -> None:
        if self.peek() != '"':
            raise self.unexpected("looking for beginning of object key string")
        self.open[-1].keys.append(self.string())
        if self.peek() != ":":
            raise self.unexpected("after object key")
        self.position += 1

    def string(self) -> ScalarNode:
        start = self.position
        try:
            value, self.position = scanstring(self.text, start + 1, True)
        except JSONDecodeError:
            raise self.bad_string(start + 1) from None
        return ScalarNode(_SURROGATE.sub("\ufffd", value), Kind.STR, self.mark(start), '"')

    def bad_string(self, position: int) -> JSONSyntax:
        """Find what `scanstring` refused, to say it at its place."""
        while (char := self.text[position : position + 1]) >= " ":
            if char == "\\":
                if not (escape := _ESCAPE.match(self.text, position)):
                    self.position = position + 1
                    return self.unexpected("in string escape code")
                position = escape.end()
            else:
                position += 1
        self.position = position
        return self.unexpected("in string literal")

    def peek(self) -> str:
        """Skip white space and return the next character, or '' at the end."""
        found = _SPACE.match(self.text, self.position)
        self.position = found.end() if found else self.position
        return self.text[self.position : self.position + 1]

    def mark(self, position: int) -> Mark:
        line = bisect_right(self.line_ends, position - 1)
        start = self.line_ends[line - 1] + 1 if line else 0
        return Mark(self.file, line + 1, position - start + 1)

    def unexpected(self, state: str) -> JSONSyntax:
        char = self.text[self.position : self.position + 1]
        if not char:
            return JSONSyntax(self.mark(self.position), "unexpected end of JSON input")
        return JSONSyntax(self.mark(self.position), f"invalid character {_quoted(char)} {state}")


def _quoted(char: str) -> str:
    """Quote a character as Go's error messages do, which see the first byte of its UTF-8 form."""
    byte = char.encode("utf-8", "replace")[:1].decode("latin-1")
    escapes = {"'": r"\'", "\\": r"\\", "\f": r"\f", "\b": r"\b", "\a": r"\a", "\v": r"\v"}
    return f"'{escapes.get(byte) or (byte if byte.isprintable() else repr(byte)[1:-1])}'"
