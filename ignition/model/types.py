"""The parts of an Ignition config (coreos/ignition, config/v3_6/types/schema.go).

A field that Go holds in a pointer is None when absent; any other field has Go's zero value then, and is left out of the
output. `SINCE` names the minor version of spec 3 that brought a field; older specs do not know it.
"""

from collections.abc import Mapping
from typing import ClassVar

import msgspec


class Part(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One JSON object of a config."""

    SINCE: ClassVar[Mapping[str, int]] = {}


class Verification(Part, frozen=True):
    hash: str | None = None


class HTTPHeader(Part, frozen=True):
    name: str = ""
    value: str | None = None


class Resource(Part, frozen=True):
    """Something to fetch."""

    SINCE: ClassVar[Mapping[str, int]] = {"http_headers": 1}

    compression: str | None = None
    http_headers: tuple[HTTPHeader, ...] = ()
    source: str | None = None
    verification: Verification | None = None


class ConfigReference(Resource, frozen=True):
    """Another config, to merge or to use instead."""

    SINCE: ClassVar[Mapping[str, int]] = {"compression": 1, "http_headers": 1}


class CaReference(Resource, frozen=True):
    """A certificate authority to trust while fetching."""

    SINCE: ClassVar[Mapping[str, int]] = {"compression": 1, "http_headers": 1}


class IgnitionConfig(Part, frozen=True):
    merge: tuple[ConfigReference, ...] = ()
    replace: ConfigReference | None = None


class Proxy(Part, frozen=True):
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: tuple[str, ...] = ()


class TLS(Part, frozen=True):
    certificate_authorities: tuple[CaReference, ...] = ()


class Security(Part, frozen=True):
    tls: TLS | None = None


class Timeouts(Part, frozen=True):
    http_response_headers: int | None = None
    http_total: int | None = None


class Ignition(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"proxy": 1}

    config: IgnitionConfig | None = None
    proxy: Proxy | None = None
    security: Security | None = None
    timeouts: Timeouts | None = None
    version: str = ""


class KernelArguments(Part, frozen=True):
    should_exist: tuple[str, ...] = ()
    should_not_exist: tuple[str, ...] = ()


class PasswdGroup(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"should_exist": 2}

    gid: int | None = None
    name: str = ""
    password_hash: str | None = None
    should_exist: bool | None = None
    system: bool | None = None


class PasswdUser(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"should_exist": 2}

    gecos: str | None = None
    groups: tuple[str, ...] = ()
    home_dir: str | None = None
    name: str = ""
    no_create_home: bool | None = None
    no_log_init: bool | None = None
    no_user_group: bool | None = None
    password_hash: str | None = None
    primary_group: str | None = None
    ssh_authorized_keys: tuple[str, ...] = ()
    shell: str | None = None
    should_exist: bool | None = None
    system: bool | None = None
    uid: int | None = None


class Passwd(Part, frozen=True):
    groups: tuple[PasswdGroup, ...] = ()
    users: tuple[PasswdUser, ...] = ()


class NodeGroup(Part, frozen=True):
    id: int | None = None
    name: str | None = None


class NodeUser(Part, frozen=True):
    id: int | None = None
    name: str | None = None


class Directory(Part, frozen=True):
    group: NodeGroup | None = None
    overwrite: bool | None = None
    path: str = ""
    user: NodeUser | None = None
    mode: int | None = None


class File(Part, frozen=True):
    group: NodeGroup | None = None
    overwrite: bool | None = None
    path: str = ""
    user: NodeUser | None = None
    append: tuple[Resource, ...] = ()
    contents: Resource | None = None
    mode: int | None = None


class Link(Part, frozen=True):
    group: NodeGroup | None = None
    overwrite: bool | None = None
    path: str = ""
    user: NodeUser | None = None
    hard: bool | None = None
    target: str | None = None


class Partition(Part, frozen=True):
    """A partition; start and size in MiB, number 0 means the next free one."""

    SINCE: ClassVar[Mapping[str, int]] = {"resize": 2}

    guid: str | None = None
    label: str | None = None
    number: int = 0
    resize: bool | None = None
    should_exist: bool | None = None
    size_mib: int | None = msgspec.field(default=None, name="sizeMiB")
    start_mib: int | None = msgspec.field(default=None, name="startMiB")
    type_guid: str | None = None
    wipe_partition_entry: bool | None = None


class Disk(Part, frozen=True):
    device: str = ""
    partitions: tuple[Partition, ...] = ()
    wipe_table: bool | None = None


class Filesystem(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"mount_options": 1}

    device: str = ""
    format: str | None = None
    label: str | None = None
    mount_options: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    path: str | None = None
    uuid: str | None = None
    wipe_filesystem: bool | None = None


class Tang(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"advertisement": 4}

    advertisement: str | None = None
    thumbprint: str | None = None
    url: str = ""


class Custom(Part, frozen=True):
    config: str | None = None
    needs_network: bool | None = None
    pin: str | None = None


class Clevis(Part, frozen=True):
    custom: Custom | None = None
    tang: tuple[Tang, ...] = ()
    threshold: int | None = None
    tpm2: bool | None = None


class Cex(Part, frozen=True):
    """A key in an IBM Crypto Express adapter."""

    enabled: bool | None = None


class Luks(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"cex": 5, "discard": 4, "open_options": 4}

    cex: Cex | None = None
    clevis: Clevis | None = None
    device: str | None = None
    discard: bool | None = None
    key_file: Resource | None = None
    label: str | None = None
    name: str = ""
    open_options: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    uuid: str | None = None
    wipe_volume: bool | None = None


class Raid(Part, frozen=True):
    devices: tuple[str, ...] = ()
    level: str | None = None
    name: str = ""
    options: tuple[str, ...] = ()
    spares: int | None = None


class Storage(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"luks": 2}

    directories: tuple[Directory, ...] = ()
    disks: tuple[Disk, ...] = ()
    files: tuple[File, ...] = ()
    filesystems: tuple[Filesystem, ...] = ()
    links: tuple[Link, ...] = ()
    luks: tuple[Luks, ...] = ()
    raid: tuple[Raid, ...] = ()


class Dropin(Part, frozen=True):
    contents: str | None = None
    name: str = ""


class Unit(Part, frozen=True):
    contents: str | None = None
    dropins: tuple[Dropin, ...] = ()
    enabled: bool | None = None
    mask: bool | None = None
    name: str = ""


class Systemd(Part, frozen=True):
    units: tuple[Unit, ...] = ()


class Config(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"kernel_arguments": 3}

    ignition: Ignition = Ignition()
    kernel_arguments: KernelArguments | None = None
    passwd: Passwd | None = None
    storage: Storage | None = None
    systemd: Systemd | None = None

    def in_version(self, version: str) -> "Config":
        """Return the config with its spec version set."""
        return msgspec.structs.replace(self, ignition=msgspec.structs.replace(self.ignition, version=version))


_ENCODER = msgspec.json.Encoder()


def encode(config: Config) -> bytes:
    """Return the config as compact JSON in UTF-8, keys in the order of Ignition's structs, absent values left out."""
    return _ENCODER.encode(config)
