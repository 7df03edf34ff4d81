"""What a Butane document may hold, release by release (coreos/butane, base/v0_*/schema.go and config/fcos/v1_*/schema.go).

A table holds every struct in the order of Go's fields, which is the order of reports. A field is written `key:type`, with the
releases that know it behind the type: `>=4` and `<4` count base schemas, `@5` is fcos 1.5 and newer. `[T]` is a list.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ignition.butane.releases import Release

_TABLE = {
    "BootDevice": "layout:str luks:BootDeviceLuks mirror:BootDeviceMirror",
    "BootDeviceLuks": "cex:Cex>=6 discard:bool>=5 device:str>=6 tang:[Tang] threshold:int tpm2:bool",
    "BootDeviceMirror": "devices:[str]",
    "CaReference": "source:str verification:Verification",
    "Cex": "enabled:bool",
    "Clevis": "custom:Custom<4 custom:ClevisCustom>=4 tang:[Tang] threshold:int tpm2:bool",
    "ClevisCustom": "config:str needs_network:bool pin:str",
    "Config": (
        "version:str variant:str ignition:Ignition kernel_arguments:KernelArguments>=4 passwd:Passwd storage:Storage "
        "systemd:Systemd boot_device:BootDevice@3 grub:Grub@5"
    ),
    "ConfigReference": "source:str verification:Verification",
    "Custom": "config:str needs_network:bool pin:str",
    "Directory": "group:NodeGroup overwrite:bool path:str user:NodeUser mode:int",
    "Disk": "device:str partitions:[Partition] wipe_table:bool",
    "Dropin": "contents:str contents_local:str>=5 name:str",
    "File": (
        "group:NodeGroup overwrite:bool path:str user:NodeUser append:[FileContents]<2 append:[Resource]>=2 "
        "contents:FileContents<2 contents:Resource>=2 mode:int"
    ),
    "FileContents": "compression:str source:str inline:str verification:Verification",
    "Filesystem": (
        "device:str format:str label:str mount_options:[str]>=2 options:[FilesystemOption]<2 options:[str]>=2 path:str uuid:str "
        "wipe_filesystem:bool with_mount_unit:bool>=2"
    ),
    "Grub": "users:[GrubUser]",
    "GrubUser": "name:str password_hash:str",
    "HTTPHeader": "name:str value:str",
    "Ignition": "config:IgnitionConfig proxy:Proxy>=2 security:Security timeouts:Timeouts",
    "IgnitionConfig": ("merge:[ConfigReference]<2 merge:[Resource]>=2 replace:ConfigReference<2 replace:Resource>=2"),
    "KernelArguments": "should_exist:[KernelArgument] should_not_exist:[KernelArgument]",
    "Link": "group:NodeGroup overwrite:bool path:str user:NodeUser hard:bool target:str",
    "Luks": (
        "cex:Cex>=6 clevis:Clevis device:str discard:bool>=5 key_file:Resource label:str name:str open_options:[str]>=5 "
        "options:[LuksOption]<5 options:[str]>=5 uuid:str wipe_volume:bool"
    ),
    "NodeGroup": "id:int name:str",
    "NodeUser": "id:int name:str",
    "Partition": (
        "guid:str label:str number:int resize:bool>=3 should_exist:bool size_mib:int start_mib:int type_guid:str "
        "wipe_partition_entry:bool"
    ),
    "Passwd": "groups:[PasswdGroup] users:[PasswdUser]",
    "PasswdGroup": "gid:int name:str password_hash:str should_exist:bool>=3 system:bool",
    "PasswdUser": (
        "gecos:str groups:[Group] home_dir:str name:str no_create_home:bool no_log_init:bool no_user_group:bool "
        "password_hash:str primary_group:str should_exist:bool>=3 ssh_authorized_keys:[SSHAuthorizedKey] "
        "ssh_authorized_keys_local:[str]>=5 shell:str system:bool uid:int"
    ),
    "Proxy": "http_proxy:str https_proxy:str no_proxy:[str]",
    "Raid": "devices:[Device] level:str name:str options:[RaidOption]<5 options:[str]>=5 spares:int",
    "Resource": "compression:str http_headers:[HTTPHeader] source:str inline:str local:str verification:Verification",
    "Security": "tls:TLS",
    "Storage": (
        "directories:[Directory] disks:[Disk] files:[File] filesystems:[Filesystem] links:[Link] luks:[Luks]>=3 raid:[Raid] "
        "trees:[Tree]>=2"
    ),
    "Systemd": "units:[Unit]",
    "TLS": "certificate_authorities:[CaReference]<2 certificate_authorities:[Resource]>=2",
    "Tang": "thumbprint:str url:str advertisement:str>=5",
    "Timeouts": "http_response_headers:int http_total:int",
    "Tree": "group:NodeGroup>=7 local:str path:str user:NodeUser>=7 file_mode:int>=7 dir_mode:int>=7 overwrite:bool>=7",
    "Unit": "contents:str contents_local:str>=5 dropins:[Dropin] enabled:bool mask:bool name:str",
    "Verification": "hash:str",
}
_SCALARS = frozenset({"str", "int", "bool"})
_TEXTS = frozenset({"Device", "FilesystemOption", "Group", "KernelArgument", "LuksOption", "RaidOption", "SSHAuthorizedKey"})
"""Go's names for text of a certain kind."""

_OF_FCOS = frozenset({"BootDevice", "BootDeviceLuks", "BootDeviceMirror", "Grub", "GrubUser"})
_FIELD = re.compile(r"(?P<key>\w+):(?P<list>\[)?(?P<type>\w+)\]?(?:(?P<since>[>@]=?|<)(?P<number>\d))?")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a struct. `type` is the name of a struct, or str, int or bool; of the items when `is_list`."""

    key: str
    type: str
    is_list: bool
    go_type: str
    """The name of the type in yaml.v3's messages, such as `[]v0_5.File`."""
    go_item: str
    """The same for the items of a list."""
    is_pointer: bool
    """Whether Go tells a struct that is absent from an empty one, as one release did."""

    @property
    def is_struct(self) -> bool:
        return self.type not in _SCALARS


@cache
def fields(struct: str, release: Release) -> Mapping[str, Field]:
    """Return the fields of a struct that a release knows, by key, in Go's order."""
    found = (_FIELD.fullmatch(text) for text in _TABLE[struct].split())
    matches = [match for match in found if match and _is_known(match["since"], int(match["number"] or 0), release)]
    return {match["key"]: _field(match["key"], match["type"], bool(match["list"]), release) for match in matches}


def go_name(type_: str, release: Release) -> str:
    """Return what Go calls a type of a release."""
    if type_ in _OF_FCOS:
        return f"v1_{release.fcos}.{type_}"
    plain = {"str": "string"}.get(type_, type_)
    return plain if type_ in _SCALARS else f"v0_{release.base}.{plain}"


def _is_known(relation: str | None, number: int, release: Release) -> bool:
    match relation:
        case ">=":
            return release.base >= number
        case "<":
            return release.base < number
        case "@":
            return release.fcos >= number
        case _:
            return True


def _field(key: str, type_: str, is_list: bool, release: Release) -> Field:
    go = go_name(type_, release)
    listed = f"v0_{release.base}.HTTPHeaders" if type_ == "HTTPHeader" else f"[]{go}"
    is_pointer = release.base == 3 and type_ in ("Clevis", "Custom")
    return Field(key, "str" if type_ in _TEXTS else type_, is_list, listed if is_list else go, go, is_pointer)
