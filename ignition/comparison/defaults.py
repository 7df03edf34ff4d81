"""What each field means for a comparison: what its absence says, whether its order counts, and how much of it may be shown."""

from collections.abc import Mapping
from enum import StrEnum

from ignition import model

DEFAULTS: Mapping[type[model.Part], Mapping[str, bool | int | str]] = {
    model.Cex: {"enabled": False},
    model.Clevis: {"threshold": 1, "tpm2": False},
    model.Custom: {"needs_network": False},
    model.Directory: {"overwrite": False},
    model.Disk: {"wipe_table": False},
    model.Dropin: {"contents": ""},
    model.File: {"overwrite": False},
    model.Filesystem: {"wipe_filesystem": False},
    model.Link: {"hard": False, "overwrite": False},
    model.Luks: {"discard": False, "wipe_volume": False},
    model.Partition: {"resize": False, "should_exist": True, "wipe_partition_entry": False},
    model.PasswdGroup: {"should_exist": True, "system": False},
    model.PasswdUser: {
        "no_create_home": False,
        "no_log_init": False,
        "no_user_group": False,
        "should_exist": True,
        "system": False,
    },
    model.Raid: {"spares": 0},
    model.Unit: {"contents": ""},
}
"""The values that mean what absence means, in every spec and on every machine (docs/configuration-v3_*.md of Ignition)."""

IDENTITIES: Mapping[type[model.Part], str] = {
    model.Directory: "path",
    model.Disk: "device",
    model.Dropin: "name",
    model.File: "path",
    model.Filesystem: "device",
    model.Link: "path",
    model.Luks: "name",
    model.PasswdGroup: "name",
    model.PasswdUser: "name",
    model.Raid: "name",
    model.Tang: "url",
    model.Unit: "name",
}

SETS = frozenset({(model.PasswdUser, "groups"), (model.PasswdUser, "ssh_authorized_keys"), (model.Proxy, "no_proxy")})

CONTENTS = frozenset({(model.Unit, "contents"), (model.Dropin, "contents")})
"""Text of many lines, shown as the contents of files are."""


class Sight(StrEnum):
    """How much of a value may be shown."""

    OPEN = "open"
    URL = "url"  # all but what gives access
    HIDDEN = "hidden"


SIGHTS: Mapping[tuple[type[model.Part], str], Sight] = {
    (model.Custom, "config"): Sight.HIDDEN,
    (model.PasswdGroup, "password_hash"): Sight.HIDDEN,
    (model.PasswdUser, "password_hash"): Sight.HIDDEN,
    (model.Proxy, "http_proxy"): Sight.URL,
    (model.Proxy, "https_proxy"): Sight.URL,
}
