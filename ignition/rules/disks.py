"""Rules for disks, partitions, filesystems, RAID arrays and LUKS volumes."""

import re
from collections import Counter
from typing import TypeAlias

from ignition import model
from ignition.document.json_reader import LEAF, JSONSyntax, read_located
from ignition.rules.dataurls import BadURL
from ignition.rules.places import Place, path_fault
from ignition.rules.urls import INVALID_SCHEME, check_source, split_scheme

_Span: TypeAlias = tuple[int, int, int]
"""A partition's index, its first and its last MiB."""

_GUID = re.compile(r"(?:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})?")
_LABEL_MAX = {"ext4": 16, "btrfs": 256, "xfs": 12, "swap": 15, "vfat": 11}
_ANY_PIN_SINCE = 6
_GO_MAX_DEPTH = 10_000
_WITHOUT_SPARES = {"linear", "raid0", "0", "stripe"}
_WITH_SPARES = {"raid1", "1", "mirror", "raid4", "4", "raid5", "5", "raid6", "6", "raid10", "10"}


def check_disk(disk: model.Disk, place: Place) -> None:
    if not disk.device:
        place.error("disk device is required", "device")
        return
    place.error(path_fault(disk.device), "device")
    numbers = [partition.number or None for partition in disk.partitions]
    if (index := _second_of_equals(numbers)) is not None:
        place.error("partition numbers collide", "partitions", index)
    if (index := _first_overlap(disk.partitions)) is not None:
        place.error("partitions overlap", "partitions", index)
    has_zero = any(not p.number and p.should_exist is not False for p in disk.partitions)
    if has_zero and any(p.should_exist is False and not p.number for p in disk.partitions):
        place.error("shouldExist is false for a partition and other partition(s) has start or size 0", "partitions")
    labels = [partition.label for partition in disk.partitions]
    if (index := _second_of_equals(labels)) is not None:
        place.error("cannot use the same partition label twice", "partitions", index)


def _second_of_equals(values: list[int | None] | list[str | None]) -> int | None:
    """Return the index of the first value that stood before; None values never collide."""
    seen: Counter[int | str] = Counter()
    for index, value in enumerate(values):
        if value is not None:
            seen[value] += 1
            if seen[value] == 2:
                return index
    return None


def _first_overlap(partitions: tuple[model.Partition, ...]) -> int | None:
    """Return the index of the first partition that another overlaps; sgdisk places those that start at 0.

    The three comparisons are Ignition's own: they differ from the usual two when a size is negative.
    """
    spans: list[_Span] = [
        (index, p.start_mib, p.start_mib + p.size_mib - 1 if p.size_mib else p.start_mib)
        for index, p in enumerate(partitions)
        if p.start_mib and p.size_mib is not None
    ]
    for index, start, end in _overlapping(spans):
        for other, first, last in spans:
            touches = first <= start <= last or first <= end <= last or (start < first and end > last)
            if other != index and touches:
                return other
    return None


def _overlapping(spans: list[_Span]) -> list[_Span]:
    """Leave out the spans that overlap no other, unless a negative size makes every comparison one of its own."""
    if any(end < start for _, start, end in spans):
        return spans
    found: set[int] = set()
    furthest: _Span | None = None
    for span in sorted(spans, key=lambda span: span[1]):
        if furthest is not None and span[1] <= furthest[2]:
            found |= {span[0], furthest[0]}
        if furthest is None or span[2] > furthest[2]:
            furthest = span
    return [span for span in spans if span[0] in found]


def check_partition(partition: model.Partition, place: Place) -> None:
    texts = (partition.label, partition.type_guid or None, partition.guid or None)
    is_described = any(setting is not None for setting in (*texts, partition.start_mib, partition.size_mib))
    if partition.should_exist is False and is_described:
        place.error("shouldExist specified false with other options also specified")
    if not partition.number and partition.label is None:
        place.error("a partition number >= 1 or a label must be specified")
    place.error(_label_fault(partition.label), "label")
    for key, guid in (("guid", partition.guid), ("typeGuid", partition.type_guid)):
        if guid is not None and not _GUID.fullmatch(guid):
            place.error('doesn\'t match the form "01234567-89AB-CDEF-EDCB-A98765432101"', key)


def _label_fault(label: str | None) -> str | None:
    if label is None:
        return None
    if len(label.encode()) > 36:
        return "partition labels may not exceed 36 characters"
    return "partition label will be truncated to text before the colon" if ":" in label else None


def check_filesystem(filesystem: model.Filesystem, place: Place) -> None:
    place.error(path_fault(filesystem.path) if filesystem.path else None, "path")
    place.error(path_fault(filesystem.device), "device")
    place.error(_format_fault(filesystem, place.minor), "format")
    place.error(_filesystem_label_fault(filesystem), "label")


def _format_fault(filesystem: model.Filesystem, minor: int) -> str | None:
    if filesystem.format:
        known = filesystem.format in _LABEL_MAX or (filesystem.format == "none" and minor >= 3)
        return None if known else "invalid filesystem format"
    others = (filesystem.path, filesystem.label, filesystem.uuid, filesystem.options, filesystem.mount_options)
    if any(others) or filesystem.wipe_filesystem:
        return "format cannot be empty when path, label, uuid, wipeFilesystem, options, or mountOptions is specified"
    return None


def _filesystem_label_fault(filesystem: model.Filesystem) -> str | None:
    if not filesystem.label:
        return None
    if not filesystem.format:
        return "filesystem must specify format if label is specified"
    limit = _LABEL_MAX.get(filesystem.format)
    if limit is not None and len(filesystem.label.encode()) > limit:
        return f"filesystem labels cannot be longer than {limit} characters when using {filesystem.format}"
    return None


def check_raid(raid: model.Raid, place: Place) -> None:
    if not raid.level and place.minor >= 3:
        place.error("raid level is required", "level")
    elif raid.level in _WITHOUT_SPARES:
        if raid.spares:
            place.error("spares unsupported for linear and raid0 arrays", "level")
    elif raid.level not in _WITH_SPARES:
        place.error("unrecognized raid level", "level")
    if not raid.devices:
        place.error("raid devices required", "devices")
    for index, device in enumerate(raid.devices):
        place.error(path_fault(device), "devices", index)


def check_luks(luks: model.Luks, place: Place) -> None:
    if "/" in luks.name:
        place.error("device names cannot contain slashes", "name")
    if luks.label and len(luks.label.encode()) > 47:
        place.error("luks device labels cannot be longer than 47 characters", "label")
    place.error(path_fault(luks.device) if luks.device else "disk device is required", "device")
    if luks.clevis is not None:
        _check_clevis(luks.clevis, place)
    source = luks.key_file.source if luks.key_file else None
    if source:
        try:
            check_source(source, place.minor)
        except BadURL:
            place.error("invalid key-file source", "keys")
    if luks.cex is not None and luks.cex.enabled:
        if luks.clevis is not None and _is_present(luks.clevis):
            place.error("cannot use cex with clevis", "cex")
        if source:
            place.error("cannot use key file with cex", "cex")


def _is_present(clevis: model.Clevis) -> bool:
    return bool((clevis.custom and clevis.custom.pin) or clevis.tang or clevis.tpm2 or clevis.threshold)


def _check_clevis(clevis: model.Clevis, place: Place) -> None:
    """Up to 3.2 a custom config is there when its object is, from 3.3 when it names a pin."""
    is_custom = clevis.custom is not None and (place.minor <= 2 or bool(clevis.custom.pin))
    if is_custom and (clevis.tang or clevis.tpm2 or clevis.threshold):
        place.error("cannot use custom clevis config with tpm2, tang, or threshold", "clevis")


def check_custom(custom: model.Custom, place: Place) -> None:
    if not (custom.pin or custom.config or (custom.needs_network and place.minor >= 3)):
        return
    if not custom.pin and place.minor >= 3:
        place.error("missing required custom clevis pin", "pin")
    elif custom.pin not in ("tpm2", "tang", "sss") and place.minor < _ANY_PIN_SINCE:
        place.error("unsupported clevis pin", "pin")
    if not custom.config:
        place.error("missing required custom clevis config", "config")


def check_tang(tang: model.Tang, place: Place) -> None:
    try:
        if split_scheme(tang.url)[0] not in ("http", "https"):
            place.error(INVALID_SCHEME, "url")
    except BadURL as error:
        place.error(str(error), "url")
    if not tang.thumbprint:
        place.error("thumbprint is required", "thumbprint")
    if tang.advertisement and not _is_json(tang.advertisement):
        place.error("advertisement is not valid JSON", "advertisement")


def _is_json(text: str) -> bool:
    """Go reads it into values of its own choice, so a number that fits no float64 is none."""
    try:
        return read_located(text, "", _GO_MAX_DEPTH, LEAF).has_places
    except JSONSyntax:
        return False
