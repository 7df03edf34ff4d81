"""Butane documents to Ignition configs, whole outputs and located refusals."""

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ignition import butane, model
from ignition.butane import Translation, data_url
from ignition.document import load
from ignition.validate import decode_data_url, validate

GOLDEN = Path(__file__).parents[1] / "golden" / "butane"
HEAD = "variant: flatcar\nversion: 1.0.0\n"


def translate(text: str) -> Translation:
    return butane.translate(load(text, "host.bu"))


def problems(text: str) -> list[str]:
    return [str(problem).removeprefix("host.bu:") for problem in translate(text).problems]


@pytest.mark.parametrize("name", ["host", "minimal", "zeroes"])
def test_documents_translate_to_the_recorded_bytes(name: str) -> None:
    translation = translate((GOLDEN / f"{name}.bu").read_text())
    assert translation.problems == ()
    assert translation.config is not None
    assert model.encode(translation.config) + b"\n" == (GOLDEN / f"{name}.ign").read_bytes()


@pytest.mark.parametrize("name", ["host", "minimal", "zeroes"])
def test_translated_configs_are_valid(name: str) -> None:
    assert validate((GOLDEN / f"{name}.ign").read_bytes()).problems == ()


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- 1", ["1: error: $: expected a mapping, found a list"]),
        ("", ["1: error: $: expected a mapping, found nothing"]),
        (
            "version: 1.0.0",
            ["1: error: $: error parsing variant; must be specified (supported are: fcos 1.4.0, flatcar 1.0.0)"],
        ),
        (
            "variant: fcos\nversion: 1.6.0",
            ["2: error: $: no translator for fcos 1.6.0 (supported are: fcos 1.4.0, flatcar 1.0.0)"],
        ),
        (
            "variant: openshift\nversion: 1.4.0",
            ["1: error: $: no translator for openshift 1.4.0 (supported are: fcos 1.4.0, flatcar 1.0.0)"],
        ),
    ],
)
def test_only_known_variants_are_translated(text: str, found: list[str]) -> None:
    assert problems(text) == found
    assert translate(text).config is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "storage:\n  files:\n    - path: /a\n      content: {inline: x}",
            ["6: error: $.storage.files.0.content: unknown key 'content' (did you mean 'contents'?)"],
        ),
        (
            "storage:\n  files:\n    - path: /a\n      contents: {local: a}",
            ["6: error: $.storage.files.0.contents.local: local is not supported (use inline or source)"],
        ),
        (
            "storage:\n  files:\n    - path: /a\n      contents: {inline: a, source: 'data:,a'}",
            ["6: error: $.storage.files.0.contents.source: only one of the following can be set: inline, local, source"],
        ),
        (
            "storage:\n  trees: [{local: a}]",
            ["4: error: $.storage.trees: trees is not supported (list the files)"],
        ),
        (
            "storage:\n  filesystems:\n    - {device: /dev/vda, with_mount_unit: true}",
            [
                (
                    "5: error: $.storage.filesystems.0.with_mount_unit: with_mount_unit is not supported "
                    "(write the mount unit under systemd.units)"
                )
            ],
        ),
        (
            "boot_device: {mirror: {devices: [a, b]}}",
            ["3: error: $.boot_device: boot_device is not supported (partition tables of the boot disk are not generated here)"],
        ),
        (
            "storage:\n  luks:\n    - {name: a, device: /dev/a, clevis: {tpm2: true}}",
            ["5: error: $.storage.luks.0.clevis: clevis is not supported in this spec version"],
        ),
        (
            "storage:\n  files:\n    - path: [a]\n      mode: '0644'\n      overwrite: maybe",
            [
                "5: error: $.storage.files.0.path: expected a string, found a list",
                "6: error: $.storage.files.0.mode: expected an integer, found the string '0644'",
                "7: error: $.storage.files.0.overwrite: expected true or false, found the string 'maybe'",
            ],
        ),
        (
            'ignition:\n  config:\n    merge:\n      - inline: \'{"ignition": {"version": "x"}}\'',
            ["6: error: $.ignition.config.merge.0.inline: config is not valid: invalid config version (couldn't parse)"],
        ),
        (
            "ignition: {version: 3.3.0}",
            ["3: error: $.ignition.version: unknown key 'version' (Butane chooses the spec version)"],
        ),
    ],
)
def test_what_cannot_be_translated_names_its_line(text: str, found: list[str]) -> None:
    assert problems(HEAD + text) == found
    assert translate(HEAD + text).config is None


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


@pytest.mark.parametrize(("mode", "is_warned"), [("644", True), ("0644", False), ("755", True), ("493", False), ("0", False)])
def test_a_mode_that_was_meant_in_octal_is_a_warning(mode: str, is_warned: bool) -> None:
    found = problems(HEAD + f"storage:\n  files:\n    - path: /a\n      mode: {mode}\n")
    message = "unreasonable mode would be reasonable if specified in octal; remember to add a leading zero"
    assert (f"6: warning: $.storage.files.0.mode: {message}" in found) is is_warned


def test_warnings_do_not_hold_a_config_back() -> None:
    translation = translate(HEAD + "storage:\n  directories:\n    - {path: /a, mode: 755}\n")
    assert translation.config is not None
    assert len(translation.problems) == 2


def test_any_scalar_is_text_where_text_is_asked_for() -> None:
    translation = translate(HEAD + "passwd:\n  users:\n    - {name: 007, groups: [no, 5, 1.0]}\n")
    assert translation.config is not None
    assert translation.config.passwd == model.Passwd(users=(model.PasswdUser(name="007", groups=("no", "5", "1.0")),))
