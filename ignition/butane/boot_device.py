"""The boot disk of Fedora CoreOS, mirrored or encrypted (coreos/butane, config/fcos/v1_*/{validate,translate}.go)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ignition import model
from ignition.butane.decoding import Record
from ignition.butane.inline_configs import Finding
from ignition.butane.releases import Release
from ignition.butane.sources import Sourced, Sources, merge_sourced
from ignition.errors import Severity
from ignition.model import Path

BOOT_DISK = "/dev/disk/by-id/coreos-boot-disk"

_RESERVED = "8DA63339-0007-60C0-C436-083AC8230908"
_BIOS = "21686148-6449-6E6F-744E-656564454649"
_PREP = "9E1A2D38-C612-4316-AA26-8B49521E5A8B"
_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_BOOT_MIB = 384


@dataclass(frozen=True, slots=True)
class _Layout:
    """The first two partitions of a boot disk: label, MiB and type of each."""

    first: tuple[str, int, str]
    second: tuple[str, int, str]

    @property
    def has_esp(self) -> bool:
        return self.second[0] == "esp"


_LAYOUTS = {
    "aarch64": _Layout(("reserved", 1, _RESERVED), ("esp", 127, _ESP)),
    "ppc64le": _Layout(("prep", 4, _PREP), ("reserved", 1, _RESERVED)),
    "x86_64": _Layout(("bios", 1, _BIOS), ("esp", 127, _ESP)),
}
_LUKS_PARTITIONS = {"s390x-eckd": "2", "s390x-zfcp": "4"}
"""The layouts that need a device for LUKS, and the number of the root partition on it."""

_LUKS_DEVICES = {"s390x-eckd": re.compile(r"/dev/dasd[a-z]\Z"), "s390x-zfcp": re.compile(r"/dev/sd[a-z]\Z")}
_S390X = ("s390x-eckd", "s390x-virt", "s390x-zfcp")
_S390X_SINCE = 6
_STRICT_SINCE = 7


def check_boot_device(device: Record, at: Path, release: Release) -> Iterator[Finding]:
    layout, luks, mirror = device.text("layout"), device.record("luks"), device.record("mirror")
    if mirror.texts("devices") and layout is None:
        severity = Severity.ERROR if release.fcos >= _STRICT_SINCE else Severity.WARNING
        message = "boot_device.layout should be specified when boot_device.mirror is specified"
        yield Finding(severity, (*at, "mirror"), message)
    if layout is not None:
        yield from _check_layout(layout, luks.text("device") or "", (*at, "layout"), release)
    if release.fcos >= _S390X_SINCE:
        if layout is not None and layout.startswith("s390x") and mirror.texts("devices"):
            yield _error((*at, "layout"), "mirroring not supported on layouts: s390x-eckd, s390x-zfcp, s390x-virt")
        yield from _check_cex(layout, luks, at)
    # Butane calls this rule here and once more when it comes to the mirror itself.
    yield from check_mirror(mirror, (*at, "mirror"), release)


def _check_layout(layout: str, device: str, at: Path, release: Release) -> Iterator[Finding]:
    if release.fcos < _S390X_SINCE:
        if layout not in _LAYOUTS:
            yield _error(at, "layout must be one of: aarch64, ppc64le, x86_64")
    elif layout in _LUKS_DEVICES:
        if not device:
            yield _error(at, "device is required for layouts: s390x-eckd, s390x-zfcp")
        elif not _LUKS_DEVICES[layout].search(device):
            wanted = "/dev/dasd on s390x-eckd layout or /dev/sd on s390x-zfcp layout"
            yield _error(at, f"device name must start with {wanted}")
    elif layout not in (*_LAYOUTS, *_S390X):
        yield _error(at, "layout must be one of: aarch64, ppc64le, s390x-eckd, s390x-virt, s390x-zfcp, x86_64")


def _check_cex(layout: str | None, luks: Record, at: Path) -> Iterator[Finding]:
    if not luks.record("cex").is_true("enabled"):
        return
    if layout is None or not layout.startswith("s390x"):
        place = ("luks", "cex") if layout is None else ("layout",)
        yield _error((*at, *place), "when using cex the targeted architecture must match s390x")
    if luks.records("tang") or luks.is_true("tpm2"):
        yield _error((*at, "luks"), "cannot use cex with clevis")


def check_luks(luks: Record, at: Path, release: Release) -> Iterator[Finding]:
    if release.fcos < _STRICT_SINCE or not luks.text("device"):
        return
    has_tang = any(any(tang.values.values()) for tang in luks.records("tang"))
    if not (has_tang or luks.is_true("tpm2") or luks.record("cex").is_true("enabled")):
        yield _error((*at, "luks"), "no method specified for luks")


def check_mirror(mirror: Record, at: Path, release: Release) -> Iterator[Finding]:
    if len(mirror.texts("devices")) == 1:
        yield _error((*at, "devices"), "mirroring requires at least two devices")


def _error(at: Path, message: str) -> Finding:
    return Finding(Severity.ERROR, at, message)


def with_boot_device(own: Sourced, document: Record, release: Release) -> Sourced:
    """Return the config with the partitions, RAIDs, volumes and filesystems of the boot disk; the document's own win."""
    device = document.record("boot_device")
    luks, disks = device.record("luks"), device.record("mirror").texts("devices")
    is_encrypted = luks.is_true("tpm2") or bool(luks.records("tang")) or luks.record("cex").is_true("enabled")
    if not is_encrypted and not disks:
        return own
    builder = _Builder(device.text("layout") or "x86_64")
    if disks:
        builder.mirror(disks)
    if is_encrypted:
        builder.encrypt(luks, is_mirrored=bool(disks))
    builder.add_root("/dev/mapper/root" if is_encrypted else "/dev/md/md-root")
    return merge_sourced(builder.result(release), own)


class _Builder:
    def __init__(self, layout: str) -> None:
        self.layout = layout
        self.sources = Sources()
        self.disks: list[model.Disk] = []
        self.filesystems: list[model.Filesystem] = []
        self.raids: tuple[model.Raid, ...] = ()
        self.luks: tuple[model.Luks, ...] = ()

    def result(self, release: Release) -> Sourced:
        storage = model.Storage(disks=tuple(self.disks), filesystems=tuple(self.filesystems), luks=self.luks, raid=self.raids)
        self.sources.add(("boot_device",), ("storage",), ("storage", "filesystems"))
        return Sourced(model.Config(storage=storage).in_version(release.spec), self.sources)

    def filesystem(self, device: str, format_: str, label: str, at: Path) -> None:
        filesystem = model.Filesystem(device=device, format=format_, label=label, wipe_filesystem=True)
        self.sources.add_all(at, ("storage", "filesystems", len(self.filesystems)), filesystem)
        self.filesystems.append(filesystem)

    def mirror(self, devices: tuple[str, ...]) -> None:
        layout, here = _LAYOUTS[self.layout], ("boot_device", "mirror")
        for index, device in enumerate(devices):
            at = (*here, "devices", index)
            disk = model.Disk(device=device, partitions=_partitions(layout, index + 1), wipe_table=True)
            self.sources.add_all(at, ("storage", "disks", index), disk)
            self.disks.append(disk)
            if layout.has_esp:
                self.filesystem(f"/dev/disk/by-partlabel/esp-{index + 1}", "vfat", f"esp-{index + 1}", at)
        self.sources.add((*here, "devices"), ("storage", "disks"))
        # GRUB on BIOS knows no RAID: the superblock of the boot partition stands at its end.
        boot = model.Raid(_members("boot", len(devices)), "raid1", "md-boot", ("--metadata=1.0",))
        self.raids = (boot, model.Raid(_members("root", len(devices)), "raid1", "md-root"))
        self.sources.add_all(here, ("storage", "raid"), self.raids)
        self.filesystem("/dev/md/md-boot", "ext4", "boot", here)

    def encrypt(self, luks: Record, *, is_mirrored: bool) -> None:
        here, there = ("boot_device", "luks"), ("storage", "luks", 0)
        device = "/dev/md/md-root" if is_mirrored else "/dev/disk/by-partlabel/root"
        if self.layout in _LUKS_PARTITIONS:
            device = (luks.text("device") or "") + _LUKS_PARTITIONS[self.layout]
        has_cex = luks.record("cex").is_true("enabled")
        volume = model.Luks(
            cex=model.Cex(enabled=True) if has_cex else None,
            clevis=None if has_cex else _clevis(luks),
            device=device,
            discard=luks.values.get("discard"),
            label="luks-root",
            name="root",
            wipe_volume=True,
        )
        self.luks = (volume,)
        self.sources.add(here, ("storage", "luks"), there, *((*there, key) for key in ("device", "label", "name", "wipeVolume")))
        self.sources.add((*here, "discard"), (*there, "discard"))
        method = (*there, "cex" if has_cex else "clevis")
        self.sources.add(here, method)
        self.sources.add((*here, "enabled"), (*there, "cex", "enabled"))
        for key in ("threshold", "tpm2", "tang"):
            self.sources.add((*here, key), (*method, key))
        for index, tang in enumerate(luks.records("tang")):
            self.sources.add((*here, "tang", index), (*method, "tang", index))
            for key in tang.values:
                self.sources.add((*here, "tang", index, key), (*method, "tang", index, key))

    def add_root(self, device: str) -> None:
        self.filesystem(device, "xfs", "root", ("boot_device",))


def _partitions(layout: _Layout, number: int) -> tuple[model.Partition, ...]:
    firmware = (
        model.Partition(label=f"{label}-{number}", size_mib=size, type_guid=type_)
        for label, size, type_ in (layout.first, layout.second)
    )
    return (
        *firmware,
        model.Partition(label=f"boot-{number}", size_mib=_BOOT_MIB),
        model.Partition(label=f"root-{number}"),
    )


def _members(label: str, count: int) -> tuple[str, ...]:
    return tuple(f"/dev/disk/by-partlabel/{label}-{number}" for number in range(1, count + 1))


def _clevis(luks: Record) -> model.Clevis:
    return model.Clevis(
        tang=tuple(
            model.Tang(advertisement=tang.text("advertisement"), thumbprint=tang.text("thumbprint"), url=tang.text("url") or "")
            for tang in luks.records("tang")
        ),
        threshold=luks.number("threshold"),
        tpm2=luks.values.get("tpm2"),
    )
