"""The stream of events, line by line."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mayu_py.asking.sse import EventStream

EVENTS = st.lists(st.fixed_dictionaries({"id": st.integers(1, 10**9), "text": st.text()}), max_size=5)


def fed(stream: EventStream, text: bytes) -> list[dict[str, Any]]:
    found = (stream.feed(line) for line in text.splitlines(keepends=True))
    return [event for event in found if event is not None]


@given(EVENTS)
def test_events_come_out_as_they_went_in(events: list[dict[str, Any]]) -> None:
    stream = EventStream()
    text = "".join(f": alive\n\nid: {event['id']}\nevent: state\ndata: {json.dumps(event)}\n\n" for event in events)
    assert fed(stream, text.encode()) == events
    assert stream.last == (events[-1]["id"] if events else 0)


def test_an_event_that_breaks_off_is_not_counted_as_seen() -> None:
    stream = EventStream(4)
    assert fed(stream, b'id: 5\ndata: {"a": 1}\n') == []
    assert stream.feed(b"da") is None
    assert fed(stream, b"\n") == []
    assert stream.last == 4
    assert fed(stream, b'id: 5\r\ndata: {"a":\r\ndata: 1}\r\n\r\n') == [{"a": 1}]
    assert stream.last == 5


def test_the_server_says_when_to_come_back_within_reason() -> None:
    stream = EventStream()
    for told, seconds in (("250", 0.25), ("soon", 0.25), ("99999999", 30.0), ("\u0661", 30.0)):
        fed(stream, f"retry: {told}\n\n".encode())
        assert stream.retry_seconds == seconds


@given(st.binary())
def test_nonsense_is_no_event(data: bytes) -> None:
    stream = EventStream()
    for line in data.splitlines(keepends=True):
        event = stream.feed(line)
        assert event is None or isinstance(event, dict)
