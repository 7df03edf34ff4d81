"""HTTP requests in the TCP segments of a capture. Bounded: a stream that makes no sense, or no end, is let go of."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TypeAlias
from urllib.parse import urlsplit

from mayu_py.rehearsal.http import HttpRequest
from mayu_py.wire.tcp4 import Segment

_MOST_STREAMS = 4096
_LONGEST_HEAD = 16 << 10
_LONGEST_BODY = 64 << 10
_REQUEST_LINE = re.compile(rb"(GET|HEAD|PUT|POST) (\S{1,8000}) HTTP/1\.[01]")
_BEGINNINGS = (b"GET ", b"HEAD ", b"PUT ", b"POST ")
_END = b"\r\n\r\n"

_Ends: TypeAlias = tuple[IPv4Address, int, IPv4Address, int]


@dataclass(slots=True)
class _Stream:
    expected: int
    held: bytes = b""


class Streams:
    """Puts streams together again, as far as their segments come in order; what comes again is passed over."""

    def __init__(self) -> None:
        self._streams: OrderedDict[_Ends, _Stream] = OrderedDict()

    def requests(self, segment: Segment) -> Iterator[HttpRequest]:
        """The requests that this segment completes."""
        ends = (segment.source, segment.source_port, segment.destination, segment.destination_port)
        if segment.opens:
            self._streams.pop(ends, None)
        if not segment.payload:
            return
        stream = self._streams.get(ends)
        if stream is None:
            if not segment.payload.startswith(_BEGINNINGS):
                return
            stream = self._streams[ends] = _Stream(segment.sequence)
            if len(self._streams) > _MOST_STREAMS:
                self._streams.popitem(last=False)
        if segment.sequence != stream.expected:
            return
        stream.expected = (stream.expected + len(segment.payload)) % 2**32
        stream.held += segment.payload
        while (found := _first(stream, segment.source)) is not None:
            yield found
        if not stream.held or not stream.held.startswith(_BEGINNINGS) or len(stream.held) > _LONGEST_HEAD + _LONGEST_BODY:
            # Let go of: the next request on this connection begins with its method again.
            del self._streams[ends]


def _first(stream: _Stream, source: IPv4Address) -> HttpRequest | None:
    """Take the first whole request off what is held."""
    head, end, rest = stream.held.partition(_END)
    line, _, fields = head.partition(b"\r\n")
    matched = _REQUEST_LINE.fullmatch(line)
    if not end or matched is None or len(head) > _LONGEST_HEAD:
        return None
    headers = dict(_header(field) for field in fields.split(b"\r\n") if b":" in field)
    told = headers.get("content-length", "0")
    size = int(told) if told.isascii() and told.isdigit() and len(told) < 10 else _LONGEST_BODY + 1
    if size > _LONGEST_BODY or len(rest) < size:
        return None
    stream.held = rest[size:]
    return HttpRequest(matched[1].decode(), _target(matched[2].decode("latin-1")), source, headers, rest[:size])


def _header(field: bytes) -> tuple[str, str]:
    name, _, value = field.partition(b":")
    return name.decode("latin-1").strip().lower(), value.decode("latin-1").strip()


def _target(text: str) -> str:
    """The path with its query; a proxy's whole URL has it too."""
    if text.startswith("/"):
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
