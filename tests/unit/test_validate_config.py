"""Verdicts on configs: a report for every input, and each rule at its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition.rules import Report, validate

SPECIAL_BITS = "setuid/setgid/sticky bits are not supported in spec versions older than 3.4.0"
SHA512 = "sha512-" + "0" * 128


def config(minor: int = 3, **sections: Any) -> bytes:
    return json.dumps({"ignition": {"version": f"3.{minor}.0"}, **sections}).encode()


def found(raw: bytes) -> list[str]:
    return [f"{problem.severity}: {problem.path}: {problem.message}" for problem in validate(raw).problems]


def storage(**lists: Any) -> bytes:
    return config(storage=lists)


def test_a_valid_config_has_an_empty_report() -> None:
    raw = storage(files=[{"path": "/etc/a", "mode": 0o644, "contents": {"source": "data:,a"}}])
    assert validate(raw) == Report(())
    assert not validate(raw).is_fatal


def test_problems_carry_the_line_and_column_of_the_value() -> None:
    (problem,) = validate(b'{"ignition": {"version": "3.3.0"},\n "storage": {"files": [\n  {"path": "a"}]}}', "x.ign").problems
    assert (problem.mark.file, problem.mark.line, problem.mark.column) == ("x.ign", 3, 12)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not a config (empty)"),
        (b"  ", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a": 1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b'{"a": tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b'{"a": 1.}', "invalid character '}' after decimal point in numeric literal"),
        (b'{"a": 1e}', "invalid character '}' in exponent of numeric literal"),
        (b'{"a": -}', "invalid character '}' in numeric literal"),
        (b'{"a": 01}', "invalid character '1' after object key:value pair"),
        (b'{"a": "\\q"}', "invalid character 'q' in string escape code"),
        (b'{"a": "\n"}', "invalid character '\\n' in string literal"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b"\xff", "invalid character 'ï' looking for beginning of value"),
        (b"[" * 100_000, "invalid character '[' exceeded max depth"),
        (b"[]", "invalid config version (couldn't parse)"),
        (b"null", "invalid config version (couldn't parse)"),
        (b'{"ignition": {"version": 3}}', "invalid config version (couldn't parse)"),
        (b'{"ignition": {"version": "3.3"}}', "invalid config version (couldn't parse)"),
        (b'{"ignition": {"version": "+3.3.0"}}', "invalid config version (couldn't parse)"),
        (b'{"ignition": {"version": "3.4.0"}}', "unsupported config version"),
        (b'{"ignition": {"version": "3.3.1"}}', "unsupported config version"),
        (b'{"ignition": {"version": "2.2.0"}}', "unsupported config version"),
        (b'{"ignition": {"version": "3.3.0-experimental"}}', "unsupported config version"),
    ],
)
def test_what_is_no_config_is_fatal(raw: bytes, message: str) -> None:
    report = validate(raw)
    assert report.is_fatal
    assert [problem.message for problem in report.problems] == [message]


@pytest.mark.parametrize("version", ["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.03.0", "3.3.0+"])
def test_versions_are_read_as_semantic_versions(version: str) -> None:
    assert validate(json.dumps({"ignition": {"version": version}}).encode()) == Report(())


@pytest.mark.parametrize(
    ("raw", "problems"),
    [
        (config(other=1), ["warning: $.other: Unused key other"]),
        (storage(files=[{"path": "a"}]), ["error: $.storage.files.0.path: path not absolute"]),
        (storage(files=[{"path": "/a/../b"}]), ["error: $.storage.files.0.path: path is not fully simplified"]),
        (storage(files=[{"path": "//a"}]), ["error: $.storage.files.0.path: path is not fully simplified"]),
        (storage(files=[{}]), ["error: $.storage.files.0.path: path not specified"]),
        (storage(files=[{"path": "/a", "mode": 0o10000}]), ["error: $.storage.files.0.mode: illegal file mode"]),
        (
            storage(directories=[{"path": "/a", "mode": 0o2755}]),
            [f"warning: $.storage.directories.0.mode: {SPECIAL_BITS}"],
        ),
        (storage(files=[{"path": "/a", "overwrite": True}]),
         ["error: $.storage.files.0.overwrite: overwrite must be false if source is unspecified"]),
        (storage(files=[{"path": "/a", "user": {"id": 0, "name": "x"}}]),
         ["error: $.storage.files.0.user: cannot set both id and name"]),
        (storage(files=[{"path": "/a"}], links=[{"path": "/a", "target": "b"}]),
         ["error: $.storage.links.0: duplicate entry defined"]),
        (storage(links=[{"path": "/a"}]), ["error: $.storage.links.0.target: link target is required"]),
        (storage(links=[{"path": "/a", "target": "b"}], files=[{"path": "/a/b"}]),
         ["error: $.storage.files.0: file path includes link in config"]),
        (storage(links=[{"path": "/a/b", "target": "../../c", "hard": True}], directories=[{"path": "/a/c"}]), []),
        (storage(links=[{"path": "/a/b", "target": "/c", "hard": True}], directories=[{"path": "/c"}]),
         ["error: $.storage.links.0: hard link target is a directory"]),
        (storage(files=[{"path": "/a", "contents": {"compression": "xz"}}]),
         ["error: $.storage.files.0.contents.compression: invalid compression method"]),
        (storage(files=[{"path": "/a", "contents": {"verification": {"hash": SHA512}}}]),
         ["error: $.storage.files.0.contents.verification.hash: source must be specified if verification is specified"]),
        (storage(files=[{"path": "/a", "contents": {"source": "data:,", "verification": {"hash": "md5-0"}}}]),
         ["error: $.storage.files.0.contents.verification.hash: unrecognized hash function"]),
        (storage(files=[{"path": "/a", "contents": {"source": "data:,", "verification": {"hash": "sha256-0"}}}]),
         ["error: $.storage.files.0.contents.verification.hash: incorrect size for hash sum"]),
        (storage(files=[{"path": "/a", "contents": {"source": "data:,", "httpHeaders": [{"name": ""}]}}]),
         ["error: $.storage.files.0.contents.httpHeaders: cannot use HTTP headers with this source scheme",
          "error: $.storage.files.0.contents.httpHeaders.0.name: HTTP header name can't be empty"]),
        (storage(disks=[{"device": "/dev/a", "partitions": [{"number": 1}, {"number": 1, "label": "x:y"}]}]),
         ["error: $.storage.disks.0.partitions.1: partition numbers collide",
          "error: $.storage.disks.0.partitions.1: duplicate entry defined",
          "error: $.storage.disks.0.partitions.1.label: partition label will be truncated to text before the colon"]),
        (storage(filesystems=[{"device": "/dev/a", "format": "ntfs"}]),
         ["error: $.storage.filesystems.0.format: invalid filesystem format"]),
        (storage(raid=[{"name": "a", "level": "raid0", "spares": 1, "devices": ["/dev/a"]}]),
         ["error: $.storage.raid.0.level: spares unsupported for linear and raid0 arrays"]),
        (storage(luks=[{"name": "a/b", "device": "/dev/a"}]),
         ["error: $.storage.luks.0.name: device names cannot contain slashes"]),
        (config(passwd={"users": [{"name": "a"}, {"name": "a"}]}), ["error: $.passwd.users.1: duplicate entry defined"]),
        (config(systemd={"units": [{"name": "a.conf"}]}), ["error: $.systemd.units.0.name: invalid systemd unit extension"]),
        (config(systemd={"units": [{"name": "a.service", "dropins": [{"name": "b.service"}]}]}),
         ["error: $.systemd.units.0.dropins.0.name: invalid systemd drop-in extension"]),
        (config(systemd={"units": [{"name": "a.service", "enabled": True, "contents": "[Unit]\nA=b"}]}),
         ['warning: $.systemd.units.0.contents: unit "a.service" is enabled, but has no install section so enable does nothing']),
        (config(systemd={"units": [{"name": "a.service", "contents": "[Unit"}]}),
         ["error: $.systemd.units.0.contents: invalid unit content: unable to find end of section"]),
        (config(kernelArguments={"shouldExist": ["a"], "shouldNotExist": ["a"]}),
         ["error: $.kernelArguments.shouldNotExist.0: duplicate entry defined"]),
    ],
)  # fmt: skip
def test_each_rule_is_reported_at_its_place(raw: bytes, problems: list[str]) -> None:
    assert found(raw) == problems


def test_older_specs_know_less() -> None:
    assert found(config(2, kernelArguments={})) == ["warning: $.kernelArguments: Unused key kernelArguments"]
    assert found(config(0, storage={"links": [{"path": "/a"}]})) == []


def test_a_type_error_hides_the_rules_but_not_other_type_errors() -> None:
    report = validate(storage(files=[{"path": 5}, {"path": "relative", "mode": "x"}]))
    assert [problem.path for problem in report.problems] == ["$.storage.files.0.path", "$.storage.files.1.mode"]


_BASE = json.loads(
    storage(
        files=[{"path": "/etc/a", "contents": {"source": "http://h/a", "httpHeaders": [{"name": "a", "value": "b"}]}}],
        disks=[{"device": "/dev/vda", "partitions": [{"number": 1, "sizeMiB": 1, "startMiB": 1}]}],
        links=[{"path": "/etc/b", "target": "a"}],
    )
)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.binary())
def test_arbitrary_bytes_have_a_report(raw: bytes) -> None:
    assert validate(raw).is_fatal


@given(st.sampled_from(["ignition", "storage", "systemd", "passwd", "kernelArguments"]), _ANYTHING)
def test_arbitrary_values_in_a_section_have_a_report(section: str, value: Any) -> None:
    for raw in (json.dumps({**_BASE, section: value}), json.dumps({**_BASE, section: value}, ensure_ascii=False)):
        assert isinstance(validate(raw.encode("utf-8", "surrogatepass")), Report)


def test_a_lone_surrogate_is_read_as_go_reads_it() -> None:
    assert found(b'{"ignition": {"version": "3.3.0"}, "\\ud800": 1}') == ["warning: $.\ufffd: Unused key \ufffd"]


def test_deep_nesting_in_an_unknown_key_is_only_unknown() -> None:
    raw = b'{"ignition": {"version": "3.3.0"}, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert found(raw) == ["warning: $.x: Unused key x"]
