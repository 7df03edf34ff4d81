"""The keys of Ignition's spec 2, and what becomes of each in Butane.

The rules are those of `ignition.legacy`, as far as they can be applied before values are filled in. Keys are read as Mayu read
them: in any case, for Go's YAML library writes them small.
"""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from ignition.document import MapNode, Node, ScalarNode
from mayu_py.importing.tables import Document, Key, Several, Table, items, of, of_records, record, shown, text

VARIANT = {"variant": "fcos", "version": "1.4.0"}
NETWORKD = "/etc/systemd/network"

_DATA = re.compile(r"data:(?P<type>[^,;]*(?:;(?!base64,)[^,;]*)*)(?P<base64>;base64)?,(?P<data>.*)", re.DOTALL)


def _list(document: Document, node: Node) -> list[Any]:
    return items(document, node, text)


def _contents(document: Document, node: Node) -> Any:
    """`contents` of a file: a data URL becomes its text where that can be read."""
    entries = {key.text.lower(): value for key, value in node.entries} if isinstance(node, MapNode) else {}
    source = entries.get("source")
    found = record(document, node, _RESOURCE)
    if isinstance(source, MapNode):
        parts = {key.text.lower(): str(text(document, value)) for key, value in source.entries}
        document.journal.changed(source.mark, "source", "written as one URL")
        found["source"] = f"{parts.get('scheme', 'data')}:{parts.get('opaque', '')}"
    elif isinstance(source, ScalarNode) and (inline := _inline(document, source)) is not None:
        del found["source"]
        found["inline"] = inline
    return found


def _inline(document: Document, node: ScalarNode) -> str | None:
    """What a templated data URL says. One without Jinja stays what it is."""
    url = _DATA.fullmatch(node.text)
    if url is None or not document.has_jinja(node.text):
        return None
    if url["base64"]:
        why = "a value within base64 would be encoded twice: write the text as `inline`"
        document.journal.left(node.mark, shown(document, node), why)
        return None
    document.journal.changed(node.mark, "source", "the text of a data URL that has values in it, written as `inline`")
    return document.filled(unquote_to_bytes(url["data"]).decode("utf-8", "replace"))


def _file(document: Document, node: Node) -> Any:
    found = record(document, node, _FILE)
    where = found.get("path", "a file")
    if found.pop("append", None) is True:
        found["append"] = [found.pop("contents", {"inline": ""})]
    elif "overwrite" not in found:
        # Spec 2 replaced what stood there; spec 3 does not unless it is told to.
        found["overwrite"] = True
        found.setdefault("contents", {"inline": ""})
        document.journal.changed(node.mark, f"{where}", "`overwrite: true`, which was the default of spec 2")
    if "mode" not in found and "append" not in found:
        found["mode"] = 0
        why = "`mode: 0`, as spec 2 had it without one; give it the mode that was meant"
        document.journal.changed(node.mark, f"{where}", why)
    return found


def _root_only(document: Document, node: Node) -> Any:
    if isinstance(node, ScalarNode) and node.text != "root":
        why = "spec 3 knows no named filesystems: put the mount point before the path"
        document.journal.left(node.mark, f"filesystem: {shown(document, node)}", why)
    return {}


def _version(document: Document, node: Node) -> Any:
    is_known = isinstance(node, MapNode) or (isinstance(node, ScalarNode) and node.text.startswith("2."))
    if not is_known:
        document.journal.left(node.mark, f"version {shown(document, node)}", "only configs of spec 2 are translated")
    else:
        document.journal.changed(node.mark, "ignition.version", f"Butane {VARIANT['variant']} {VARIANT['version']}, spec 3.3.0")
    return {}


def _create(document: Document, node: Node) -> Any:
    """`create` of a filesystem: its force and options."""
    found = record(document, node, {"force": Key(("wipe_filesystem",)), "options": Key(("options",), _list)})
    if not found.get("wipe_filesystem"):
        document.journal.left(node.mark, "create", "without `force` spec 2 failed on a device in use; spec 3 uses what is there")
    return found


def _networkd(document: Document, node: Node) -> Any:
    document.journal.changed(node.mark, "networkd", f"files in {NETWORKD}: spec 3 has no networkd")
    return items(document, node, _network_unit)


def _network_unit(document: Document, node: Node) -> Any:
    found = record(document, node, {"name": Key(("name",), text), "contents": Key(("contents",), text), "dropins": _DROPINS})
    path = f"{NETWORKD}/{found.get('name', '')}"
    files = Several()
    if "contents" in found:
        files.append({"path": path, "mode": 0o644, "overwrite": True, "contents": {"inline": found["contents"]}})
    for dropin in found.get("dropins", ()):
        inline = {"inline": dropin.get("contents", "")}
        files.append({"path": f"{path}.d/{dropin.get('name', '')}", "mode": 0o644, "overwrite": True, "contents": inline})
    return files


_RESOURCE: Table = {
    "source": Key(("source",), text),
    "compression": Key(("compression",), text),
    "verification": Key(("verification",)),
}
_OWNER = of({"id": Key(("id",)), "name": Key(("name",), text)})
_NODE: Table = {
    "filesystem": Key((), _root_only),
    "path": Key(("path",), text),
    "user": Key(("user",), _OWNER),
    "group": Key(("group",), _OWNER),
    "overwrite": Key(("overwrite",)),
    "mode": Key(("mode",)),
}
_FILE: Table = {**_NODE, "contents": Key(("contents",), _contents), "append": Key(("append",))}
_LINK: Table = {**_NODE, "target": Key(("target",), text), "hard": Key(("hard",))}
_FILESYSTEM: Table = {
    "device": Key(("device",), text),
    "format": Key(("format",), text),
    "label": Key(("label",), text),
    "uuid": Key(("uuid",), text),
    "options": Key(("options",), _list),
    "wipefilesystem": Key(("wipe_filesystem",)),
    "create": Key((), _create),
}
_PARTITION: Table = {
    name: Key((to,))
    for name, to in (
        ("label", "label"), ("number", "number"), ("sizemib", "size_mib"), ("startmib", "start_mib"), ("typeguid", "type_guid"),
        ("guid", "guid"), ("wipepartitionentry", "wipe_partition_entry"), ("shouldexist", "should_exist"),
    )
}  # fmt: skip
_DISK: Table = {
    "device": Key(("device",), text),
    "wipetable": Key(("wipe_table",)),
    "partitions": Key(("partitions",), of_records(_PARTITION)),
}
_RAID: Table = {
    name: Key((name,), _list if name in ("devices", "options") else None)
    for name in ("name", "level", "devices", "spares", "options")
}
_DROPINS = Key(("dropins",), of_records({"name": Key(("name",), text), "contents": Key(("contents",), text)}))
_UNIT: Table = {
    "name": Key(("name",), text),
    "enabled": Key(("enabled",)),
    "enable": Key(("enabled",)),
    "mask": Key(("mask",)),
    "contents": Key(("contents",), text),
    "dropins": _DROPINS,
}
_SHARED: Table = {
    "uid": Key(("uid",)),
    "gecos": Key(("gecos",), text),
    "homedir": Key(("home_dir",), text),
    "nocreatehome": Key(("no_create_home",)),
    "primarygroup": Key(("primary_group",), text),
    "groups": Key(("groups",), _list),
    "nousergroup": Key(("no_user_group",)),
    "system": Key(("system",)),
    "nologinit": Key(("no_log_init",)),
    "shell": Key(("shell",), text),
}
_USER: Table = {
    **_SHARED,
    "name": Key(("name",), text),
    "passwordhash": Key(("password_hash",), text),
    "sshauthorizedkeys": Key(("ssh_authorized_keys",), _list),
    "create": Key((), of(_SHARED)),
}
_GROUP: Table = {
    "name": Key(("name",), text),
    "gid": Key(("gid",)),
    "passwordhash": Key(("password_hash",), text),
    "system": Key(("system",)),
}
_REFERENCES = of_records(_RESOURCE)
SECTIONS: Table = {
    "ignition": Key(
        (),
        of(
            {
                "version": Key((), _version),
                "config": Key(
                    ("ignition", "config"),
                    of({"append": Key(("merge",), _REFERENCES), "replace": Key(("replace",), of(_RESOURCE))}),
                ),
                "timeouts": Key(
                    ("ignition", "timeouts"),
                    of({"httpresponseheaders": Key(("http_response_headers",)), "httptotal": Key(("http_total",))}),
                ),
                "security": Key(
                    ("ignition", "security"),
                    of({"tls": Key(("tls",), of({"certificateauthorities": Key(("certificate_authorities",), _REFERENCES)}))}),
                ),
            }
        ),
    ),
    "storage": Key(
        ("storage",),
        of(
            {
                "disks": Key(("disks",), of_records(_DISK)),
                "raid": Key(("raid",), of_records(_RAID)),
                "filesystems": Key(
                    ("filesystems",),
                    of_records(
                        {
                            "mount": Key((), of(_FILESYSTEM)),
                            "name": Key(why="spec 3 has no names for filesystems"),
                            "path": Key(why="a filesystem that is there already needs no entry in spec 3"),
                        }
                    ),
                ),
                "files": Key(("files",), lambda document, node: items(document, node, _file)),
                "directories": Key(("directories",), of_records(_NODE)),
                "links": Key(("links",), of_records(_LINK)),
            }
        ),
    ),
    "systemd": Key(("systemd",), of({"units": Key(("units",), of_records(_UNIT))})),
    "networkd": Key((), of({"units": Key(("storage", "files"), _networkd)})),
    "passwd": Key(("passwd",), of({"users": Key(("users",), of_records(_USER)), "groups": Key(("groups",), of_records(_GROUP))})),
}
