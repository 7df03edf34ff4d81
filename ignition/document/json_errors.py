"""What Go's encoding/json says about text that is not JSON (Go 1.27: jsonwire/wire.go, jsonwire/decode.go)."""

import codecs
import re
from typing import NamedTuple

from ignition.errors import Mark

_GOOD = re.compile(r'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_UNICODE_ESCAPE_BEGUN = re.compile(r"\\u[0-9a-fA-F]*")
_CHARACTER_MAX = 4
_GO_ESCAPES = {
    **{"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"},
}


class JSONSyntax(Exception):
    """The text is not JSON.

    `mark` is the first character that is wrong, or the end of the text. `reported` is the place that Go names: behind that
    character, and line 0, column 0 for anything at the end.
    """

    def __init__(self, mark: Mark, message: str, reported: Mark) -> None:
        super().__init__(message)
        self.mark = mark
        self.message = message
        self.reported = reported


class Fault(NamedTuple):
    """What is wrong with a string, from position `start`; Go names position `end`."""

    message: str
    start: int
    end: int


def string_fault(text: str, start: int) -> Fault:
    """Find what is wrong with the string that starts at `start` in text whose characters are bytes."""
    good = _GOOD.match(text, start + 1)
    position = good.end() if good else start + 1
    rest = text[position : position + 6]
    if not rest:
        return Fault("unexpected end of JSON input", len(text), len(text) - _cut_character(text[start:]))
    if rest[0] != "\\":
        message, length = invalid(text, position, "in string")
        return Fault(message, position, position + length)
    if len(rest) == 1 or (len(rest) < 6 and _UNICODE_ESCAPE_BEGUN.fullmatch(rest)):
        return Fault("unexpected end of JSON input", len(text), position)
    what = rest if rest[1] == "u" else rest[:2]
    return Fault(f"invalid escape sequence {_sequence(what)} in string", position, position + len(what))


def _cut_character(text: str) -> int:
    """Return how many bytes of a character of UTF-8 stand at the end without its rest."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(text[-_CHARACTER_MAX:].encode("latin-1"))
    return len(decoder.getstate()[0])


def invalid(text: str, position: int, state: str) -> tuple[str, int]:
    """Return the message about the character at a position in text whose characters are bytes, and its length in bytes."""
    raw = text[position : position + _CHARACTER_MAX].encode("latin-1")
    for length in range(1, len(raw) + 1):
        try:
            return f"invalid character {quoted_character(raw[:length].decode())} {state}", length
        except UnicodeDecodeError:
            continue
    return f"invalid character '\\x{raw[0]:x}' {state}", 1


def quoted_character(char: str) -> str:
    """Quote a character as Go's strconv.QuoteRune does."""
    return "'\\''" if char == "'" else f"'{escaped(char)}'"


def escaped(char: str) -> str:
    """Escape a character as Go's strconv does, except for the quotes."""
    if char in _GO_ESCAPES:
        return _GO_ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as surrogateescape has it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _sequence(what: str) -> str:
    """Quote an escape sequence: between backticks if it can be read there."""
    text = what.encode("latin-1").decode("utf-8", "surrogateescape")
    if any(char in "`\ufffd" or char.isspace() or not char.isprintable() for char in text):
        return '"' + "".join('\\"' if char == '"' else escaped(char) for char in text) + '"'
    return f"`{text}`"
