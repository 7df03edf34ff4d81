"""Rules for one file, directory or link, and for those that get into the way of a systemd unit."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from ignition import model
from ignition.rules.places import Place, path_fault

_UNITS = "/etc/systemd/system/"
_SPECIAL_BITS_SINCE = 6
SPECIAL_BITS = "setuid/setgid/sticky bits are not supported or functional in spec versions older than 3.6.0"

Nodes: TypeAlias = Sequence[model.Directory | model.File | model.Link]


def check_file(file: model.File, place: Place) -> None:
    place.error(path_fault(file.path), "path")
    _check_mode(file.mode, place)
    if file.overwrite and (file.contents is None or file.contents.source is None):
        place.error("overwrite must be false if source is unspecified", "overwrite")


def check_directory(directory: model.Directory, place: Place) -> None:
    place.error(path_fault(directory.path), "path")
    _check_mode(directory.mode, place)


def check_link(link: model.Link, place: Place) -> None:
    place.error(path_fault(link.path), "path")


def _check_mode(mode: int | None, place: Place) -> None:
    if mode is None:
        return
    if not 0 <= mode <= 0o7777:
        place.error("illegal file mode", "mode")
    if mode & 0o7000 and place.minor < _SPECIAL_BITS_SINCE:
        place.warning(SPECIAL_BITS, "mode")


def check_owner(owner: model.NodeUser | model.NodeGroup, place: Place) -> None:
    if owner.id is not None and owner.name:
        place.error("cannot set both id and name")


def check_unit_paths(config: model.Config, place: Place) -> None:
    """Report every node that stands where Ignition writes a unit or drop-in."""
    if config.systemd is None or config.storage is None:
        return
    taken = set(_unit_paths(config.systemd))
    lists: tuple[tuple[str, Nodes], ...] = (
        ("files", config.storage.files),
        ("directories", config.storage.directories),
        ("links", config.storage.links),
    )
    for key, nodes in lists:
        for index, node in enumerate(nodes):
            if node.path in taken:
                place.error("path conflicts with systemd unit or dropin", "storage", key, index, "path")


def _unit_paths(systemd: model.Systemd) -> Iterator[str]:
    for unit in systemd.units:
        if unit.contents:
            yield _UNITS + unit.name
        for dropin in unit.dropins:
            if dropin.contents:
                yield f"{_UNITS}{unit.name}.d/{dropin.name}"
