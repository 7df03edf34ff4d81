"""Where findings point when what they are about was generated, moved, or read from a file."""

import pytest

from ignition.butane import convert
from tests.local_files import FakeFiles, Link

FILES = FakeFiles({"bad.service": b"[Unit", "keys.pub": b"a\nb\n", "tree/a": b"", "tree/l": Link("a")})


def messages(text: str, variant: str = "fcos", version: str = "1.7.0") -> tuple[str, ...]:
    """What is found, without the last line, which says only that something was."""
    found = convert(f"variant: {variant}\nversion: {version}\n{text}", files=FILES).messages
    assert found[-1].startswith("Error translating config: ")
    return found[:-1]


def test_what_a_generated_unit_pushed_back_keeps_its_place() -> None:
    text = (
        "storage:\n"
        "  filesystems:\n"
        "    - {device: /dev/a, format: ext4, path: /var/a, with_mount_unit: true}\n"
        "systemd:\n"
        "  units:\n"
        "    - {name: first.service}\n"
        "    - {name: second}\n"
    )
    assert messages(text) == ("error at $.systemd.units.1.name, line 9 col 14: invalid systemd unit extension",)


def test_what_has_no_value_to_follow_is_said_of_its_place_in_the_result() -> None:
    text = (
        "storage:\n"
        "  filesystems:\n"
        "    - {device: /dev/a, format: ext4, path: /var/a, with_mount_unit: true}\n"
        "systemd:\n"
        "  units:\n"
        "    - {enabled: true}\n"
    )
    assert messages(text)[0] == "error at $.systemd.units.1.name, line 8 col 5: invalid systemd unit extension"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "boot_device: {layout: x86_64, mirror: {devices: [/dev/a, /dev/a]}}",
            "error at $.boot_device.mirror.devices.1, line 3 col 58: duplicate entry defined",
        ),
        (
            "boot_device: {layout: x86_64, mirror: {devices: [/dev/a, b]}}",
            "error at $.boot_device.mirror.devices.1, line 3 col 58: path not absolute",
        ),
        (
            "boot_device: {luks: {tang: [{url: t, thumbprint: x}]}}",
            "error at $.boot_device.luks.tang.0.url, line 3 col 35: invalid url scheme",
        ),
        (
            "boot_device: {luks: {tang: [{url: 'http://t'}]}}",
            "error at $.storage.luks.0.clevis.tang.0.thumbprint, line 1 col 1: thumbprint is required",
        ),
    ],
)
def test_what_is_generated_for_the_boot_disk(text: str, found: str) -> None:
    assert messages(text) == (found,)


def test_own_entries_keep_their_places_beside_those_of_the_boot_disk() -> None:
    text = (
        "boot_device: {luks: {tpm2: true}}\n"
        "storage:\n"
        "  filesystems:\n"
        "    - {device: /dev/a, format: ext4, label: abcdefghijklmnopq}\n"
        "    - {device: /dev/mapper/root, format: ext4, label: abcdefghijklmnopq}\n"
    )
    assert [message.split(": ")[0] for message in messages(text)] == [
        "error at $.storage.filesystems.1.label, line 7 col 55",
        "error at $.storage.filesystems.0.label, line 6 col 45",
    ]


def test_what_comes_from_files() -> None:
    text = (
        "systemd:\n"
        "  units:\n"
        "    - name: a.service\n"
        "      contents_local: bad.service\n"
        "storage:\n"
        "  trees:\n"
        "    - {local: tree, path: relative}\n"
        "ignition:\n"
        "  config:\n"
        "    replace: {local: keys.pub, compression: zip}\n"
    )
    assert messages(text) == (
        "error at $.ignition.config.replace.compression, line 12 col 45: invalid compression method",
        "error at $.storage.trees.0, line 9 col 7: path not absolute",
        "error at $.storage.trees.0, line 9 col 7: path not absolute",
        "error at $.systemd.units.0.contents_local, line 6 col 23: invalid unit content: unable to find end of section",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("storage: {files: [{path: /a, contents: {local: gone}}]}", "open files/gone: no such file or directory"),
        ("storage: {files: [{path: /a, contents: {local: tree}}]}", "read files/tree: is a directory"),
        ("storage: {files: [{path: /a, contents: {local: ../x}}]}", "local file path traverses outside the files directory"),
        ("storage: {trees: [{local: gone}]}", "stat files/gone: no such file or directory"),
        ("storage: {trees: [{local: keys.pub}]}", "root of tree must be a directory"),
        ("storage: {trees: [{local: tree}], links: [{path: /a, target: b}]}", "matching filesystem node has existing contents"),
        ("passwd: {users: [{name: a, ssh_authorized_keys_local: [gone]}]}", "open files/gone: no such file or directory"),
        ("systemd: {units: [{name: a.service, contents_local: gone}]}", "open files/gone: no such file or directory"),
    ],
)
def test_files_that_cannot_be_had(text: str, found: str) -> None:
    assert messages(text)[0].split(": ", 1)[1].startswith(found)


@pytest.mark.parametrize(
    "text",
    [
        "storage: {files: [{path: /a, contents: {local: keys.pub}}]}",
        "storage: {trees: [{local: tree}]}",
        "passwd: {users: [{name: a, ssh_authorized_keys_local: [keys.pub]}]}",
        "systemd: {units: [{name: a.service, dropins: [{name: a.conf, contents_local: keys.pub}]}]}",
    ],
)
def test_without_a_files_directory_there_are_no_files(text: str) -> None:
    found = convert(f"variant: fcos\nversion: 1.7.0\n{text}").messages[0]
    assert found.endswith("local file paths are relative to a files directory that must be specified with -d/--files-dir")
