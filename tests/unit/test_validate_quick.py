"""What the quick path takes for valid is what the path by way of nodes finds nothing in, and reads as the same config."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ignition.rules import config as rules
from ignition.rules.config import Parsed, Report, parse
from ignition.rules.quick import valid_config
from tests.broken_configs import broken_configs
from tests.configs import MINORS, Layout, layouts, valid_configs

_ANY_CONFIG = st.sampled_from(MINORS).flatmap(lambda minor: valid_configs(minor) | broken_configs(minor, most=1))
_MUCH = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def parsed_by_nodes(raw: bytes) -> Parsed:
    """What `parse` says where the quick path knows nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "valid_config", lambda raw: None)
        return parse(raw)


def assert_sound(raw: bytes) -> None:
    config = valid_config(raw)
    if config is not None:
        assert parsed_by_nodes(raw) == Parsed(config, Report())


def plain(minor: int) -> dict[str, Any]:
    """A config of the kind that a server renders."""
    contents = {"source": "data:,a%20b", "verification": {"hash": "sha512-" + "0" * 128}}
    unit = {"name": "a.service", "enabled": True, "contents": "[Unit]\nA=<b>\n# é\n[Install]\nWantedBy=c\n"}
    return {
        "ignition": {"version": f"3.{minor}.0", "timeouts": {"httpTotal": 30}},
        "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["k"]}]},
        "storage": {
            "files": [{"path": "/etc/a", "mode": 420, "overwrite": True, "contents": contents}],
            "links": [{"path": "/etc/b", "target": "/dev/null"}],
        },
        "systemd": {"units": [unit]},
    }


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize(
    "layout", [Layout(), Layout(1, "\r\n"), Layout("\t", escapes="ascii"), Layout(escapes="all"), Layout(order=1)]
)
def test_plain_configs_of_every_spec_are_told_in_every_layout(minor: int, layout: Layout) -> None:
    raw = layout.render(plain(minor))
    assert valid_config(raw) is not None
    assert_sound(raw)


def test_a_plain_config_is_parsed_without_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Layout().render(plain(3))
    expected = parsed_by_nodes(raw)
    monkeypatch.delattr(rules, "read_located")
    assert parse(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"ignition":{}}',
        b'{"ignition":{"version":"2.2.0"}}',
        b'{"ignition":{"version":"3.9.0"}}',
        b'{"ignition":{"version":"3.03.0"}}',
        b'{"ignition":{"version":"3.3.0+"}}',
        b'{"ignition":{"version":"3.3.0"}}\0',
        b'{"ignition":{"version":"3.3.0"}} {}',
        b'{"ignition":{"version":"3.3.0"},}',
        b'{"ignition":{"version":"3.3.0"},"x":1}',
        b'{"ignition":{"version":"3.3.0"},"Storage":{"files":[]}}',
        b'{"ignition":{"version":"3.3.0"},"storage":null}',
        b'{"ignition":{"version":"3.3.0"},"storage":{}}',
        b'{"ignition":{"version":"3.3.0"},"storage":{"files":[]}}',
        b'{"ignition":{"version":"3.3.0"},"storage":{"files":[null]}}',
        b'{"ignition":{"version":"3.3.0"},"storage":{"files":[]},"storage":{"links":[]}}',
        b'{"ignition":{"version":"3.3.0"},"storage":{"files":[]},"st\\u006frage":{"links":[]}}',
        b'{"ignition":{"version":"3.0.0","version":"3.3.0"}}',
        b'{"ignition":{"version":"3.3.0","timeouts":{"httpTotal":1.0}}}',
        b'{"ignition":{"version":"3.3.0","timeouts":{"httpTotal":1e2}}}',
        b'{"ignition":{"version":"3.3.0","timeouts":{"httpTotal":9223372036854775808}}}',
        b'{"ignition":{"version":"3.3.0","timeouts":{"httpTotal":true}}}',
        b'{"ignition":{"version":"3.3.0","timeouts":{"httpTotal":"1"}}}',
        b'{"ignition":{"version":"3.0.0","proxy":{"noProxy":[]}}}',
        b'{"ignition":{"version":"3.2.0"},"kernelArguments":{"shouldExist":[]}}',
        b'{"ignition":{"version":"3.3.0"},"passwd":{"users":[{"name":"\\ud800"}]}}',
        b'{"ignition":{"version":"3.3.0"},"passwd":{"users":[{"name":"\xff"}]}}',
        b'{"ignition":{"version":"3.3.0"},"passwd":{"users":[{"name":"\xed\xa0\x80"}]}}',
        b'{"ignition":{"version":"3.3.0"},"passwd":{"users":[{"name":"a\nb"}]}}',
        b'\xef\xbb\xbf{"ignition":{"version":"3.3.0"}}',
        b"[" * 1_000_000,
        b'{"x":' * 1_000_000,
        b'{"ignition":{"version":"3.3.0"},"x":' + b"[" * 1_000_000,
        json.dumps({"ignition": {"version": "3.3.0"}}).encode("utf-16"),
    ],
    ids=lambda raw: repr(raw[-50:]),
)
def test_nothing_is_said_of_what_is_unusual(raw: bytes) -> None:
    assert valid_config(raw) is None


def test_nothing_is_said_of_a_config_with_a_warning() -> None:
    assert valid_config(b'{"ignition":{"version":"3.3.0"},"systemd":{"units":[{"name":"a.service","enabled":true}]}}') is not None
    unit = b'{"name":"a.service","enabled":true,"contents":"[Unit]\\nA=b"}'
    assert valid_config(b'{"ignition":{"version":"3.3.0"},"systemd":{"units":[' + unit + b"]}}") is None


@settings(_MUCH, max_examples=150)
@given(layouts(), _ANY_CONFIG)
def test_valid_means_an_empty_report(layout: Layout, config: Any) -> None:
    assert_sound(layout.render(config))


@settings(_MUCH, max_examples=150)
@given(st.sampled_from(MINORS), st.data())
def test_valid_means_an_empty_report_for_damaged_text(minor: int, data: st.DataObject) -> None:
    text = Layout().render(plain(minor))
    start, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 4))
    assert_sound(
        text[:start]
        + data.draw(st.sampled_from([b"", b"null", b"1", b"{}", b"\\", b"e", b" ", b'"', b"\xff"]))
        + text[start + length :]
    )
