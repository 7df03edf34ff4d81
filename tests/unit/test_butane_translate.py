"""Butane documents to Ignition configs: whole outputs, and refusals at their place."""

import json
from pathlib import Path

import pytest

from ignition import butane, model
from ignition.butane import Translation, convert
from ignition.document import load
from ignition.rules import validate
from tests.local_files import FakeFiles, Link, Node

GOLDEN = Path(__file__).parents[1] / "golden" / "butane"
HEAD = "variant: flatcar\nversion: 1.0.0\n"
FILES = FakeFiles(
    {
        "keys.pub": b"ssh-ed25519 AAAA second\r\n\nssh-rsa BBBB third",
        "local.conf": b"[Service]\nEnvironment=A=b\n",
        "tree/.hidden": b"",
        "tree/bin/tool": Node(b"#!/bin/sh\n", 0o755),
        "tree/current": Link("bin/tool"),
        "tree/etc/motd": b"Welcome\n",
    }
)


def translate(text: str, *, strict: bool = False) -> Translation:
    return butane.translate(load(text, "host.bu"), strict=strict)


def problems(text: str) -> list[str]:
    return [problem.located.removeprefix("host.bu:") for problem in translate(text).problems]


@pytest.mark.parametrize("name", ["host", "minimal"])
def test_documents_translate_to_the_recorded_bytes(name: str) -> None:
    translation = translate((GOLDEN / f"{name}.bu").read_text())
    assert translation.problems == ()
    assert translation.config is not None
    assert model.encode(translation.config) + b"\n" == (GOLDEN / f"{name}.ign").read_bytes()


def test_what_is_absent_leaves_no_trace_and_a_null_for_a_mapping_a_warning() -> None:
    converted = convert((GOLDEN / "zeroes.bu").read_bytes())
    assert converted.output == (GOLDEN / "zeroes.ign").read_bytes()
    assert [message.split(". ")[0] for message in converted.messages] == [
        (
            "warning at $.storage.files.0.contents, line 14 col 16: "
            "context tree does not match content tree at $.storage.files.0.contents"
        )
    ]


@pytest.mark.parametrize("name", ["coreos", "flatcar"])
def test_what_is_generated_is_merged_under_what_the_document_says(name: str) -> None:
    converted = convert((GOLDEN / f"{name}.bu").read_bytes(), files=FILES, pretty=True)
    assert converted.messages == ()
    assert (converted.output or b"").decode() == (GOLDEN / f"{name}.ign").read_text()


@pytest.mark.parametrize("name", ["host", "minimal", "zeroes", "coreos", "flatcar"])
def test_translated_configs_are_valid(name: str) -> None:
    assert validate((GOLDEN / f"{name}.ign").read_bytes()).problems == ()


@pytest.mark.parametrize(
    ("variant", "spec"),
    [
        *(("fcos", minor) for minor in zip(range(8), (0, 1, 2, 2, 3, 4, 5, 6), strict=True)),
        *(("flatcar", minor) for minor in ((0, 3), (1, 4))),
    ],
)
def test_every_release_has_its_spec(variant: str, spec: tuple[int, int]) -> None:
    output = convert(f"variant: {variant}\nversion: 1.{spec[0]}.0\n").output
    assert json.loads(output or b"") == {"ignition": {"version": f"3.{spec[1]}.0"}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["1: error: error parsing variant; must be specified"]),
        ("version: 1.0.0", ["1: error: error parsing variant; must be specified"]),
        ("variant: fcos", ["1: error: error parsing version; must be a valid semver"]),
        ("variant: fcos\nversion: 1.5", ["2: error: error parsing version; must be a valid semver"]),
        ("variant: fcos\nversion: 1.9.0", ["2: error: No translator exists for variant fcos with version 1.9.0"]),
        ("variant: FCOS\nversion: 1.05.0+x", ["2: error: No translator exists for variant FCOS with version 1.5.0+x"]),
        (
            "variant: openshift\nversion: 4.14.0",
            [
                (
                    "2: error: variant openshift with version 4.14.0 is out of scope here: "
                    "fcos 1.0.0 to 1.7.0 and flatcar 1.0.0 and 1.1.0 are translated"
                )
            ],
        ),
        (
            "variant: rhcos\nversion: 0.1.0",
            [
                (
                    "2: error: rhcos variant has been removed; use openshift variant instead: "
                    "https://coreos.github.io/butane/upgrading-openshift/"
                )
            ],
        ),
    ],
)
def test_only_known_releases_are_translated(text: str, found: list[str]) -> None:
    assert problems(text) == found
    assert translate(text).config is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "storage:\n  files:\n    - path: /a\n      content: {inline: x}",
            "6: warning: $.storage.files.0.content: unused key content (did you mean 'contents'?)",
        ),
        ("grub: {users: []}", "3: warning: $.grub: unused key grub (known are: version, variant, ignition"),
        (
            "ignition: {version: 3.3.0}",
            "3: warning: $.ignition.version: unused key version (known are: config, proxy, security, timeouts)",
        ),
        (
            "storage:\n  trees:\n    - {local: a, file_mode: 0600}",
            "5: warning: $.storage.trees.0.file_mode: unused key file_mode",
        ),
    ],
)
def test_keys_that_a_release_does_not_know(text: str, found: str) -> None:
    assert problems(HEAD + text)[0].startswith(found)


def test_broken_rules_point_into_the_document() -> None:
    text = HEAD + (
        "storage:\n"
        "  disks:\n"
        "    - device: vda\n"
        "      partitions:\n"
        "        - {number: 1, size_mib: 1, type_guid: x}\n"
        "  files:\n"
        "    - path: relative\n"
        "      overwrite: true\n"
    )
    assert problems(text) == [
        "5: error: $.storage.disks.0.device: path not absolute",
        '7: error: $.storage.disks.0.partitions.0.type_guid: doesn\'t match the form "01234567-89AB-CDEF-EDCB-A98765432101"',
        "9: error: $.storage.files.0.path: path not absolute",
        "10: error: $.storage.files.0.overwrite: overwrite must be false if source is unspecified",
    ]


def test_warnings_hold_a_config_back_only_when_asked_to() -> None:
    text = HEAD + "storage:\n  directories:\n    - {path: /a, mode: 755}\n"
    assert [problem.severity for problem in translate(text).problems] == ["warning", "warning"]
    assert translate(text).config is not None
    assert [problem.severity for problem in translate(text, strict=True).problems] == ["error", "error"]
    assert translate(text, strict=True).config is None


def test_texts_that_old_specs_cannot_leave_out_are_empty() -> None:
    document = (
        "version: 1.3.0\nvariant: fcos\nstorage:\n"
        "  links: [{path: /a}]\n"
        "  luks: [{name: a, device: /dev/a, clevis: {custom: {}}}]\n"
    )
    assert json.loads(convert(document).output or b"")["storage"] == {
        "links": [{"path": "/a", "target": ""}],
        "luks": [{"name": "a", "device": "/dev/a", "clevis": {"custom": {"config": "", "pin": ""}}}],
    }
    assert convert(document.replace("1.3.0", "1.4.0")).messages[0].endswith("link target is required")
