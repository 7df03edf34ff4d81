"""Data URLs (RFC 2397) as Ignition's library for them reads them, with its messages (vincent-petithory/dataurl)."""

import base64
import re
from urllib.parse import unquote_to_bytes

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]*")
_DATA = re.compile(r"[A-Za-z0-9\-_.!~*'();/?:@&=+$,%]*")
_BASE64_DATA = re.compile(r"[A-Za-z0-9+/=\n]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_MEDIA_TYPES = ("text", "image", "audio", "video", "application", "message", "multipart")


class BadURL(ValueError):
    """A URL that Ignition refuses; the message is Ignition's."""


def decode_data_url(url: str) -> bytes:
    """Return the bytes of a data URL; raise BadURL when it is not one."""
    if not url.startswith("data:"):
        raise BadURL("missing data prefix")
    reader = _Reader(url, len("data:"))
    reader.media_type()
    is_base64 = reader.parameters()
    data = url[reader.position + 1 :]
    if not (_BASE64_DATA if is_base64 else _DATA).fullmatch(data):
        raise BadURL("invalid data character")
    return _decode_base64(data) if is_base64 else _unescape(data)


class _Reader:
    """Reads what stands before the data, and stops at the comma."""

    def __init__(self, url: str, position: int) -> None:
        self.url = url
        self.position = position

    def peek(self) -> str:
        """Return the next character, or '' at the end."""
        return self.url[self.position : self.position + 1]

    def token(self) -> str:
        """Take the token that stands here, which may be empty."""
        found = _TOKEN.match(self.url, self.position)
        text = found[0] if found else ""
        self.position += len(text)
        return text

    def expect(self, wanted: str, at_end: str, otherwise: str) -> str:
        """Return the next character, one of `wanted`; raise with one of the two messages when it is none."""
        char = self.peek()
        if not char or char not in wanted:
            raise BadURL(otherwise if char else at_end)
        return char

    def media_type(self) -> None:
        if self.peek() in (";", ","):
            return
        start = self.position
        if not self.token():
            raise BadURL("invalid character after data prefix" if self.peek() else "missing comma before data")
        if self.position == start + 1 and self.url[start] in "xX":
            # The library takes whatever follows an x to look for "x-", and does not put it back.
            self.position += 1
            self.token()
        self.expect("/", "missing media type slash", "invalid character for media type")
        if not self.url.startswith((*_MEDIA_TYPES, "x-", "X-"), start):
            raise BadURL("invalid media type")
        self.position += 1
        self.token()
        self.expect(";,", "incomplete media type", "invalid character for media subtype")

    def parameters(self) -> bool:
        """Read all parameters; return whether the last is `base64`."""
        while self.peek() == ";":
            self.position += 1
            if self.peek() in ("", "=", ","):
                raise BadURL("unterminated parameter sequence")
            name = self.token()
            if self.expect("=,", "unterminated parameter sequence", "invalid character for parameter attribute") == ",":
                if name != "base64":
                    raise BadURL(f"expected base64, got {name}")
                return True
            self.position += 1
            self.value()
        return False

    def value(self) -> None:
        if self.peek() == '"':
            self.quoted()
            self.expect(";,", "missing comma before data", "expected semicolon or comma")
        elif self.peek() and not self.token():
            raise BadURL("invalid character for parameter value")
        else:
            self.expect(";,", "missing comma before data", "invalid character for parameter value")

    def quoted(self) -> None:
        self.position += 1
        while (char := self.peek()) != '"':
            if not char:
                raise BadURL("unclosed quoted string")
            self.position += 1
            if char == "\\":
                char = self.peek()
                self.position += len(char)
                if not char.isascii():
                    raise BadURL("invalid escaped character")
            elif not char.isascii():
                raise BadURL("invalid character for parameter value")
        self.position += 1


def _unescape(data: str) -> bytes:
    if bad := _BAD_ESCAPE.search(data):
        is_cut = re.fullmatch(r"[0-9a-fA-F]?", data[bad.end() :]) is not None
        raise BadURL(f"rfc2396: {'unexpected end of' if is_cut else 'invalid char 0x25 in'} unescape sequence")
    return unquote_to_bytes(data)


def _decode_base64(data: str) -> bytes:
    """Decode as Go's encoding/base64 does: newlines are skipped, and an error names the byte it was noticed at."""
    digits, padding, _ = data.partition("=")
    missing = len(digits.replace("\n", "")) % 4
    if padding:
        _check_padding(data, len(digits), missing)
    elif missing:
        raise BadURL(f"illegal base64 data at input byte {len(data) - missing}")
    return base64.b64decode(data)


def _check_padding(data: str, position: int, digits: int) -> None:
    """Raise for padding at `position` that does not end `data` after 2 or 3 `digits` of a group of 4."""
    fault = None
    if digits < 2:
        fault = position
    end = position + 1
    if fault is None and digits == 2:
        end += len(data[end:]) - len(data[end:].lstrip("\n"))
        if end == len(data):
            fault = end
        elif data[end] != "=":
            fault = end - 1
        end += 1
    if fault is None and data[end:].strip("\n"):
        fault = end + len(data[end:]) - len(data[end:].lstrip("\n"))
    if fault is not None:
        raise BadURL(f"illegal base64 data at input byte {fault}")
