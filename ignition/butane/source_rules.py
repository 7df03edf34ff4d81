"""Butane's own rules for a document (coreos/butane, base/v0_*/validate.go and config/fcos/v1_*/validate.go)."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from ignition.butane import boot_device
from ignition.butane.contents import is_decimal_by_mistake
from ignition.butane.decoding import Record
from ignition.butane.inline_configs import Finding, check_inline_config
from ignition.butane.releases import Release
from ignition.butane.schema import fields
from ignition.errors import Severity
from ignition.model import Path

Rule: TypeAlias = Callable[[Record, Path, Release], Iterator[Finding]]

_TOO_MANY_SOURCES = "only one of the following can be set: inline, local, source"
_DECIMAL = "unreasonable mode would be reasonable if specified in octal; remember to add a leading zero"
_REUSE_BY_LABEL = (
    "partitions cannot be reused by label; number must be specified except on boot disk (/dev/disk/by-id/coreos-boot-disk) "
    "or when wipe_table is true"
)
_MOUNTABLE = re.compile(r"/(?:etc|var)(?:/|\Z)")
_STRICT_FCOS = 6
_SWAP_SINCE = 4


def check_source(document: Record, release: Release) -> list[Finding]:
    """Return what a document breaks, in the order of Butane's structs."""
    return list(_check(document, (), release))


def _check(record: Record, at: Path, release: Release) -> Iterator[Finding]:
    if rule := _RULES.get(record.struct):
        yield from rule(record, at, release)
    for key, field in fields(record.struct, release).items():
        value = record.values.get(key)
        if field.is_struct and isinstance(value, Record):
            yield from _check(value, (*at, key), release)
        elif field.is_struct and value is not None:
            for index, item in enumerate(value):
                yield from _check(item, (*at, key, index), release)


def _error(at: Path, message: str) -> Finding:
    return Finding(Severity.ERROR, at, message)


def _warning(at: Path, message: str) -> Finding:
    return Finding(Severity.WARNING, at, message)


def _check_config(config: Record, at: Path, release: Release) -> Iterator[Finding]:
    if release.fcos < _STRICT_FCOS:
        return
    storage = config.record("storage")
    ours = {boot_device.BOOT_DISK, *config.record("boot_device").record("mirror").texts("devices")}
    for index, disk in enumerate(storage.records("disks")):
        if disk.is_true("wipe_table") or (disk.text("device") or "") in ours:
            continue
        for number, partition in enumerate(disk.records("partitions")):
            if not partition.number("number") and partition.text("label") is not None:
                yield _warning(("storage", "disks", index, "partitions", number, "number"), _REUSE_BY_LABEL)
    for index, filesystem in enumerate(storage.records("filesystems")):
        path = filesystem.text("path")
        if path is not None and not _MOUNTABLE.match(path) and filesystem.is_true("with_mount_unit"):
            message = "path must be under /etc or /var if with_mount_unit is true"
            yield _error(("storage", "filesystems", index, "path"), message)


def _check_contents(contents: Record, at: Path, release: Release) -> Iterator[Finding]:
    if contents.text("inline") is not None and contents.text("source") is not None:
        yield _error((*at, "inline"), _TOO_MANY_SOURCES)


def _check_resource(resource: Record, at: Path, release: Release) -> Iterator[Finding]:
    given = [key for key in ("local", "inline", "source") if resource.text(key) is not None]
    inline = resource.text("inline")
    if len(given) > 1:
        yield _error((*at, given[-1]), _TOO_MANY_SOURCES)
    elif inline is not None and at[:2] == ("ignition", "config"):
        findings, is_config = check_inline_config(inline.encode("utf-8", "surrogateescape"), at, release)
        yield from findings
        if not is_config:
            yield _error((*at, "inline"), "config is not valid")


def _check_filesystem(filesystem: Record, at: Path, release: Release) -> Iterator[Finding]:
    if not filesystem.is_true("with_mount_unit"):
        return
    no_path = _error((*at, "path"), "path is required if with_mount_unit is true and format is not swap")
    no_format = _error((*at, "format"), "format is required if with_mount_unit is true")
    if release.base < _SWAP_SINCE:
        if not filesystem.text("path"):
            yield no_path
        if not filesystem.text("format"):
            yield no_format
    elif not filesystem.text("format"):
        yield no_format
    elif filesystem.text("format") != "swap" and not filesystem.text("path"):
        yield no_path


def _check_mode(node: Record, at: Path, release: Release) -> Iterator[Finding]:
    mode = node.number("mode")
    if mode is not None and is_decimal_by_mistake(mode, is_directory=node.struct == "Directory"):
        yield _warning((*at, "mode"), _DECIMAL)


def _check_tree(tree: Record, at: Path, release: Release) -> Iterator[Finding]:
    if not tree.text("local"):
        yield _error(at, "local is required")


def _check_unit(unit: Record, at: Path, release: Release) -> Iterator[Finding]:
    if unit.text("contents") is not None and unit.text("contents_local") is not None:
        yield _error((*at, "contents_local"), "only one of the following can be set: contents, contents_local")


def _check_grub_user(user: Record, at: Path, release: Release) -> Iterator[Finding]:
    for key in ("name", "password_hash"):
        if not user.text(key):
            yield _error((*at, key), f'field "{key}" is required')


_RULES: Mapping[str, Rule] = {
    "BootDevice": boot_device.check_boot_device,
    "BootDeviceLuks": boot_device.check_luks,
    "BootDeviceMirror": boot_device.check_mirror,
    "Config": _check_config,
    "Directory": _check_mode,
    "Dropin": _check_unit,
    "File": _check_mode,
    "FileContents": _check_contents,
    "Filesystem": _check_filesystem,
    "GrubUser": _check_grub_user,
    "Resource": _check_resource,
    "Tree": _check_tree,
    "Unit": _check_unit,
}
