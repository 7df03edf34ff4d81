"""Which server mayuctl asks, and with which credentials."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mayu_py.asking.connection import Connection, Given, choose, is_loopback, url
from mayu_py.asking.contexts import Book, Context
from mayu_py.errors import MayuError

LAB = Context("https://lab:4080", token="lab-token", ca=Path("/lab.pem"), client_cert=Path("/me.pem"))
LIVE = Context("https://live:4080", token_file=Path("/live.token"))
BOOK = Book("lab", {"lab": LAB, "live": LIVE})
AS_LAB = Connection("https://lab:4080", "lab-token", None, Path("/lab.pem"), Path("/me.pem"))
AS_LIVE = Connection("https://live:4080", token_file=Path("/live.token"))


@pytest.mark.parametrize(
    ("given", "environment", "book", "connection"),
    [
        (Given(), {}, Book(), Connection("http://127.0.0.1:4080")),
        (Given(), {}, BOOK, AS_LAB),
        (Given(), {"MAYU_CONTEXT": "live"}, BOOK, AS_LIVE),
        (Given(), {"MAYU_CONTEXT": "live", "MAYU_SERVER": "https://x:1"}, BOOK, Connection("https://x:1")),
        (Given(context="lab"), {"MAYU_SERVER": "https://x:1", "MAYU_CONTEXT": "live"}, BOOK, AS_LAB),
        (Given(server="https://y:1"), {"MAYU_SERVER": "https://x:1"}, BOOK, Connection("https://y:1")),
        (Given(server="https://y:1"), {"MAYU_TOKEN": "t"}, BOOK, Connection("https://y:1", "t")),
        (Given(context="live"), {"MAYU_TOKEN": "t"}, BOOK, Connection("https://live:4080", "t")),
        (Given(token_file=Path("/f")), {"MAYU_TOKEN": "t"}, Book(), Connection("http://127.0.0.1:4080", None, Path("/f"))),
        (Given(ca=Path("/c")), {}, BOOK.using("live"), replace(AS_LIVE, ca=Path("/c"))),
        (Given(), {"MAYU_SERVER": "", "MAYU_TOKEN": ""}, BOOK, AS_LAB),
    ],
)  # fmt: skip
def test_options_go_before_the_environment_and_that_before_contexts(
    given: Given, environment: Mapping[str, str], book: Book, connection: Connection
) -> None:
    assert choose(given, environment, book) == connection


def test_an_unknown_context_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(MayuError, match="there is no context 'lba'") as caught:
        choose(Given(context="lba"), {}, BOOK)
    assert caught.value.hint == "contexts: lab, live"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("mayu.lab", "https://mayu.lab:4080"),
        ("mayu.lab:444", "https://mayu.lab:444"),
        ("https://mayu.lab/", "https://mayu.lab"),
        ("https://mayu.lab/rack-1/", "https://mayu.lab/rack-1"),
        ("127.0.0.1", "http://127.0.0.1:4080"),
        ("localhost:4081", "http://localhost:4081"),
        ("[::1]", "http://[::1]:4080"),
        ("[2001:db8::1]", "https://[2001:db8::1]:4080"),
        ("http://10.0.0.1:4081", "http://10.0.0.1:4081"),
    ],
)
def test_a_host_alone_is_asked_safely(text: str, whole: str) -> None:
    assert url(text) == whole


@pytest.mark.parametrize("text", ["", "ftp://x", "https://", "https://x?a=b", "https://me:secret@x", "x:port", "http://[::1"])
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(MayuError):
        url(text)


@pytest.mark.parametrize(
    ("server", "stays"), [("http://127.8.9.1:1", True), ("http://127.0.0.1.evil:1", False), ("http://x", False)]
)
def test_the_loopback_is_known_by_its_whole_name(server: str, stays: bool) -> None:
    assert is_loopback(server) is stays


def test_no_token_is_in_a_representation() -> None:
    assert "lab-token" not in repr(AS_LAB) + repr(LAB) + repr(BOOK)
