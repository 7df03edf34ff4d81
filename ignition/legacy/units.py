"""Units of systemd, and those of networkd, which spec 3 knows as files only."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from ignition import model
from ignition.legacy import types
from ignition.legacy.nodes import FileEntry
from ignition.legacy.outcome import Effect, Journal, quoted
from ignition.model import Path, dotted

_UNITS: Path = ("systemd", "units")
_NETWORKD: Path = ("networkd", "units")
_NETWORKD_FOLDER = "/etc/systemd/network"
_NETWORKD_KINDS = (".link", ".netdev", ".network")
_FILE_MODE = 0o644
_UNESCAPED = "-_.!~*'()"


@dataclass
class _Written:
    """What spec 2 has written for a unit so far."""

    origin: Path
    name: str
    contents: str = ""
    contents_origin: Path = ()
    dropins: dict[str, tuple[model.Dropin, Path]] = field(default_factory=dict)
    enabled: bool | None = None
    is_masked: bool = False

    def unit(self) -> model.Unit:
        return model.Unit(
            contents=self.contents or None,
            dropins=tuple(dropin for dropin, _ in self.dropins.values()),
            enabled=self.enabled,
            mask=self.is_masked or None,
            name=self.name,
        )


def migrate_systemd(units: tuple[types.Unit, ...], journal: Journal) -> model.Systemd:
    """Return one unit for each name: spec 2 wrote units in order, so the last contents and the first preset count."""
    written: dict[str, _Written] = {}
    for index, unit in enumerate(units):
        path: Path = (*_UNITS, index)
        state = written.setdefault(unit.name, _Written(path, unit.name))
        if state.origin != path:
            where = f"one entry with {dotted(state.origin)}"
            reason = "spec 3 refuses two entries; of contents and drop-ins the last counts, of enabled the first"
            journal.changed(path, f"unit {quoted(unit.name)} again", where, reason)
        _write_dropins(state, unit.dropins, (*path, "dropins"), journal)
        _write_contents(state, unit, path, journal)
        _enable(state, unit, path, journal)
        state.is_masked = state.is_masked or unit.mask
    for index, state in enumerate(written.values()):
        dropins: Path = (*_UNITS, index, "dropins")
        journal.placed(dropins, state.dropins.values())
        if state.contents_origin:
            journal.origins[*_UNITS, index, "contents"] = state.contents_origin
    return model.Systemd(units=journal.placed(_UNITS, ((state.unit(), state.origin) for state in written.values())))


def _write_dropins(state: _Written, dropins: tuple[types.Dropin, ...], path: Path, journal: Journal) -> None:
    for index, dropin in enumerate(dropins):
        here: Path = (*path, index)
        was = f"drop-in {quoted(dropin.name)}"
        if dropin.name in state.dropins and not dropin.contents:
            journal.dropped(here, was, "it is empty, and spec 2 wrote no empty ones")
            continue
        if dropin.name in state.dropins:
            _, first = state.dropins[dropin.name]
            journal.dropped(first, was, f"{dotted(here)} overwrites it, and spec 3 refuses two entries")
        state.dropins[dropin.name] = (model.Dropin(contents=dropin.contents or None, name=dropin.name), here)


def _write_contents(state: _Written, unit: types.Unit, path: Path, journal: Journal) -> None:
    if not unit.contents:
        return
    here: Path = (*path, "contents")
    if state.contents and state.contents != unit.contents:
        journal.dropped(state.contents_origin, "contents", f"{dotted(here)} overwrites them")
    if state.is_masked:
        reason = f"{dotted(here)} is written over the link to /dev/null that masks"
        journal.dropped((*state.origin, "mask"), "mask true", reason, Effect.MAY_DIFFER)
    state.contents, state.contents_origin, state.is_masked = unit.contents, here, False


def _enable(state: _Written, unit: types.Unit, path: Path, journal: Journal) -> None:
    """Presets are read from the top, and spec 2 wrote that of `enable` before that of `enabled`."""
    enabled = unit.enabled
    if unit.enable:
        enabled = True
        if unit.enabled is False:
            reason = "spec 2 wrote both presets, and systemd obeys the first, which was that of enable"
            journal.changed((*path, "enabled"), "enable true and enabled false", "enabled true", reason, Effect.MAY_DIFFER)
        else:
            journal.changed((*path, "enable"), "enable true", "enabled true", "spec 3 has no enable")
    if state.enabled is None:
        state.enabled = enabled
    elif enabled is not None and enabled != state.enabled:
        reason = f"{dotted(state.origin)} says the opposite, and systemd obeys the first preset"
        journal.dropped(path, f"enabled {str(enabled).lower()}", reason, Effect.MAY_DIFFER)


def networkd_files(units: tuple[types.NetworkdUnit, ...], journal: Journal) -> Iterator[FileEntry]:
    """Yield the files that spec 2 wrote for networkd, in that order."""
    for index, unit in enumerate(units):
        path: Path = (*_NETWORKD, index)
        if not unit.name.endswith(_NETWORKD_KINDS):
            journal.refuse((*path, "name"), "invalid networkd unit extension", f"it is one of: {', '.join(_NETWORKD_KINDS)}")
        for position, dropin in enumerate(unit.dropins):
            origin: Path = (*path, "dropins", position)
            if not dropin.name.endswith(".conf"):
                journal.refuse((*origin, "name"), "invalid networkd drop-in extension", "it is .conf")
            yield from _networkd_file(f"{unit.name}.d/{dropin.name}", dropin.contents, origin, journal)
        yield from _networkd_file(unit.name, unit.contents, path, journal)


def _networkd_file(name: str, contents: str, origin: Path, journal: Journal) -> Iterator[FileEntry]:
    was = f"networkd file {quoted(name)}"
    if not contents:
        journal.dropped(origin, was, "it is empty, and spec 2 wrote no empty ones")
        return
    path = f"{_NETWORKD_FOLDER}/{name}"
    journal.changed(origin, was, f"file {quoted(path)}", "spec 3 has no networkd section")
    source = "data:," + quote(contents, safe=_UNESCAPED)
    yield FileEntry(model.File(overwrite=True, path=path, contents=model.Resource(source=source), mode=_FILE_MODE), origin)
