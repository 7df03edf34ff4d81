"""How contents and modes are written: the form of data URLs, and modes that were meant in octal."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.butane import convert, data_url
from ignition.butane.contents import is_decimal_by_mistake, plain_data_url
from ignition.rules import decode_data_url


@pytest.mark.parametrize(
    ("contents", "url"),
    [
        (b"", "data:,"),
        (b"aZ09-_.!~*'()", "data:,aZ09-_.!~*'()"),
        (b"a b\n", "data:,a%20b%0A"),
        ("é".encode(), "data:,%C3%A9"),
        (b"\x00\x01\x02\x03\x04\x05", "data:;base64,AAECAwQF"),
    ],
)
def test_contents_take_the_shortest_form(contents: bytes, url: str) -> None:
    assert data_url(contents) == (url, "")


def test_long_repetitive_contents_are_compressed_unless_they_already_are() -> None:
    url, compression = data_url(b"line\n" * 1000)
    assert (compression, len(url) < 100, url[:20]) == ("gzip", True, "data:;base64,H4sIAAA")
    assert data_url(b"line\n" * 1000, may_compress=False)[1] == ""


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode) | st.binary(max_size=4).map(lambda part: part * 99))
def test_a_data_url_holds_the_contents(contents: bytes) -> None:
    url, compression = data_url(contents)
    held = decode_data_url(url)
    assert (zlib.decompress(held, 16 + zlib.MAX_WBITS) if compression else held) == contents
    assert decode_data_url(plain_data_url(contents)) == contents


@pytest.mark.parametrize("mode", [644, 755, 600, 400, 1777, 4755, 2755, 777])
def test_modes_that_were_meant_in_octal(mode: int) -> None:
    assert is_decimal_by_mistake(mode, is_directory=mode == 1777)


@pytest.mark.parametrize("mode", [0o644, 0o755, 0, 0o4755, 8, 899, 10000, -644, 0o7777, 123])
def test_modes_that_were_meant_as_they_are(mode: int) -> None:
    assert not is_decimal_by_mistake(mode, is_directory=False)


def test_a_directory_that_nobody_can_enter_is_odd() -> None:
    assert is_decimal_by_mistake(755, is_directory=True)
    assert not is_decimal_by_mistake(644, is_directory=True)


FILE = "variant: fcos\nversion: {version}\nstorage:\n  files:\n    - path: /a\n      contents: {contents}\n"


@pytest.mark.parametrize(
    ("version", "contents", "written"),
    [
        ("1.0.0", "{inline: a b}", b'"contents":{"source":"data:,a%20b"}'),
        ("1.1.0", "{inline: a b}", b'"contents":{"compression":"","source":"data:,a%20b"}'),
        ("1.7.0", "{inline: a b, compression: gzip}", b'"contents":{"compression":"gzip","source":"data:,a%20b"}'),
        ("1.7.0", "{inline: !!binary gIGCgIGC}", b'"contents":{"compression":"","source":"data:;base64,gIGCgIGC"}'),
        ("1.7.0", "{source: 'http://h/?a&b<c>'}", b'"contents":{"source":"http://h/?a\\u0026b\\u003cc\\u003e"}'),
    ],
)
def test_contents_of_files(version: str, contents: str, written: bytes) -> None:
    output = convert(FILE.format(version=version, contents=contents)).output
    assert output is not None
    assert written in output
