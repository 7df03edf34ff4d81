"""URLs, data URLs and unit files as Ignition judges them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.rules.dataurls import BadURL, decode_data_url
from ignition.rules.unitfile import BadUnit, sections_with_options
from ignition.rules.urls import check_source


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://h/a",
        "HTTPS://h",
        "http://user:secret@h:80/",
        "http://[::1]:8080/a",
        "http://h:80:90/x",
        "http:relative",
        "tftp://h/a",
        "s3://bucket/key",
        "s3://bucket/key?versionId=x",
        "gs://bucket/object",
        "data:,",
    ],
)
def test_sources_that_ignition_fetches(url: str) -> None:
    check_source(url, 3)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/etc/passwd", "invalid url scheme"),
        ("ftp://h/a", "invalid url scheme"),
        ("bad://", "invalid url scheme"),
        ("http://h/\x01", "unable to parse url"),
        (":foo", "unable to parse url"),
        ("a:b/c%", "invalid url scheme"),
        ("1a:b", "unable to parse url"),
        ("http://h/%zz", "unable to parse url"),
        ("http://h:port/", "unable to parse url"),
        ("http://a b/", "unable to parse url"),
        ("http://[::1/", "unable to parse url"),
        ("s3://bucket/key?versionId=", "invalid S3 object VersionId"),
        ("data:", "missing comma before data"),
        ("data:text", "missing media type slash"),
        ("data:chemical/x-pdb,", "invalid media type"),
        ("data:text/plain", "incomplete media type"),
        ("data:;", "unterminated parameter sequence"),
        ("data:;a,b", "expected base64, got a"),
        ("data:;a=b", "missing comma before data"),
        ('data:;a="b,c', "unclosed quoted string"),
        ("data:,%4", "rfc2396: unexpected end of unescape sequence"),
        ("data:;base64,YQ=", "illegal base64 data at input byte 3"),
        ("data:;base64,YQ===", "illegal base64 data at input byte 4"),
        ("data:, ", "invalid data character"),
        ("data:;base64,a", "illegal base64 data at input byte 0"),
        ("data:;base64,a!==", "invalid data character"),
    ],
)
def test_sources_that_ignition_refuses(url: str, message: str) -> None:
    with pytest.raises(BadURL) as caught:
        check_source(url, 3)
    assert str(caught.value) == message


def test_google_storage_came_with_spec_3_2() -> None:
    with pytest.raises(BadURL, match="invalid url scheme"):
        check_source("gs://bucket/object", 1)


@pytest.mark.parametrize(
    ("url", "contents"),
    [
        ("data:,a%20b", b"a b"),
        ("data:;base64,YWI=", b"ab"),
        ("data:text/plain;charset=utf-8;base64,YWI=", b"ab"),
        ('data:text/plain;name="a\\"b",x', b"x"),
        ("data:,%FF", b"\xff"),
    ],
)
def test_data_urls_hold_contents(url: str, contents: bytes) -> None:
    assert decode_data_url(url) == contents


@given(st.text(max_size=40).map(lambda text: "data:" + text) | st.text())
def test_any_text_is_a_source_or_refused(url: str) -> None:
    try:
        check_source(url, 3)
        verdict = "fetched"
    except BadURL as error:
        verdict = str(error)
    assert verdict


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("", set()),
        ("text before any section\n", set()),
        ("[Unit]\nA=b\n\n# comment\n; comment\n[Install]\nWantedBy=x\n", {"Unit", "Install"}),
        ("[Empty]\n[Service]\nExecStart=a \\\n  b\nType=oneshot", {"Service"}),
        ("[Unit]\r\nA=b\r\n", {"Unit"}),
        ("[Unit]\nA=" + "b" * 2000 + "\n", {"Unit"}),
    ],
)
def test_sections_with_options(text: str, sections: set[str]) -> None:
    assert sections_with_options(text) == sections


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Unit", "unable to find end of section"),
        ("[Unit] trailing\n", 'found garbage after section name : "trailing"'),
        ("[Unit]\nnothing\n", "unexpected newline encountered while parsing option name"),
        ("[Unit]\nnothing", "EOF"),
        ("[Unit]\nA=" + "b" * 3000, "line too long (max 2048 bytes)"),
    ],
)
def test_what_is_no_unit_file(text: str, message: str) -> None:
    with pytest.raises(BadUnit) as caught:
        sections_with_options(text)
    assert str(caught.value) == message


@given(st.text(alphabet="[]=#;\\ \n\rab", max_size=60))
def test_any_text_is_a_unit_or_refused(text: str) -> None:
    try:
        verdict = str(sections_with_options(text))
    except BadUnit as error:
        verdict = str(error)
    assert verdict
