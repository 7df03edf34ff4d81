"""The same verdicts as the real ignition-validate, message by message, on configs broken at random.

Not compared: what Go says of values of the wrong type (here all are reported, there the first one), and its warnings that the
document and the config differ in shape. Everything else agrees in severity, path, text, line and column.
"""

import copy
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ignition.validate import validate

_LINE = re.compile(r"(error|warning) at (\S+), line (\d+) col (\d+): (.*)")


@pytest.fixture(scope="module")
def tool() -> str:
    path = shutil.which("ignition-validate")
    if path is None:
        pytest.skip("looked for ignition-validate in PATH; it is in Debian's package ignition")
    return path


def _theirs(tool: str, raw: bytes) -> tuple[bool, list[str]]:
    done = subprocess.run([tool, "-"], input=raw, capture_output=True, timeout=20, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode != 0, (done.stdout + done.stderr).decode().splitlines()


def _ours(raw: bytes) -> tuple[bool, Counter[str]]:
    report = validate(raw)
    return report.is_fatal, Counter(
        f"{found.severity} at {found.path}, line {found.mark.line} col {found.mark.column}: {found.message}"
        for found in report.problems
    )


BASE: dict[str, Any] = {
    "ignition": {
        "version": "3.3.0",
        "config": {"merge": [{"source": "http://h/a"}], "replace": {"source": "https://h/b", "compression": "gzip"}},
        "proxy": {"httpProxy": "http://p", "httpsProxy": "https://p", "noProxy": ["a", "b"]},
        "security": {"tls": {"certificateAuthorities": [{"source": "data:,ca", "httpHeaders": []}]}},
        "timeouts": {"httpTotal": 30},
    },
    "kernelArguments": {"shouldExist": ["a"], "shouldNotExist": ["b"]},
    "passwd": {"users": [{"name": "core", "groups": ["a", "b"], "sshAuthorizedKeys": ["k"]}], "groups": [{"name": "g"}]},
    "storage": {
        "directories": [{"path": "/opt/a", "mode": 493}],
        "files": [
            {"path": "/etc/a", "mode": 420, "overwrite": True, "contents": {"source": "data:,a"}, "user": {"id": 1}},
            {"path": "/etc/b", "append": [{"source": "http://h/c", "httpHeaders": [{"name": "X-A", "value": "b"}]}]},
            {"path": "/etc/c", "contents": {"source": "data:;base64,YQ==", "verification": {"hash": "sha256-" + "0" * 64}}},
        ],
        "links": [{"path": "/etc/l", "target": "a", "group": {"name": "g"}}, {"path": "/etc/m", "target": "/x", "hard": True}],
        "disks": [
            {
                "device": "/dev/vda",
                "wipeTable": True,
                "partitions": [
                    {"number": 1, "label": "one", "startMiB": 1, "sizeMiB": 10},
                    {"number": 2, "label": "two", "startMiB": 11, "sizeMiB": 10, "shouldExist": True},
                ],
            }
        ],
        "filesystems": [{"device": "/dev/vda1", "format": "ext4", "label": "root", "path": "/", "mountOptions": ["ro"]}],
        "raid": [{"name": "md", "level": "raid1", "devices": ["/dev/a", "/dev/b"], "spares": 0}],
        "luks": [
            {"name": "l", "device": "/dev/c", "keyFile": {"source": "data:,k"}},
            {"name": "m", "device": "/dev/d", "clevis": {"tang": [{"url": "http://t", "thumbprint": "x"}], "threshold": 1}},
            {"name": "n", "device": "/dev/e", "clevis": {"custom": {"pin": "tang", "config": "{}", "needsNetwork": True}}},
        ],
    },
    "systemd": {
        "units": [
            {"name": "a.service", "enabled": True, "contents": "[Unit]\nA=b\n[Install]\nWantedBy=c\n"},
            {"name": "b.mount", "mask": True, "dropins": [{"name": "a.conf", "contents": "[Unit]\nA=b\n"}]},
        ]
    },
}  # fmt: skip

POOL: list[Any] = [
    *("", "/", "a", "/a", "/etc/a", "/etc/l", "/etc/l/x", "/etc/../a", "//a", "/opt/a", "a:b", "one", "x" * 37, "é" * 9),
    *("http://h/a", "ftp://h", "data:,a", "data:text/plain,a", "data:x", "http://[::1", "http://h:x/", "s3://b/k?versionId=", "gs://b"),
    *("gzip", "xz", "sha512-0", "sha512-" + "0" * 128, "md5-0", "sha256", "3.0.0", "3.1.0", "3.2.0", "3.4.0", "3.3", "01234567"),
    *("ext4", "xfs", "vfat", "none", "ntfs", "raid0", "raid9", "5", "tpm2", "sss", "a.service", "a.conf", "a.timer"),
    *("01234567-89AB-CDEF-EDCB-A98765432101", "[Unit]", "[Unit", "[Unit] x", "[Unit]\nA", "[Install]\nA=b", "# c \\"),
    *(0, 1, 2, 5, 11, -1, 420, 0o7777, 0o10000, 2**31, True, False, None),
    *([], {}, [""], ["a", "a"], {"id": 1, "name": "a"}, {"source": "http://h/a"}, [{"source": ""}], [{}], {"hash": "x-y"}),
]  # fmt: skip

Change = Callable[[Any, Any], None]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [place for key in keys for place in [(value, key), *_places(value[key])]]


@st.composite
def broken_configs(draw: st.DrawFn) -> dict[str, Any]:
    """The base config with one to three changes: a value replaced, removed or repeated, or a key renamed."""
    config = copy.deepcopy(BASE)
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(_places(config)))
        change = draw(st.sampled_from(["replace", "replace", "remove", "repeat", "rename"]))
        if change == "replace":
            container[key] = copy.deepcopy(draw(st.sampled_from(POOL)))
        elif change == "remove":
            del container[key]
        elif isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif change == "rename":
            container[draw(st.sampled_from([key.upper(), key + "s", "é"]))] = container.pop(key)
        if not config:
            break
    return config


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(broken_configs(), st.sampled_from([None, 1]))
def test_broken_configs_get_the_same_report(tool: str, config: dict[str, Any], indent: int | None) -> None:
    raw = json.dumps(config, indent=indent).encode()
    is_fatal, lines = _theirs(tool, raw)
    ours = _ours(raw)
    assert ours[0] == is_fatal, (lines, ours[1])
    located = [line for line in lines if _LINE.fullmatch(line)]
    assume(len(located) == len(lines) and not any("context tree does not match" in line for line in lines))
    assert ours[1] == Counter(located)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_text_gets_the_same_verdict(tool: str, data: st.DataObject) -> None:
    text = json.dumps(BASE)
    start = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 3))
    raw = (text[:start] + data.draw(st.text('{}[]",:\\ 0-e.n\n', max_size=2)) + text[start + length :]).encode()
    is_fatal, lines = _theirs(tool, raw)
    assert _ours(raw)[0] == is_fatal, lines


@pytest.mark.parametrize(
    "raw",
    [b"", b" ", b"null", b"[]", b"{}", b"{", b"\xff", b'{"ignition": {"version": "3.3.0"}}\x00', b'"3.3.0"', b"\xef\xbb\xbf{}"],
)
def test_what_is_no_config_gets_the_same_verdict(tool: str, raw: bytes) -> None:
    assert _ours(raw)[0] == _theirs(tool, raw)[0]


@pytest.mark.parametrize("size", [2040, 2048, 2049, 5000])
def test_long_unit_lines_get_the_same_verdict(tool: str, size: int) -> None:
    for contents in ("#" * size, "[" + "a" * size + "]", "[Unit]\nA=" + "b" * size + "\n", "[Unit]\n" + "a=b\n" * size):
        units = [{"name": "a.service", "contents": contents}]
        raw = json.dumps({"ignition": {"version": "3.3.0"}, "systemd": {"units": units}}).encode()
        assert _ours(raw)[0] == _theirs(tool, raw)[0], contents[:20]
