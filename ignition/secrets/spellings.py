"""The ways one text is written inside others, as patterns over bytes."""

import base64
import re

_NAMED = {"\b": b"b", "\f": b"f", "\n": b"n", "\r": b"r", "\t": b"t"}
# Where a long line of base64 may be broken: as it is, in JSON, in a URL.
_BREAK = rb"(?:[\r\n]|\\+[rn]|%0[aAdD])*"
_IN_BASE64 = {"+": rb"(?:[+\-]|%2[bB])", "/": rb"(?:[/_]|\\/|%2[fF])"}


def spelt(text: str) -> re.Pattern[bytes]:
    """Match a text as it is, in JSON and percent-encoded, character by character."""
    parts: list[bytes] = []
    position = 0
    while position < len(text):
        run = len(text[position:]) - len(text[position:].lstrip("\\"))
        # One repetition for all backslashes of a run: several in a row would be tried in every combination. Each level of JSON
        # in JSON doubles them; counting three levels keeps the work in proportion to the text.
        parts.append(rb"(?:\\|%%(?:25)*5[cC]){%d,%d}" % (run, 8 * run) if run else _character(text[position]))
        position += run or 1
    return re.compile(b"".join(parts))


def in_base64(data: bytes) -> list[re.Pattern[bytes]]:
    """Match the characters of base64 that hold nothing but bits of `data`, for each place in a group of three it may begin at."""
    return [re.compile(_BREAK.join(map(_digit, _whole_digits(data, offset)))) for offset in range(3)]


def _whole_digits(data: bytes, offset: int) -> str:
    digits = base64.b64encode(b"\0" * offset + data).decode("ascii")
    return digits[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]


def _digit(digit: str) -> bytes:
    return _IN_BASE64.get(digit, digit.encode("ascii"))


def _character(char: str) -> bytes:
    raw = char.encode("utf-8", "surrogatepass")
    choices = [rb"\\{0,7}" + re.escape(raw) if char in "\"'/" else re.escape(raw)]
    choices.append(b"".join(b"%%(?:25)*%b" % _hex(byte, 2) for byte in raw))
    escapes = [b"u%b" % _hex(ord(char), 4)] if ord(char) < 0x10000 else _astral(char)
    if ord(char) < 0x100:
        escapes.append(b"x%b" % _hex(ord(char), 2))
    if char in _NAMED:
        escapes.append(_NAMED[char])
    choices.append(rb"\\{1,7}(?:%b)" % b"|".join(escapes))
    if char == " ":
        choices.append(rb"\+")
    return b"(?:%b)" % b"|".join(choices)


def _astral(char: str) -> list[bytes]:
    high, low = divmod(ord(char) - 0x10000, 0x400)
    pair = rb"u%b\\{1,7}u%b" % (_hex(0xD800 + high, 4), _hex(0xDC00 + low, 4))
    return [pair, b"U%b" % _hex(ord(char), 8)]


def _hex(number: int, digits: int) -> bytes:
    """Write a number in hex, in either case."""
    text = f"{number:0{digits}x}"
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in text).encode("ascii")
