"""The parts of a spec 2 config (coreos/ignition, branch spec2x, config/v2_4/types/schema.go and older).

`SINCE` names the minor version of spec 2 that brought a field. Values are read as in spec 3: null is absence, a field that Go
holds in a pointer is None when absent, any other has Go's zero value. Parts without SINCE that spec 3 has alike are its own.
"""

from collections.abc import Mapping
from typing import ClassVar

from ignition.model import Part, Proxy, Timeouts, Verification


class HTTPHeader(Part, frozen=True):
    name: str = ""
    value: str = ""


class Reference(Part, frozen=True):
    """Another config, or a certificate authority."""

    SINCE: ClassVar[Mapping[str, int]] = {"http_headers": 4}

    http_headers: tuple[HTTPHeader, ...] = ()
    source: str = ""
    verification: Verification | None = None


class FileContents(Reference, frozen=True):
    compression: str = ""


class IgnitionConfig(Part, frozen=True):
    append: tuple[Reference, ...] = ()
    replace: Reference | None = None


class TLS(Part, frozen=True):
    certificate_authorities: tuple[Reference, ...] = ()


class Security(Part, frozen=True):
    tls: TLS | None = None


class Ignition(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"timeouts": 1, "security": 2, "proxy": 4}

    config: IgnitionConfig | None = None
    proxy: Proxy | None = None
    security: Security | None = None
    timeouts: Timeouts | None = None
    version: str = ""


class Partition(
    Part,
    frozen=True,
    rename={
        "should_exist": "shouldExist",
        "size_mib": "sizeMiB",
        "start_mib": "startMiB",
        "type_guid": "typeGuid",
        "wipe_partition_entry": "wipePartitionEntry",
    },
):
    """A partition; `size` and `start` in sectors, which spec 2.3 deprecated."""

    SINCE: ClassVar[Mapping[str, int]] = {
        "guid": 1,
        "should_exist": 3,
        "size_mib": 3,
        "start_mib": 3,
        "wipe_partition_entry": 3,
    }

    guid: str = ""
    label: str | None = None
    number: int = 0
    should_exist: bool | None = None
    size: int | None = None
    size_mib: int | None = None
    start: int | None = None
    start_mib: int | None = None
    type_guid: str = ""
    wipe_partition_entry: bool = False


class Disk(Part, frozen=True):
    device: str = ""
    partitions: tuple[Partition, ...] = ()
    wipe_table: bool = False


class Raid(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"options": 2}

    devices: tuple[str, ...] = ()
    level: str = ""
    name: str = ""
    options: tuple[str, ...] = ()
    spares: int = 0


class Create(Part, frozen=True):
    force: bool = False
    options: tuple[str, ...] = ()


class Mount(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"label": 1, "options": 1, "uuid": 1, "wipe_filesystem": 1}

    create: Create | None = None
    device: str = ""
    format: str = ""
    label: str | None = None
    options: tuple[str, ...] = ()
    uuid: str | None = None
    wipe_filesystem: bool = False


class Filesystem(Part, frozen=True):
    """A filesystem to make (`mount`), or one that the initial RAM disk has mounted already (`path`)."""

    mount: Mount | None = None
    name: str = ""
    path: str | None = None


class Owner(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"name": 1}

    id: int | None = None
    name: str = ""


class Directory(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"overwrite": 2}

    filesystem: str = ""
    group: Owner | None = None
    overwrite: bool | None = None
    path: str = ""
    user: Owner | None = None
    mode: int | None = None


class File(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"append": 2, "overwrite": 2}

    filesystem: str = ""
    group: Owner | None = None
    overwrite: bool | None = None
    path: str = ""
    user: Owner | None = None
    append: bool = False
    contents: FileContents | None = None
    mode: int | None = None


class Link(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"overwrite": 2}

    filesystem: str = ""
    group: Owner | None = None
    overwrite: bool | None = None
    path: str = ""
    user: Owner | None = None
    hard: bool = False
    target: str = ""


class Storage(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"directories": 1, "links": 1}

    directories: tuple[Directory, ...] = ()
    disks: tuple[Disk, ...] = ()
    files: tuple[File, ...] = ()
    filesystems: tuple[Filesystem, ...] = ()
    links: tuple[Link, ...] = ()
    raid: tuple[Raid, ...] = ()


class Dropin(Part, frozen=True):
    contents: str = ""
    name: str = ""


class Unit(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"enabled": 1}

    contents: str = ""
    dropins: tuple[Dropin, ...] = ()
    enable: bool = False
    enabled: bool | None = None
    mask: bool = False
    name: str = ""


class Systemd(Part, frozen=True):
    units: tuple[Unit, ...] = ()


class NetworkdUnit(Part, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = {"dropins": 2}

    contents: str = ""
    dropins: tuple[Dropin, ...] = ()
    name: str = ""


class Networkd(Part, frozen=True):
    units: tuple[NetworkdUnit, ...] = ()


class Account(Part, frozen=True):
    """What `create` says of a user, and since spec 2.1 the user itself."""

    gecos: str = ""
    groups: tuple[str, ...] = ()
    home_dir: str = ""
    no_create_home: bool = False
    no_log_init: bool = False
    no_user_group: bool = False
    primary_group: str = ""
    shell: str = ""
    system: bool = False
    uid: int | None = None


class PasswdUser(Account, frozen=True):
    SINCE: ClassVar[Mapping[str, int]] = dict.fromkeys(Account.__struct_fields__, 1)

    create: Account | None = None
    name: str = ""
    password_hash: str | None = None
    ssh_authorized_keys: tuple[str, ...] = ()


class PasswdGroup(Part, frozen=True):
    gid: int | None = None
    name: str = ""
    password_hash: str = ""
    system: bool = False


class Passwd(Part, frozen=True):
    groups: tuple[PasswdGroup, ...] = ()
    users: tuple[PasswdUser, ...] = ()


class Config(Part, frozen=True):
    ignition: Ignition = Ignition()
    networkd: Networkd | None = None
    passwd: Passwd | None = None
    storage: Storage | None = None
    systemd: Systemd | None = None
