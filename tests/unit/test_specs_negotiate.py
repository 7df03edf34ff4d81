"""The spec to serve, from the Accept header of a client."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ignition.errors import DocumentError
from ignition.specs import LossyTranslation, Negotiated, UnknownSpec, negotiate
from tests.typed_configs import typed

IGNITION = "application/vnd.coreos.ignition+json"
PLAIN: dict[str, Any] = {"storage": {"files": [{"path": "/a"}]}}
KARGS: dict[str, Any] = {"kernelArguments": {"shouldExist": ["a"]}}


def ignition(version: str) -> str:
    """The header that Ignition sends."""
    return f"{IGNITION};version={version}, */*;q=0.1"


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        pytest.param(None, "3.5.0", id="no header"),
        pytest.param("", "3.5.0", id="an empty header"),
        pytest.param("*/*", "3.5.0", id="curl"),
        pytest.param("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "3.5.0", id="a browser"),
        pytest.param(IGNITION, "3.5.0", id="no version"),
        pytest.param(ignition("3.3.0"), "3.3.0", id="Ignition 2.14"),
        pytest.param(ignition("3.0.0"), "3.0.0", id="Ignition 2.0"),
        pytest.param(ignition("3.5.0"), "3.5.0", id="the same spec"),
        pytest.param(ignition("3.6.0"), "3.5.0", id="a newer client"),
        pytest.param(ignition("3.99.0"), "3.5.0", id="a client of the future"),
        pytest.param(ignition("4.0.0"), "3.5.0", id="a client of a far future"),
        pytest.param(ignition("3.4.0-experimental"), "3.3.0", id="a draft stands for the spec before it"),
        pytest.param(f"{IGNITION}; version=3.1.0", "3.1.0", id="a space"),
        pytest.param(f'{IGNITION.upper()}\t;\tVersion="3.\\1.0"', "3.1.0", id="names in any case, a quoted value"),
        pytest.param(f'a/b;c="x, {IGNITION};version=3.0.0", {IGNITION};version=3.2.0', "3.2.0", id="a comma in quotes"),
        pytest.param(f"{IGNITION};version=3.1.0, {IGNITION};version=3.4.0", "3.4.0", id="of equal weights the newest"),
        pytest.param(f"{IGNITION};version=3.1.0, {IGNITION};version=3.4.0;q=0.5", "3.1.0", id="the greatest weight"),
        pytest.param(f"{IGNITION};version=3.4.0;q=0, {IGNITION};version=3.1.0;q=0.001", "3.1.0", id="weight 0 is none"),
        pytest.param(f"{IGNITION};version=3.1.0;q=0", "3.5.0", id="nothing is acceptable"),
        pytest.param(f"{IGNITION};version=2.4.0, {IGNITION};version=3.1.0;q=0.1", "3.1.0", id="spec 2 is not served"),
        pytest.param(f"{IGNITION};version=3.1.0;q=1.5, {IGNITION};version=3.2.0", "3.2.0", id="a malformed weight"),
        pytest.param(f"{IGNITION};version=new, {IGNITION};version=3.2.0", "3.2.0", id="a malformed version"),
        pytest.param(f"{IGNITION}version=3.1.0, /, {IGNITION};version=3.2.0", "3.2.0", id="a malformed type"),
        pytest.param(f'{IGNITION};version="3.1.0', "3.5.0", id="an open quote"),
    ],
)
def test_the_client_decides_the_spec(accept: str | None, version: str) -> None:
    assert negotiate(accept, typed(5, **PLAIN)) == Negotiated(version, typed(int(version[2]), **PLAIN))


def test_an_older_client_is_told_which_field_it_cannot_read() -> None:
    with pytest.raises(LossyTranslation) as refusal:
        negotiate(ignition("3.2.0"), typed(3, **KARGS))
    assert [problem.path for problem in refusal.value.problems] == ["$.kernelArguments"]
    assert refusal.value.version == "3.2.0"


def test_a_less_preferred_spec_is_served_when_it_can_hold_the_config() -> None:
    accept = f"{IGNITION};version=3.1.0, {IGNITION};version=3.4.0;q=0.5"
    assert negotiate(accept, typed(5, **KARGS)) == Negotiated("3.4.0", typed(4, **KARGS))


def test_of_several_refusals_that_of_the_preferred_spec_is_told() -> None:
    with pytest.raises(LossyTranslation) as refusal:
        negotiate(f"{IGNITION};version=3.1.0;q=0.5, {IGNITION};version=3.2.0", typed(3, **KARGS))
    assert refusal.value.version == "3.2.0"


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (f"{IGNITION}; version=2.4.0, {IGNITION}; version=1; q=0.5, */*; q=0.1", "2.4.0"),
        (ignition("2.1.0"), "2.1.0"),
        (f"{IGNITION};version=1", "1"),
        (ignition("3.0.0-experimental"), "3.0.0-experimental"),
    ],
)
def test_a_client_before_spec_3_is_refused(accept: str, version: str) -> None:
    with pytest.raises(UnknownSpec, match=rf"the newest Ignition spec that the client reads is '{version}'; known are 3\.0\.0, "):
        negotiate(accept, typed(3))


def test_a_text_is_served_as_its_config() -> None:
    text = '{"ignition": {"version": "3.3.0"}, "systemd": {"units": [{"name": "a.timer"}]}}'
    assert negotiate(ignition("3.1.0"), text) == Negotiated("3.1.0", typed(1, systemd={"units": [{"name": "a.timer"}]}))


def test_a_text_that_ignition_refuses_is_not_served() -> None:
    with pytest.raises(DocumentError, match="unexpected end of JSON input"):
        negotiate(None, "{")


_PIECES = st.sampled_from(
    [
        IGNITION,
        ";version=",
        "3.1.0",
        "3.5.0",
        "2.4.0",
        ";q=",
        "0",
        "0.5",
        "1",
        ",",
        ";",
        " ",
        '"',
        "\\",
        "=",
        "*/*",
        "-",
        "9" * 5000,
    ]
)


@given(st.text() | st.lists(_PIECES).map("".join))
@example(f"{IGNITION};version=3.{'9' * 5000}.0")
@example(f"{IGNITION};version=3.1.0;q=²")
def test_any_header_gets_a_config_or_a_refusal(accept: str) -> None:
    config = typed(6, **KARGS)
    try:
        negotiated = negotiate(accept, config)
    except (LossyTranslation, UnknownSpec) as refusal:
        assert IGNITION in accept.lower(), refusal  # noqa: PT017 - which of the outcomes it is, is up to the header
    else:
        assert negotiated.config == config.in_version(negotiated.version)
        assert negotiated.version in ("3.3.0", "3.4.0", "3.5.0", "3.6.0")


def test_a_long_header_takes_no_long_time() -> None:
    for piece in ('"', "\\", '";', "a/b;", f"{IGNITION};version=3.1.0;", ',"\\'):
        assert negotiate(piece * (60_000 // len(piece)), typed(0)).version == "3.0.0"
