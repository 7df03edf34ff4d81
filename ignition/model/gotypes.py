"""What Go calls the types of a config, which its messages name (coreos/ignition, config/v3_*/types/schema.go)."""

from ignition.model import types as parts
from ignition.model.shape import Field
from ignition.model.types import Part

_SCALARS = {str: "string", int: "int", bool: "bool"}
_ITEMS: dict[tuple[type[Part], str], str] = {
    (parts.Filesystem, "mount_options"): "MountOption",
    (parts.Filesystem, "options"): "FilesystemOption",
    (parts.KernelArguments, "should_exist"): "KernelArgument",
    (parts.KernelArguments, "should_not_exist"): "KernelArgument",
    (parts.Luks, "open_options"): "OpenOption",
    (parts.Luks, "options"): "LuksOption",
    (parts.PasswdUser, "groups"): "Group",
    (parts.PasswdUser, "ssh_authorized_keys"): "SSHAuthorizedKey",
    (parts.Proxy, "no_proxy"): "NoProxyItem",
    (parts.Raid, "devices"): "Device",
    (parts.Raid, "options"): "RaidOption",
}
_POINTERS = {(parts.Luks, "clevis"), (parts.Clevis, "custom")}
_VALUES_SINCE = 3


def is_pointer(owner: type[Part], field: Field, minor: int) -> bool:
    """Return whether Go holds a part in a pointer: then an empty one differs from an absent one, and null is absent."""
    return minor < _VALUES_SINCE and (owner, field.attribute) in _POINTERS


def go_type(owner: type[Part], field: Field, minor: int, *, is_item: bool) -> str:
    """Return the Go type of a field in spec 3.`minor`, or of an item of a list."""
    if field.is_list and not is_item and field.type is parts.HTTPHeader:
        return "types.HTTPHeaders"
    name = _part_name(owner, field.type, minor) if field.is_part else _ITEMS.get((owner, field.attribute))
    element = f"types.{name}" if name else _SCALARS[field.type]
    return f"[]{element}" if field.is_list and not is_item else element


def _part_name(owner: type[Part], type_: type[Part], minor: int) -> str:
    if issubclass(type_, parts.Resource):
        if minor > 0:
            return "Resource"
        return "FileContents" if owner is parts.File else type_.__name__
    if type_ is parts.Custom and minor >= _VALUES_SINCE:
        return "ClevisCustom"
    return type_.__name__
