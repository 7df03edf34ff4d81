"""Data URLs found in a text: opened, and closed again."""

import base64
import binascii
import re
import zlib
from collections.abc import Callable
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ignition.secrets.secret import MARK

MAX_INFLATED = 1 << 26
"""Bytes. A data URL that unpacks to more is not looked into."""

DATA_URL = re.compile(
    rb"data:(?P<head>[^\s\"<>\\,]{0,200}),"
    rb"(?P<body>(?:[A-Za-z0-9\-_.!~*'();/?:@&=+$,%]|\\/|\\+u00[0-7][0-9a-fA-F]|\\+n)*)"
)
_ESCAPE = re.compile(rb"\\+(?:u00([0-7][0-9a-fA-F])|(n)|(/))")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\n\-_]*")
_GZIP = b"\x1f\x8b"
_WHOLE = f"data:,{MARK}".encode()


def gunzip(data: bytes) -> bytes:
    """Unpack gzip, all its members. Raises ValueError when it is no gzip, is cut, or holds more than MAX_INFLATED bytes."""
    unpacked = b""
    while data:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)  # 16: with a gzip header
        try:
            unpacked += member.decompress(data, MAX_INFLATED - len(unpacked) + 1)
        except zlib.error as error:
            raise ValueError("not gzip") from error
        if len(unpacked) > MAX_INFLATED:
            raise ValueError(f"more than {MAX_INFLATED:,} bytes")
        if not member.eof:
            raise ValueError("gzip is cut")
        data = member.unused_data
    return unpacked


def rewrite(found: re.Match[bytes], change: Callable[[bytes], bytes]) -> bytes:
    """Return a data URL with its contents changed, in its own encoding; the same bytes when `change` changes nothing."""
    head, body = found["head"], _ESCAPE.sub(_unescaped, found["body"])
    is_base64 = head.lower().endswith(b";base64")
    data = unquote_to_bytes(body)
    if is_base64:
        digits = _BASE64.match(data)
        data = _decoded(digits[0] if digits else b"")
    is_gzip = data.startswith(_GZIP)
    if is_gzip:
        try:
            data = gunzip(data)
        except ValueError:
            return _WHOLE
    changed = change(data)
    if changed == data:
        return found[0]
    if is_gzip:
        packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        changed = packer.compress(changed) + packer.flush()
    text = base64.b64encode(changed) if is_base64 else quote_from_bytes(changed, safe="-_.!~*'()").encode("ascii")
    return b"data:" + head + b"," + text


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes([int(found[1], 16)])
    return b"\n" if found[2] else b"/"


def _decoded(digits: bytes) -> bytes:
    """Decode as much base64 as there is: it may be cut, or end in what belongs to the text around it."""
    digits = digits.replace(b"\n", b"").replace(b"-", b"+").replace(b"_", b"/").partition(b"=")[0]
    try:
        return base64.b64decode(digits[: len(digits) - (len(digits) % 4 == 1)] + b"==")
    except binascii.Error:
        return b""
