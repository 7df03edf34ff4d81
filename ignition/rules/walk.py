"""Applies every rule to every part of a config, and finds entries defined twice."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from ignition import model
from ignition.errors import Severity
from ignition.model import Part
from ignition.model.shape import fields, identity
from ignition.rules import disks, nodes, resources, storage, units
from ignition.rules.places import Broken, Place

Rule: TypeAlias = Callable[[Any, Place], None]
_Unique: TypeAlias = tuple[str, str, str]
"""A list: its attribute, its key, and the name it shares with the lists whose entries must differ from its own."""

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
    _check(config, _plan(model.Config), place, repeated)
    return [*place.broken, *repeated] if repeated else place.broken


class _Plan(NamedTuple):
    """What there is to check in a part of one type: its rule, its lists of unique entries, and its fields that hold parts."""

    rule: Rule | None
    unique: tuple[_Unique, ...]
    inner: tuple[tuple[str, str, bool, "_Plan"], ...]
    """Attribute, key, whether it is a list, and the plan for the parts in it."""


def _check(part: Part, plan: _Plan, place: Place, repeated: list[Broken]) -> None:
    rule, unique, inner = plan
    if rule is not None:
        rule(part, place)
    if unique:
        _check_duplicates(part, unique, place.steps, repeated)
    steps = place.steps
    for attribute, key, is_list, inner_plan in inner:
        value = getattr(part, attribute)
        if not value:
            continue
        steps.append(key)
        if is_list:
            for index, item in enumerate(value):
                steps.append(index)
                _check(item, inner_plan, place, repeated)
                steps.pop()
        else:
            _check(value, inner_plan, place, repeated)
        steps.pop()


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
def _plan(type_: type[Part]) -> _Plan:
    unique = tuple((field.attribute, field.key, field.space) for field in fields(type_) if field.is_list and field.space)
    inner = tuple((field.attribute, field.key, field.is_list, _plan(field.type)) for field in fields(type_) if field.is_part)
    return _Plan(_RULES.get(type_), unique, inner)
