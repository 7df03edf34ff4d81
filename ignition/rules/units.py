"""Rules for systemd units and their drop-ins."""

import posixpath
import re

from ignition import model
from ignition.rules.places import Place, quoted
from ignition.rules.unitfile import BadUnit, sections_with_options

# systemd.unit(5)
_EXTENSIONS = frozenset(
    {
        "automount",
        "device",
        "mount",
        "path",
        "scope",
        "service",
        "slice",
        "snapshot",
        "socket",
        "swap",
        "target",
        "timer",
    }
)

_INSTANCE = re.compile(r"(.+?)@.+?\.service")


def check_systemd(systemd: model.Systemd, place: Place) -> None:
    """Warn of enabled instances whose template is here and cannot be enabled."""
    instances = [(index, unit, _INSTANCE.fullmatch(unit.name)) for index, unit in enumerate(systemd.units) if unit.enabled]
    if not any(found for _, _, found in instances):
        return
    units = {unit.name: unit for unit in systemd.units}
    for index, unit, found in instances:
        name = f"{found[1]}@.service" if found else ""
        template = units.get(name)
        if template is not None and template.contents and not _is_installable(template.contents):
            message = f"template unit {quoted(name)} for {quoted(unit.name)} doesn't have Install section"
            place.warning(message, "units", index, "contents")


def _is_installable(contents: str) -> bool:
    try:
        return "Install" in sections_with_options(contents)
    except BadUnit:
        # That is said of the template itself.
        return True


def check_unit(unit: model.Unit, place: Place) -> None:
    if _extension(unit.name) not in _EXTENSIONS:
        place.error("invalid systemd unit extension", "name")
    sections = _sections(unit.contents, place)
    if unit.enabled and unit.contents and sections is not None and "Install" not in sections:
        place.warning(f"unit {quoted(unit.name)} is enabled, but has no install section so enable does nothing", "contents")


def check_dropin(dropin: model.Dropin, place: Place) -> None:
    _sections(dropin.contents, place)
    if _extension(dropin.name) != "conf":
        place.error("invalid systemd drop-in extension", "name")


def _sections(contents: str | None, place: Place) -> frozenset[str] | None:
    try:
        return sections_with_options(contents or "")
    except BadUnit as error:
        place.error(f"invalid unit content: {error}", "contents")
        return None


def _extension(name: str) -> str:
    """Return what Go's path.Ext returns, without the dot: what follows the last dot of the last path element."""
    return posixpath.basename(name).rpartition(".")[2] if "." in posixpath.basename(name) else ""
