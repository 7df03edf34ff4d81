"""Server-sent events, line by line (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation)."""

import json
from typing import Any

# A server that would have its clients wait longer has them miss what they wait for.
LONGEST_RETRY_SECONDS = 30.0


class EventStream:
    """What is known of a stream over all its connections: the last event, and how long to wait before the next connection."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self.retry_seconds = 1.0
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, line: bytes) -> dict[str, Any] | None:
        """Take the next line with its end. Returns the event that it completes.

        A line that the stream broke off within is none, and what came before it is forgotten: the event comes again.
        """
        if not line.endswith(b"\n"):
            self._data, self._id = [], None
            return None
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            return self._complete()
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "id":
                self._id = value
            case "retry" if value.isascii() and value.isdecimal():
                self.retry_seconds = min(int(value) / 1000, LONGEST_RETRY_SECONDS)
        return None

    def _complete(self) -> dict[str, Any] | None:
        data, number = "\n".join(self._data), self._id
        self._data, self._id = [], None
        if not data:
            return None
        try:
            event = json.loads(data)
        except ValueError:
            return None
        if number is not None and number.isascii() and number.isdecimal():
            self.last = int(number)
        return event if isinstance(event, dict) else None
