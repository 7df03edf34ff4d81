"""Doubts about the partitions of the boot disk (coreos/butane, config/fcos/v1_*/translate.go)."""

from collections.abc import Iterator

from ignition import model
from ignition.butane.inline_configs import Finding
from ignition.butane.releases import Release
from ignition.butane.sources import Sourced
from ignition.errors import Severity

_NUMBERS = {"BIOS-BOOT": 1, "PowerPC-PReP-boot": 1, "EFI-SYSTEM": 2, "boot": 3, "root": 4}
_ROOT_MIB = 8192
_SIZES_SINCE = 3
_FOLLOWING_SINCE = 7
_WRONG_NUMBER = "incorrect partition number; a new partition will be created using reserved label"
_TOO_SMALL = "root should have 8GiB of space assigned"
_CONSTRAINED = "root partition cannot expand; it is set to fill available space but is followed by an auto-positioned partition"


def doubts(generated: Sourced, release: Release) -> Iterator[Finding]:
    """Yield warnings about partitions that look like those of the OS image and are not."""
    if release.variant != "fcos":
        return
    disks = generated.config.storage.disks if generated.config.storage else ()
    for index, disk in enumerate(disks):
        for number, partition in enumerate(disk.partitions):
            here = ("storage", "disks", index, "partitions", number)
            for key, message in _doubts(disk, number, partition, release):
                yield Finding(Severity.WARNING, generated.sources.of((*here, key)), message)


def _doubts(disk: model.Disk, index: int, partition: model.Partition, release: Release) -> Iterator[tuple[str, str]]:
    if partition.label == "root" and release.fcos >= _SIZES_SINCE:
        if not partition.size_mib:
            others = disk.partitions[index + 1 :]
            if release.fcos < _FOLLOWING_SINCE:
                others = (*disk.partitions[:index], *others)
            if any(not other.start_mib for other in others):
                yield "label", _CONSTRAINED
        elif partition.size_mib < _ROOT_MIB:
            yield "size_mib", _TOO_SMALL
    if not disk.wipe_table and partition.number != _NUMBERS.get(partition.label or "", partition.number):
        yield "label", _WRONG_NUMBER
