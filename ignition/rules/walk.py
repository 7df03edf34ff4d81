"""Applies every rule to every part of a config, and finds entries defined twice."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

from ignition import model
from ignition.errors import Severity
from ignition.model import Part
from ignition.model.shape import fields, identity
from ignition.rules import disks, nodes, resources, storage, units
from ignition.rules.places import Broken, Place

Rule: TypeAlias = Callable[[Any, Place], None]
_Unique: TypeAlias = tuple[str, str, str]
"""A list: its attribute, its key, and the name it shares with the lists whose entries must differ from its own."""
_Inner: TypeAlias = tuple[str, str, bool]
"""A field of parts: its attribute, its key, and whether it is a list."""

_RULES: Mapping[type[Part], Rule] = {
    model.CaReference: resources.check_ca_reference,
    model.Config: nodes.check_unit_paths,
    model.ConfigReference: resources.check_config_reference,
    model.Custom: disks.check_custom,
    model.Directory: nodes.check_directory,
    model.Disk: disks.check_disk,
    model.Dropin: units.check_dropin,
    model.File: nodes.check_file,
    model.Filesystem: disks.check_filesystem,
    model.HTTPHeader: resources.check_header,
    model.IgnitionConfig: resources.check_ignition_config,
    model.Link: nodes.check_link,
    model.Luks: disks.check_luks,
    model.NodeGroup: nodes.check_owner,
    model.NodeUser: nodes.check_owner,
    model.Partition: disks.check_partition,
    model.Proxy: resources.check_proxy,
    model.Raid: disks.check_raid,
    model.Resource: resources.check_resource,
    model.Storage: storage.check_storage,
    model.Systemd: units.check_systemd,
    model.TLS: resources.check_tls,
    model.Tang: disks.check_tang,
    model.Unit: units.check_unit,
    model.Verification: resources.check_verification,
}


def broken_rules(config: model.Config, minor: int) -> list[Broken]:
    """Return every rule of spec 3.`minor` that the config breaks, in the order in which Ignition reports them.

    A part comes before the parts in it, those in the order of Ignition's structs, and entries defined twice come last.
    """
    place = Place([], minor, [])
    repeated: list[Broken] = []
    _check(config, place, repeated)
    return [*place.broken, *repeated] if repeated else place.broken


def _check(part: Part, place: Place, repeated: list[Broken]) -> None:
    rule, unique, inner = _plan(type(part))
    if rule is not None:
        rule(part, place)
    if unique:
        _check_duplicates(part, unique, place.steps, repeated)
    for attribute, key, is_list in inner:
        value = getattr(part, attribute)
        if not value:
            continue
        place.steps.append(key)
        if is_list:
            for index, item in enumerate(value):
                place.steps.append(index)
                _check(item, place, repeated)
                place.steps.pop()
        else:
            _check(value, place, repeated)
        place.steps.pop()


def _check_duplicates(part: Part, unique: tuple[_Unique, ...], steps: list[str | int], repeated: list[Broken]) -> None:
    seen: dict[str, set[str]] = {}
    for attribute, key, space in unique:
        items = getattr(part, attribute)
        if not items:
            continue
        before = seen.setdefault(space, set())
        for index, item in enumerate(items):
            name = identity(item)
            if name in before:
                repeated.append(Broken(Severity.ERROR, (*steps, key, index), "duplicate entry defined"))
            before.add(name)


@cache
def _plan(type_: type[Part]) -> tuple[Rule | None, tuple[_Unique, ...], tuple[_Inner, ...]]:
    """Return the rule for a type, its lists whose entries must be unique, and its fields that hold parts."""
    unique = tuple((field.attribute, field.key, field.space) for field in fields(type_) if field.is_list and field.space)
    inner = tuple((field.attribute, field.key, field.is_list) for field in fields(type_) if field.is_part)
    return _RULES.get(type_), unique, inner
