"""Applies every rule to every part of a config, and finds entries defined twice."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeAlias

import msgspec

from ignition import model
from ignition.model import Part
from ignition.validate import disks, nodes, resources, units
from ignition.validate.places import Broken, Place

Rule: TypeAlias = Callable[[Any, Place], None]

_RULES: Mapping[type[Part], Rule] = {
    model.CaReference: resources.check_ca_reference,
    model.ConfigReference: resources.check_config_reference,
    model.Custom: disks.check_custom,
    model.Directory: nodes.check_directory,
    model.Disk: disks.check_disk,
    model.Dropin: units.check_dropin,
    model.File: nodes.check_file,
    model.Filesystem: disks.check_filesystem,
    model.HTTPHeader: resources.check_header,
    model.Link: nodes.check_link,
    model.Luks: disks.check_luks,
    model.NodeGroup: nodes.check_owner,
    model.NodeUser: nodes.check_owner,
    model.Partition: disks.check_partition,
    model.Proxy: resources.check_proxy,
    model.Raid: disks.check_raid,
    model.Resource: resources.check_resource,
    model.Storage: nodes.check_storage,
    model.Tang: disks.check_tang,
    model.Unit: units.check_unit,
    model.Verification: resources.check_verification,
}

_KEYS: Mapping[type, Callable[[Any], str]] = {
    str: str,
    model.CaReference: lambda part: part.source or "",
    model.ConfigReference: lambda part: part.source or "",
    model.Directory: lambda part: part.path,
    model.Disk: lambda part: part.device,
    model.Dropin: lambda part: part.name,
    model.File: lambda part: part.path,
    model.Filesystem: lambda part: part.device,
    model.HTTPHeader: lambda part: part.name,
    model.Link: lambda part: part.path,
    model.Luks: lambda part: part.name,
    model.Partition: lambda part: f"number:{part.number}" if part.number else f"label:{part.label or ''}",
    model.PasswdGroup: lambda part: part.name,
    model.PasswdUser: lambda part: part.name,
    model.Raid: lambda part: part.name,
    model.Resource: lambda part: part.source or "",
    model.Tang: lambda part: part.url,
    model.Unit: lambda part: part.name,
}
"""What must be unique in a list of each type."""

_REPEATABLE = {
    (model.File, "append"),
    (model.Filesystem, "mount_options"),
    (model.Filesystem, "options"),
    (model.Luks, "options"),
    (model.Raid, "options"),
}
_SHARED = {
    (model.Storage, "directories"): "node",
    (model.Storage, "files"): "node",
    (model.Storage, "links"): "node",
    (model.KernelArguments, "should_exist"): "argument",
    (model.KernelArguments, "should_not_exist"): "argument",
}
"""Lists whose entries must be unique together."""


def broken_rules(config: model.Config, minor: int) -> list[Broken]:
    """Return every rule of spec 3.`minor` that the config breaks."""
    broken: list[Broken] = []
    _check(config, Place((), minor, broken))
    return broken


def _check(part: Part, place: Place) -> None:
    rule = _RULES.get(type(part))
    if rule is not None:
        rule(part, place)
    seen: dict[str, set[str]] = {}
    for attribute, key, has_keys in _lists_and_parts(type(part)):
        value = getattr(part, attribute)
        if isinstance(value, Part):
            _check(value, Place((*place.path, key), place.minor, place.broken))
        elif value:
            if has_keys:
                _check_duplicates(value, seen.setdefault(_space(part, attribute), set()), key, place)
            for index, item in enumerate(value):
                if isinstance(item, Part):
                    _check(item, Place((*place.path, key, index), place.minor, place.broken))


def _space(part: Part, attribute: str) -> str:
    return _SHARED.get((type(part), attribute), attribute)


def _check_duplicates(items: tuple[Any, ...], seen: set[str], key: str, place: Place) -> None:
    for index, item in enumerate(items):
        identity = _KEYS[type(item)](item)
        if identity in seen:
            place.error("duplicate entry defined", key, index)
        seen.add(identity)


@cache
def _lists_and_parts(type_: type[Part]) -> tuple[tuple[str, str, bool], ...]:
    """The fields worth a visit: attribute, JSON key, and whether its items must be unique."""
    return tuple(_visits(type_))


def _visits(type_: type[Part]) -> Iterator[tuple[str, str, bool]]:
    for field in msgspec.structs.fields(type_):
        text = str(field.type)
        if "tuple" in text:
            yield field.name, field.encode_name, (type_, field.name) not in _REPEATABLE
        elif "ignition.model" in text:
            yield field.name, field.encode_name, False
