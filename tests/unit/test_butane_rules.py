"""What Butane itself refuses or doubts, release by release."""

import pytest

from ignition.butane import convert


def messages(text: str, variant: str, version: str) -> list[str]:
    found = convert(f"variant: {variant}\nversion: {version}\n{text}").messages
    return [message.split(", line")[0] + ": " + message.split(": ", 1)[1] for message in found if " at " in message]


MIRROR = "boot_device: {mirror: {devices: [/dev/a, /dev/b]}}"


@pytest.mark.parametrize(("version", "severity"), [("1.3.0", "warning"), ("1.6.0", "warning"), ("1.7.0", "error")])
def test_a_mirror_names_its_layout(version: str, severity: str) -> None:
    assert messages(MIRROR, "fcos", version) == [
        f"{severity} at $.boot_device.mirror: boot_device.layout should be specified when boot_device.mirror is specified"
    ]


@pytest.mark.parametrize(
    ("version", "device", "found"),
    [
        ("1.5.0", "{layout: s390x-eckd}", ["$.boot_device.layout: layout must be one of: aarch64, ppc64le, x86_64"]),
        ("1.6.0", "{layout: s390x-eckd}", ["$.boot_device.layout: device is required for layouts: s390x-eckd, s390x-zfcp"]),
        (
            "1.6.0",
            "{layout: s390x-zfcp, luks: {device: /dev/sda1}}",
            [
                (
                    "$.boot_device.layout: device name must start with /dev/dasd on s390x-eckd layout "
                    "or /dev/sd on s390x-zfcp layout"
                )
            ],
        ),
        ("1.7.0", "{luks: {device: /dev/sda, tang: [{}]}}", ["$.boot_device.luks.luks: no method specified for luks"]),
        ("1.6.0", "{luks: {device: /dev/sda, tang: [{}]}}", ["$.storage.luks.0.clevis.tang.0.url: invalid url"]),
        (
            "1.6.0",
            "{layout: s390x-virt, luks: {cex: {enabled: true}, tpm2: true}}",
            ["$.boot_device.luks: cannot use cex with clevis"],
        ),
        (
            "1.4.0",
            "{layout: x86_64, mirror: {devices: [/dev/a]}}",
            ["$.boot_device.mirror.devices: mirroring requires at least two devices"] * 2,
        ),
    ],
)
def test_boot_devices(version: str, device: str, found: list[str]) -> None:
    errors = [message.removeprefix("error at ") for message in messages(f"boot_device: {device}", "fcos", version)]
    assert [error[: len(want)] for error, want in zip(errors, found, strict=False)] == found
    assert len(errors) >= len(found)


@pytest.mark.parametrize(
    ("version", "filesystem", "found"),
    [
        (
            "1.1.0",
            "{device: /dev/a, with_mount_unit: true}",
            [
                "error at $.storage.filesystems.0.path: path is required if with_mount_unit is true and format is not swap",
                "error at $.storage.filesystems.0.format: format is required if with_mount_unit is true",
            ],
        ),
        (
            "1.4.0",
            "{device: /dev/a, with_mount_unit: true}",
            ["error at $.storage.filesystems.0.format: format is required if with_mount_unit is true"],
        ),
        ("1.5.0", "{device: /dev/a, format: ext4, path: /opt, with_mount_unit: true}", []),
        (
            "1.6.0",
            "{device: /dev/a, format: ext4, path: /opt, with_mount_unit: true}",
            ["error at $.storage.filesystems.0.path: path must be under /etc or /var if with_mount_unit is true"],
        ),
    ],
)
def test_mount_units(version: str, filesystem: str, found: list[str]) -> None:
    assert messages(f"storage: {{filesystems: [{filesystem}]}}", "fcos", version) == found


def disk(partitions: str) -> str:
    return f"storage: {{disks: [{{device: /dev/disk/by-id/coreos-boot-disk, partitions: [{partitions}]}}]}}"


@pytest.mark.parametrize(
    ("version", "partitions", "found"),
    [
        ("1.2.0", "{number: 4, label: root, size_mib: 10}", []),
        (
            "1.3.0",
            "{number: 4, label: root, size_mib: 10}",
            ["warning at $.storage.disks.0.partitions.0.size_mib: root should have 8GiB of space assigned"],
        ),
        (
            "1.6.0",
            "{number: 5, label: var, size_mib: 1}, {number: 4, label: root, size_mib: 0}",
            [
                (
                    "warning at $.storage.disks.0.partitions.1.label: root partition cannot expand; it is set to fill "
                    "available space but is followed by an auto-positioned partition"
                )
            ],
        ),
        ("1.7.0", "{number: 5, label: var, size_mib: 1}, {number: 4, label: root, size_mib: 0}", []),
        (
            "1.0.0",
            "{number: 2, label: boot, size_mib: 1, start_mib: 1}",
            [
                (
                    "warning at $.storage.disks.0.partitions.0.label: incorrect partition number; "
                    "a new partition will be created using reserved label"
                )
            ],
        ),
    ],
)
def test_partitions_of_the_boot_disk(version: str, partitions: str, found: list[str]) -> None:
    assert messages(disk(partitions), "fcos", version) == found


def test_flatcar_has_no_clevis_and_no_reserved_partitions() -> None:
    assert messages("storage: {luks: [{name: a, device: /dev/a, clevis: {tpm2: true}}]}", "flatcar", "1.1.0") == [
        "error at $.storage.luks.0.clevis: clevis is not supported in this spec version"
    ]
    assert messages(disk("{number: 2, label: boot, size_mib: 1, start_mib: 1}"), "flatcar", "1.1.0") == []


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ('{"ignition": {"version": "3.5.0"}}', []),
        (
            '{"ignition": {"version": "3.4.0"}}',
            [
                (
                    "warning at $.ignition.config.replace.version: "
                    "skipping validation for the merge/replace ignition config due to an unkown version"
                )
            ],
        ),
        ('{"ignition": {"version": "3.5.0"}, "x": 1}', ["warning at $.x: unused key x"]),
        (
            '{"ignition": {"version": "3.5.0"}, "storage": {"files": [{"path": "a"}]}}',
            ["error at $.storage.files.0.path: path not absolute"],
        ),
        (
            "{",
            ["error at line 1 col 1: unexpected end", "error at $.ignition.config.replace.inline: config is not valid"],
        ),
    ],
)
def test_configs_to_merge_are_checked_when_they_are_inline(config: str, found: list[str]) -> None:
    told = messages(f"ignition: {{config: {{replace: {{inline: '{config}'}}}}}}", "fcos", "1.6.0")
    assert [message.startswith(want) for message, want in zip(told, found, strict=True)] == [True] * len(found), told
