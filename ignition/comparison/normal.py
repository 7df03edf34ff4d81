"""Configs in normal form: what they ask for, whatever their spelling."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from ignition import model
from ignition.comparison.defaults import CONTENTS, DEFAULTS, IDENTITIES, SETS, SIGHTS, Sight
from ignition.rules import BadURL, decode_data_url
from ignition.secrets import gunzip, mask_url

Value: TypeAlias = bool | int | str | bytes | tuple[str, ...]
"""A property's value; bytes are the contents of something."""

_SPECIAL_BITS = 6
"""Older specs do not set setuid, setgid and sticky bits (config/v3_6/translate/translate.go)."""


class Kind(StrEnum):
    """What a config has objects of. The value is the name in a difference, and the order that of a config."""

    IGNITION = "ignition"
    MERGE = "merged config"
    REPLACE = "replacing config"
    AUTHORITY = "certificate authority"
    KERNEL_ARGUMENT = "kernel argument"
    DISK = "disk"
    PARTITION = "partition"
    RAID = "raid"
    LUKS = "luks volume"
    FILESYSTEM = "filesystem"
    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"
    GROUP = "group"
    USER = "user"
    UNIT = "unit"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Subject:
    """An object of a config, such as the file `/etc/hostname`. A partition is named by its disk and its number, or label."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A property of an object."""

    value: Value
    sight: Sight = Sight.OPEN


Facts: TypeAlias = Mapping[str, Fact]


@dataclass(frozen=True)
class NormalForm:
    """Two configs with equal normal forms ask for the same. `orders` holds the names of what has to be done in turn."""

    objects: Mapping[Subject, Facts]
    orders: Mapping[str, tuple[str, ...]]


def normal_form(config: model.Config) -> NormalForm:
    """Return the normal form of a config. Objects that a broken config has twice are kept apart."""
    objects: dict[Subject, Facts] = {}
    orders: dict[str, tuple[str, ...]] = {}

    def add(kind: Kind, name: str, facts: Facts) -> str:
        while Subject(kind, name) in objects:
            name += " (again)"
        objects[Subject(kind, name)] = facts
        return name

    for kind, part in _parts(config):
        facts = dict(_facts(part))
        if isinstance(part, model.Directory | model.File) and part.mode is not None and _is_before(config, _SPECIAL_BITS):
            facts["mode"] = Fact(part.mode & 0o777)
        add(kind, str(getattr(part, IDENTITIES[type(part)])), facts)
    _add_ignition(config.ignition, add, orders)
    _add_arguments(config.kernel_arguments or model.KernelArguments(), add, orders)
    storage, passwd = config.storage or model.Storage(), config.passwd or model.Passwd()
    for disk in storage.disks:
        names = [(part.number, add(Kind.PARTITION, _partition(disk, part), _partition_facts(part))) for part in disk.partitions]
        orders[f"partitions without a number of {disk.device}"] = tuple(name for number, name in names if not number)
    orders["users without uid"] = tuple(user.name for user in passwd.users if user.uid is None)
    orders["groups without gid"] = tuple(group.name for group in passwd.groups if group.gid is None)
    return NormalForm(objects, {label: names for label, names in orders.items() if len(names) > 1})


def _is_before(config: model.Config, minor: int) -> bool:
    """Whether a config is of a spec older than 3.`minor`."""
    major, _, rest = config.ignition.version.partition(".")
    found = rest.partition(".")[0]
    return major == "3" and found.isdecimal() and int(found) < minor


def _parts(config: model.Config) -> Iterator[tuple[Kind, model.Part]]:
    """Give the objects that have a name, and properties of their own."""
    storage, passwd = config.storage or model.Storage(), config.passwd or model.Passwd()
    lists: tuple[tuple[Kind, tuple[model.Part, ...]], ...] = (
        (Kind.DISK, storage.disks),
        (Kind.RAID, storage.raid),
        (Kind.LUKS, storage.luks),
        (Kind.FILESYSTEM, storage.filesystems),
        (Kind.DIRECTORY, storage.directories),
        (Kind.FILE, storage.files),
        (Kind.LINK, storage.links),
        (Kind.GROUP, passwd.groups),
        (Kind.USER, passwd.users),
        (Kind.UNIT, (config.systemd or model.Systemd()).units),
    )
    for kind, parts in lists:
        for part in parts:
            yield kind, part


def _add_ignition(ignition: model.Ignition, add: Any, orders: dict[str, tuple[str, ...]]) -> None:
    facts = {"version": Fact(ignition.version)}
    if ignition.proxy is not None:
        facts |= _facts(ignition.proxy, "proxy.")
    if ignition.timeouts is not None:
        facts |= _facts(ignition.timeouts, "timeouts.")
    add(Kind.IGNITION, "", facts)
    config = ignition.config or model.IgnitionConfig()
    orders["configs to merge"] = tuple(
        add(Kind.MERGE, _reference(reference, number), dict(_resource(reference, "config")))
        for number, reference in enumerate(config.merge, 1)
    )
    if config.replace is not None and (facts := dict(_resource(config.replace, "config"))):
        add(Kind.REPLACE, "", facts)
    tls = (ignition.security or model.Security()).tls or model.TLS()
    for number, authority in enumerate(tls.certificate_authorities, 1):
        add(Kind.AUTHORITY, _reference(authority, number), dict(_resource(authority, "certificates")))


def _add_arguments(arguments: model.KernelArguments, add: Any, orders: dict[str, tuple[str, ...]]) -> None:
    wanted = tuple(add(Kind.KERNEL_ARGUMENT, text, {"shouldExist": Fact(True)}) for text in arguments.should_exist)
    for text in arguments.should_not_exist:
        add(Kind.KERNEL_ARGUMENT, text, {"shouldExist": Fact(False)})
    orders["kernel arguments"] = wanted


def _reference(resource: model.Resource, number: int) -> str:
    """Name a resource that has no name by its URL; by its place when its contents stand in the config."""
    source = resource.source or ""
    return f"inline {number}" if not source or source.startswith("data:") else mask_url(source)


def _partition(disk: model.Disk, partition: model.Partition) -> str:
    return f"{disk.device} {partition.number or partition.label or 'without label'}"


def _partition_facts(partition: model.Partition) -> Facts:
    facts = dict(_facts(partition))
    facts.pop("number" if partition.number else "label", None)
    return facts


def _facts(part: model.Part, prefix: str = "") -> Iterator[tuple[str, Fact]]:
    """Give the properties of a part and of the parts in it."""
    type_ = type(part)
    absent = type_()
    for field, key in zip(part.__struct_fields__, part.__struct_encode_fields__, strict=True):
        value = getattr(part, field)
        is_default = value == DEFAULTS.get(type_, {}).get(field)
        is_elsewhere = field == IDENTITIES.get(type_) or (type_, field) == (model.Disk, "partitions")
        if is_elsewhere or is_default or value == getattr(absent, field):
            continue
        yield from _field(type_, field, value, prefix + key)


def _field(type_: type[model.Part], field: str, value: Any, name: str) -> Iterator[tuple[str, Fact]]:
    sight = SIGHTS.get((type_, field), Sight.OPEN)
    if isinstance(value, model.Resource):
        yield from _resource(value, name, Sight.HIDDEN if field == "key_file" else Sight.OPEN)
    elif isinstance(value, model.Part):
        yield from _facts(value, f"{name}.")
    elif (type_, field) in CONTENTS:
        yield name, Fact(value.encode("utf-8", "surrogatepass"))
    elif not isinstance(value, tuple):
        yield name, Fact(value, sight)
    elif (type_, field) in SETS:
        yield name, Fact(tuple(sorted(set(value))))
    elif isinstance(value[0], str):
        yield name, Fact(value)
    else:
        yield from _items(value, name)


def _items(parts: tuple[model.Part, ...], name: str) -> Iterator[tuple[str, Fact]]:
    for number, part in enumerate(parts):
        identity = IDENTITIES.get(type(part))
        item = f"{name}.{number if identity is None else mask_url(getattr(part, identity))}"
        if isinstance(part, model.Resource):
            yield from _resource(part, item)
        elif isinstance(part, model.Tang):
            yield f"{item}.url", Fact(part.url, Sight.URL)
            yield from _facts(part, f"{item}.")
        else:
            yield from _facts(part, f"{item}.")


def _resource(resource: model.Resource, name: str, sight: Sight = Sight.OPEN) -> Iterator[tuple[str, Fact]]:
    """Give what a resource yields: its contents when they stand in the config, otherwise where they come from."""
    contents = None if resource.source is None else _contents(resource)
    if contents is not None:
        yield name, Fact(contents, sight)
    elif resource.source is not None:
        yield f"{name}.source", Fact(resource.source, Sight.URL)
    if contents is None and resource.compression:
        yield f"{name}.compression", Fact(resource.compression)
    for header in resource.http_headers:
        yield f"{name}.httpHeaders.{header.name.lower()}", Fact(header.value or "", Sight.HIDDEN)
    if resource.verification is not None and resource.verification.hash is not None:
        yield f"{name}.verification.hash", Fact(resource.verification.hash, sight)


def _contents(resource: model.Resource) -> bytes | None:
    """Return the contents of a data URL; None when it is none, or Ignition could not unpack it either."""
    try:
        contents = decode_data_url(resource.source) if resource.source else b""
        return gunzip(contents) if resource.compression == "gzip" else contents
    except (BadURL, ValueError):
        return None
