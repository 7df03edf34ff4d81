"""What is read from the YAML of a Butane document, and what is said of the rest: yaml.v3's rules and words."""

import json
from typing import Any

import pytest

from ignition.butane import convert, translate
from ignition.document import load

HEAD = "variant: fcos\nversion: 1.5.0\n"


def failure(text: str | bytes) -> str:
    converted = convert(text)
    assert converted.output is None
    return "\n".join(converted.messages).removeprefix("Error translating config: ")


def config(text: str) -> dict[str, Any]:
    converted = convert(HEAD + text)
    assert (converted.messages, converted.is_fatal) == ((), False)
    return {key: value for key, value in json.loads(converted.output or b"").items() if key != "ignition"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("42", "line 1: cannot unmarshal !!int `42` into config.commonFields"),
        ("- a", "line 1: cannot unmarshal !!seq into config.commonFields"),
        ("variant: [fcos]\nversion: 1.5.0", "line 1: cannot unmarshal !!seq into string"),
        ("variant: fcos\nvariant: fcos", 'line 2: mapping key "variant" already defined at line 1'),
    ],
)
def test_a_header_of_the_wrong_type(text: str, message: str) -> None:
    assert failure(text) == f"Error unmarshaling yaml: yaml: unmarshal errors:\n  {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("storage: x", "line 3: cannot unmarshal !!str `x` into v0_5.Storage"),
        ("storage: {files: {}}", "line 3: cannot unmarshal !!map into []v0_5.File"),
        ("storage: {files: [{mode: '0644'}]}", "line 3: cannot unmarshal !!str `0644` into int"),
        ("storage: {files: [{mode: 99999999999999999999}]}", "line 3: cannot unmarshal !!float `9999999...` into int"),
        ("storage: {files: [{mode: 2001-01-01}]}", "line 3: cannot unmarshal !!timestamp `2001-01-01` into int"),
        ("storage: {files: [{overwrite: 'true'}]}", "line 3: cannot unmarshal !!str `true` into bool"),
        ("storage: {files: [{contents: {http_headers: x}}]}", "line 3: cannot unmarshal !!str `x` into v0_5.HTTPHeaders"),
        ("storage: {raid: [{devices: [[]]}]}", "line 3: cannot unmarshal !!seq into v0_5.Device"),
        ("boot_device: {mirror: 1}", "line 3: cannot unmarshal !!int `1` into v1_5.BootDeviceMirror"),
        ("boot_device: {luks: {tang: x}}", "line 3: cannot unmarshal !!str `x` into []v0_5.Tang"),
        ("storage:\n  files: []\n  files: []", 'line 5: mapping key "files" already defined at line 4'),
    ],
)
def test_values_of_the_wrong_type(text: str, message: str) -> None:
    assert failure(HEAD + text) == f"yaml: unmarshal errors:\n  {message}"


def test_every_value_of_the_wrong_type_is_reported() -> None:
    text = HEAD + "storage:\n  files:\n    - path: [a]\n      overwrite: maybe\n"
    lines = ["line 5: cannot unmarshal !!seq into string", "line 6: cannot unmarshal !!str `maybe` into bool"]
    assert failure(text) == "yaml: unmarshal errors:\n  " + "\n  ".join(lines)
    assert [problem.located for problem in convert(text, file="a.bu").report.problems] == [
        "a.bu:5: error: $.storage.files.0.path: expected a string, found a list",
        "a.bu:6: error: $.storage.files.0.overwrite: expected true or false, found the string 'maybe'",
    ]


def test_what_nobody_reads_may_be_anything() -> None:
    assert convert(HEAD + "other: {a: 1, a: 2}\n").messages == ("warning at $.other, line 3 col 1: unused key other",)


@pytest.mark.parametrize(
    ("mode", "value"),
    [("0644", 420), ("0o644", 420), ("0x1A4", 420), ("4_2_0", 420), ("420.0", 420), ("420.9", 420), ("!!int '420'", 420)],
)
def test_numbers(mode: str, value: int) -> None:
    assert config(f"storage: {{directories: [{{path: /a, mode: {mode}}}]}}") == {
        "storage": {"directories": [{"path": "/a", "mode": value}]}
    }


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("'Off'", False), ("y", True), ("TRUE", True)])
def test_booleans(word: str, value: bool) -> None:
    assert config(f"storage: {{directories: [{{path: /a, overwrite: {word}}}]}}") == {
        "storage": {"directories": [{"path": "/a", "overwrite": value}]}
    }


def test_any_scalar_is_text_where_text_is_asked_for() -> None:
    assert config("passwd:\n  users:\n    - {name: 007, groups: [no, 5, 1.0, 2001-01-01, true]}\n") == {
        "passwd": {"users": [{"name": "007", "groups": ["no", "5", "1.0", "2001-01-01", "true"]}]}
    }


def test_null_is_absent_and_no_entry_of_a_list() -> None:
    assert config("kernel_arguments: {should_exist: [a, ~, b], should_not_exist: ~}\n") == {
        "kernelArguments": {"shouldExist": ["a", "b"]}
    }


def test_a_struct_that_is_null_cannot_be_searched_for_unused_keys() -> None:
    message = "context tree does not match content tree at $.storage. "
    consequence = "Line and column reporting may be inconsistent. Unused keys may not be reported."
    assert convert(HEAD + "storage:\n").messages == (f"warning at $.storage, line 3 col 9: {message}{consequence}",)


def test_an_alias_stands_for_its_anchor_and_is_located_where_it_stands() -> None:
    text = HEAD + "storage:\n  files:\n    - path: &path relative\n    - path: *path\n"
    assert convert(text).messages[-2:-1] == ("error at $.storage.files.1.path, line 6 col 13: path not absolute",)


def test_keys_below_an_alias_are_not_looked_at() -> None:
    text = HEAD + "storage:\n  directories:\n    - &node {path: /a, other: 1}\n  files:\n    - *node\n"
    assert [message.split(": ", 1)[0] for message in convert(text).messages] == [
        "warning at $.storage.directories.0.other, line 5 col 24",
        "warning at $.storage.files.0, line 7 col 7",
        "error at $.storage.files.0, line 7 col 7",
        "Error translating config",
    ]


def test_merge_keys_bring_what_is_not_given() -> None:
    text = HEAD + (
        "storage:\n  files:\n"
        "    - &first {path: /a, mode: 0600, overwrite: false}\n"
        "    - {<<: *first, path: /b}\n"
        "    - {<<: [{mode: 0400}, *first], path: /c}\n"
    )
    converted = convert(text)
    assert json.loads(converted.output or b"")["storage"]["files"] == [
        {"path": "/a", "mode": 0o600, "overwrite": False},
        {"path": "/b", "mode": 0o600, "overwrite": False},
        {"path": "/c", "mode": 0o400, "overwrite": False},
    ]
    assert converted.messages == (
        "warning at $.storage.files.1.<<, line 6 col 8: unused key <<",
        "warning at $.storage.files.2.<<, line 7 col 8: unused key <<",
    )


def test_only_mappings_can_be_merged() -> None:
    message = "yaml: map merge requires map or sequence of maps as the value"
    assert failure(HEAD + "storage: {<<: 1}\n") == message
    assert failure(HEAD + "<<: [1]\n") == f"Error unmarshaling yaml: {message}"


def test_even_the_header_can_be_merged() -> None:
    assert convert("base: &base {variant: fcos, version: 1.5.0}\n<<: *base\n").output == b'{"ignition":{"version":"3.4.0"}}\n'


def test_only_the_first_document_counts() -> None:
    assert config("---\nfoo: [\n") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"storage:\n\tfiles: []\n", "line 2: found character that cannot start any token"),
        (b"a: [1\n", "line 1: did not find expected ',' or ']'"),
        (b"a: *b\n", "unknown anchor 'b' referenced"),
        (b"a: &a [*a]\n", "anchor 'a' value contains itself"),
        (b"a: \x01\n", "control characters are not allowed"),
        (b"a: \xff\n", "invalid leading UTF-8 octet"),
        (b"a: !!int x\n", "cannot decode !!str `x` as a !!int"),
    ],
)
def test_text_that_is_no_yaml(text: bytes, message: str) -> None:
    assert failure(text) == f"Error unmarshaling yaml: yaml: {message}"


def test_depth_and_size_are_bounded() -> None:
    assert "nested more than 100 levels deep" in failure("a: " + "[" * 200)
    bomb = "a: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    assert "expands to more than 1,000,000 values" in failure(bomb)


def test_a_document_that_is_loaded_already_is_translated_the_same() -> None:
    translation = translate(load(HEAD + "storage: {files: [{path: [a]}]}", "host.bu"))
    assert translation.config is None
    assert [problem.located for problem in translation.problems] == [
        "host.bu:3: error: $.storage.files.0.path: expected a string, found a list"
    ]
