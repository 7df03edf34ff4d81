"""Disks, partitions, RAID arrays and filesystems."""

import posixpath
from dataclasses import dataclass

from ignition import model
from ignition.legacy import types
from ignition.legacy.outcome import Effect, Journal, MountPoints, quoted
from ignition.model import Path

_SECTORS_PER_MIB = 2048
_SYSROOT = "/sysroot"
_DISKS: Path = ("storage", "disks")
_RAID: Path = ("storage", "raid")
_FILESYSTEMS: Path = ("storage", "filesystems")


def migrate_disks(disks: tuple[types.Disk, ...], journal: Journal) -> tuple[model.Disk, ...]:
    return journal.placed(_DISKS, [(_disk(disk, (*_DISKS, i), journal), (*_DISKS, i)) for i, disk in enumerate(disks)])


def _disk(old: types.Disk, path: Path, journal: Journal) -> model.Disk:
    partitions = [_partition(partition, (*path, "partitions", i), journal) for i, partition in enumerate(old.partitions)]
    is_mixed = any(_is_in_sectors(p) for p in old.partitions) and any(_is_in_mib(p) for p in old.partitions)
    if is_mixed:
        journal.refuse((*path, "partitions"), "cannot mix MBs and sectors within a disk")
    return model.Disk(device=old.device, partitions=tuple(partitions), wipe_table=old.wipe_table or None)


def _is_in_sectors(partition: types.Partition) -> bool:
    return partition.size is not None or partition.start is not None


def _is_in_mib(partition: types.Partition) -> bool:
    return partition.size_mib is not None or partition.start_mib is not None


def _partition(old: types.Partition, path: Path, journal: Journal) -> model.Partition:
    size, start = old.size_mib, old.start_mib
    if journal.minor < 3 or _is_in_sectors(old):
        size = _in_mib(old.size, (*path, "size"), journal)
        start = _in_mib(old.start, (*path, "start"), journal)
    label = _label(old, path, journal)
    if not old.number and label is None:
        hint = "spec 3 finds a partition by number or label; spec 2 took the next free number"
        journal.refuse(path, "a partition number >= 1 or a label must be specified", hint)
    return model.Partition(
        guid=old.guid or None,
        label=label,
        number=old.number,
        should_exist=old.should_exist,
        size_mib=size,
        start_mib=start,
        type_guid=old.type_guid or None,
        wipe_partition_entry=old.wipe_partition_entry or None,
    )


def _label(old: types.Partition, path: Path, journal: Journal) -> str | None:
    if old.label is None or (not old.label and journal.minor < 3):
        return None
    label, colon, _ = old.label.partition(":")
    if colon:
        journal.changed((*path, "label"), quoted(old.label), quoted(label), "spec 2 cut labels at the colon, spec 3 refuses it")
    return label


def _in_mib(sectors: int | None, path: Path, journal: Journal) -> int | None:
    """Return a number of sectors of 512 bytes in MiB. Zero means what there is; up to spec 2.2 so does absence."""
    key = path[-1]
    if sectors is None:
        return 0 if journal.minor < 3 else None
    if sectors % _SECTORS_PER_MIB:
        hint = f"{_SECTORS_PER_MIB} sectors of 512 bytes are 1 MiB"
        journal.refuse(path, f"{key} of {sectors} sectors is no whole number of MiB", hint)
    mib = sectors // _SECTORS_PER_MIB
    if mib:
        reason = (
            "spec 3 counts in MiB; this holds for sectors of 512 bytes, a disk with sectors of 4096 bytes needs 8 times as much"
        )
        journal.changed(path, f"{sectors} sectors", f"{key}MiB {mib}", reason, Effect.MAY_DIFFER)
    else:
        journal.kept(path, "0 sectors", f"{key}MiB 0", "zero has the same meaning in both")
    return mib


def migrate_raid(arrays: tuple[types.Raid, ...], journal: Journal) -> tuple[model.Raid, ...]:
    return journal.placed(_RAID, [(_array(array, (*_RAID, i), journal), (*_RAID, i)) for i, array in enumerate(arrays)])


def _array(old: types.Raid, path: Path, journal: Journal) -> model.Raid:
    devices: Path = (*path, "devices")
    return model.Raid(
        devices=journal.placed(devices, journal.distinct(devices, old.devices)),
        level=old.level,
        name=old.name,
        options=old.options,
        spares=old.spares or None,
    )


@dataclass(frozen=True)
class Mounted:
    """Where the entries of a filesystem go in spec 3: below `prefix`; or nowhere, and `refusal` and `hint` say why."""

    prefix: str = "/"
    refusal: str = ""
    hint: str = ""


ROOT = Mounted()


def migrate_filesystems(
    filesystems: tuple[types.Filesystem, ...], mount_points: MountPoints, journal: Journal
) -> tuple[tuple[model.Filesystem, ...], dict[str, Mounted]]:
    """Return the filesystems to make, and by name where the entries of each go. The last of equal names counts."""
    made, mounted = [], {"root": ROOT}
    for index, old in enumerate(filesystems):
        path: Path = (*_FILESYSTEMS, index)
        if old.mount is None and old.path is None:
            journal.refuse(path, "filesystem is missing mount or path")
        elif old.mount is not None and old.path is not None:
            journal.refuse(path, "filesystem has both mount and path defined")
        elif old.mount is not None:
            made.append((_made(old.name, old.mount, mount_points.get(old.name), path, journal), (*path, "mount")))
            mounted[old.name] = _mounted(old.name, mount_points)
        else:
            mounted[old.name] = _existing(old.path or "", path, journal)
    return journal.placed(_FILESYSTEMS, made), mounted


def _mounted(name: str, mount_points: MountPoints) -> Mounted:
    if name in mount_points:
        return Mounted(mount_points[name])
    if name == "root":
        return ROOT
    hint = f"say where it is to be mounted: mount point of {name!r}"
    return Mounted(refusal=f"filesystem {quoted(name)} has no mount point in spec 2, and spec 3 needs one", hint=hint)


def _existing(where: str, path: Path, journal: Journal) -> Mounted:
    """Return where entries below a path of the initial RAM disk go."""
    folder = posixpath.normpath(where)
    if folder == _SYSROOT or folder.startswith(_SYSROOT + "/"):
        prefix = folder.removeprefix(_SYSROOT) or "/"
        journal.dropped(path, f"path {quoted(where)}", f"spec 3 writes below the root filesystem; here that is {prefix}")
        return Mounted(prefix)
    journal.dropped(path, f"path {quoted(where)}", "spec 3 knows only what is mounted below the root filesystem")
    return Mounted(refusal=f"the path {quoted(where)} is outside the root filesystem", hint="spec 3 cannot write there")


def _made(name: str, mount: types.Mount, where: str | None, path: Path, journal: Journal) -> model.Filesystem:
    path = (*path, "mount")
    if name == "root" and where is None:
        reason = "spec 3 writes to what the system mounts as its root; that must be this device"
        journal.dropped(path, 'name "root"', reason, Effect.MAY_DIFFER)
    wipe, options = mount.wipe_filesystem, mount.options
    if journal.has((*path, "create")):
        wipe, options = True, _create(mount, path, journal)
    return model.Filesystem(
        device=mount.device,
        format=mount.format or None,
        label=mount.label,
        options=options,
        path=where,
        uuid=mount.uuid,
        wipe_filesystem=wipe or None,
    )


def _create(mount: types.Mount, path: Path, journal: Journal) -> tuple[str, ...]:
    """Return the options of a filesystem that is made whatever the device holds."""
    create, here = mount.create or types.Create(), (*path, "create")
    if mount.wipe_filesystem:
        journal.refuse(here, "cannot use both create object and wipeFilesystem field")
    if mount.options:
        journal.refuse(here, "cannot use both create object and mount-level options field")
    if not create.force:
        hint = "with force: true, or in spec 2.1 and newer without create, it can be migrated"
        journal.refuse(here, "create without force fails on any device that holds a filesystem; spec 3 would use that one", hint)
    else:
        journal.changed(here, "create with force", "wipeFilesystem true", "spec 3 has the options beside the format")
    return create.options
