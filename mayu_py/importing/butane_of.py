"""A config of spec 2 whose strings hold Jinja, as a Butane template of spec 3.

The rules are those of `ignition.legacy`, as far as they can be applied before values are filled in. Keys are read as Mayu read
them: in any case, for Go's YAML library writes them small.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from ignition.document import ListNode, MapNode, Mark, Node, ScalarNode, to_data
from mayu_py.importing.report import Journal

VARIANT = {"variant": "fcos", "version": "1.4.0"}
NETWORKD = "/etc/systemd/network"

Convert: TypeAlias = Callable[["Document", Node], Any]
_DATA = re.compile(r"data:(?P<type>[^,;]*(?:;(?!base64,)[^,;]*)*)(?P<base64>;base64)?,(?P<data>.*)", re.DOTALL)


@dataclass
class Document:
    """What the conversion needs beside the nodes: what the words stand for, and the report."""

    words: Mapping[str, str]
    journal: Journal
    _pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        longest_first = sorted(self.words, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def filled(self, text: str) -> str:
        """Text with its Jinja, where the words stood."""
        return self._pattern.sub(lambda match: self.words[match[0]], text)

    def statement(self, key: str) -> str | None:
        """The statement that a key stands for."""
        found = self.words.get(key)
        return found if found is not None and found.startswith("{%") else None

    def has_jinja(self, text: str) -> bool:
        """Whether any word is in it."""
        return bool(self._pattern.search(text))


def butane(root: Node, document: Document) -> dict[str, Any]:
    """The Butane document."""
    if not isinstance(root, MapNode):
        document.journal.left(root.mark, "the template", f"a config is expected, here is {root.describe()}")
        return dict(VARIANT)
    always = MapNode(tuple(entry for entry in root.entries if document.statement(entry[0].text) is None), root.mark)
    found = {**VARIANT, **record(document, always, _SECTIONS)}
    for choice in _choices(root, document):
        _push_down(found, choice, document)
    _merge_units(found, document, root.mark)
    return found


def _choices(root: MapNode, document: Document) -> Iterator[list[tuple[ScalarNode, Node]]]:
    """The statements around whole sections, each with its branches."""
    choice: list[tuple[ScalarNode, Node]] = []
    for key, value in root.entries:
        statement = document.statement(key.text)
        if statement is None:
            continue
        if choice and statement.startswith(("{% if ", "{% for ")):
            yield choice
            choice = []
        choice.append((key, value))
    if choice:
        yield choice


def _push_down(found: dict[str, Any], choice: Sequence[tuple[ScalarNode, Node]], document: Document) -> None:
    """A section may stand once, so what a statement chooses are the items of the section's lists."""
    bodies = [(document.filled(key.text), record(document, value, _SECTIONS)) for key, value in choice]
    paths = dict.fromkeys((section, key) for _, body in bodies for section in body for key in body[section])
    for section, key in paths:
        branches = {statement: body.get(section, {}).get(key, []) for statement, body in bodies}
        if all(isinstance(branch, list) for branch in branches.values()):
            _lay(found, (section, key), [branches])
        else:
            document.journal.left(choice[0][0].mark, f"{section}.{key}", "only lists can depend on a condition here")


@dataclass(frozen=True)
class Key:
    """What becomes of one key. `convert` None: the value as it is; `why`: it is dropped."""

    to: tuple[str, ...] = ()
    convert: Convert | None = None
    why: str = ""


Table: TypeAlias = Mapping[str, Key]


def record(document: Document, node: Node, table: Table) -> dict[str, Any]:
    """A mapping by its table of keys. Statements among its keys hold mappings of the same kind."""
    found: dict[str, Any] = {}
    for key, value in _members(document, node):
        if statement := document.statement(key.text):
            if statement in found:
                document.journal.left(key.mark, statement, "two such choices in one mapping: make them one")
            else:
                found[statement] = record(document, value, table)
            continue
        known = table.get(key.text.lower().replace("_", ""))
        if known is None:
            document.journal.dropped(key.mark, document.filled(key.text), "no key of spec 2: Mayu did not read it either")
        elif known.why:
            document.journal.dropped(key.mark, f"{key.text}: {_shown(document, value)}", known.why)
        else:
            converted = known.convert(document, value) if known.convert else plain(document, value)
            if known.to:
                _lay(found, known.to, converted)
            elif isinstance(converted, Mapping):
                for name, each in converted.items():
                    _lay(found, (name,), each)
    return found


def _members(document: Document, node: Node) -> Iterator[tuple[ScalarNode, Node]]:
    if isinstance(node, MapNode):
        yield from node.entries
    elif not (isinstance(node, ScalarNode) and to_data(node) is None):
        document.journal.left(node.mark, document.filled(str(to_data(node)))[:60], "a mapping is expected here")


def _lay(found: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Put a value in; lists and mappings that are there already are added to."""
    *above, last = path
    for step in above:
        found = found.setdefault(step, {})
    before = found.get(last)
    if isinstance(before, list) and isinstance(value, list):
        value = [*before, *value]
    elif isinstance(before, dict) and isinstance(value, dict):
        for key, each in value.items():
            _lay(before, (key,), each)
        value = before
    found[last] = value


def _shown(document: Document, node: Node) -> str:
    return document.filled(str(to_data(node)))[:60]


def plain(document: Document, node: Node) -> Any:
    """A value as it is, its Jinja in place."""
    match node:
        case ScalarNode():
            return document.filled(node.text) if document.has_jinja(node.text) else node.value()
        case ListNode():
            return items(document, node, plain)
        case MapNode():
            return {document.filled(key.text): plain(document, value) for key, value in node.entries}


def text(document: Document, node: Node) -> Any:
    """A scalar as text."""
    return document.filled(node.text) if isinstance(node, ScalarNode) else plain(document, node)


def items(document: Document, node: Node, convert: Convert) -> list[Any]:
    """A list. An item that is a statement holds items of the same kind."""
    if isinstance(node, MapNode) and node.entries and all(document.statement(key.text) for key, _ in node.entries):
        return [_statement(document, node, convert)]
    if not isinstance(node, ListNode):
        if not (isinstance(node, ScalarNode) and to_data(node) is None):
            document.journal.left(node.mark, _shown(document, node), "a list is expected here")
        return []
    found: list[Any] = []
    for item in node.items:
        if isinstance(item, MapNode) and item.entries and document.statement(item.entries[0][0].text):
            found.append(_statement(document, item, convert))
        else:
            converted = convert(document, item)
            found += converted if isinstance(converted, _Several) else [converted]
    return found


class _Several(list[Any]):
    """What one item became, if not one item."""


def _statement(document: Document, node: MapNode, convert: Convert) -> dict[str, Any]:
    branches = ((document.filled(key.text), value) for key, value in node.entries)
    return {statement: items(document, value, convert) for statement, value in branches}


def of_records(table: Table) -> Convert:
    """A list of mappings."""
    return lambda document, node: items(document, node, lambda _, item: record(document, item, table))


def of(table: Table) -> Convert:
    """A mapping."""
    return lambda document, node: record(document, node, table)


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
        document.journal.left(node.mark, _shown(document, node), why)
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
        document.journal.left(node.mark, f"filesystem: {_shown(document, node)}", why)
    return {}


def _version(document: Document, node: Node) -> Any:
    is_known = isinstance(node, MapNode) or (isinstance(node, ScalarNode) and node.text.startswith("2."))
    if not is_known:
        document.journal.left(node.mark, f"version {_shown(document, node)}", "only configs of spec 2 are translated")
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
    files = _Several()
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
_SECTIONS: Table = {
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


def _merge_units(found: dict[str, Any], document: Document, mark: Mark) -> None:
    """Units with one name are one unit: the last contents, all drop-ins, and the first `enabled`, which is what systemd obeys."""
    systemd = found.get("systemd")
    if not isinstance(systemd, dict) or not isinstance(units := systemd.get("units"), list):
        return
    merged: dict[str, dict[str, Any]] = {}
    kept: list[Any] = []
    for unit in units:
        name = unit.get("name") if isinstance(unit, dict) else None
        if name is None or name not in merged:
            kept.append(unit)
            if name is not None:
                merged[name] = unit
            continue
        first = merged[name]
        first["dropins"] = [*_sequence(first.get("dropins")), *_sequence(unit.get("dropins"))]
        first.update({key: value for key, value in unit.items() if key in ("contents", "mask")})
        first.setdefault("enabled", unit.get("enabled", False))
        if not first["dropins"]:
            del first["dropins"]
        document.journal.changed(mark, f"unit {name}", "given twice, and made one unit")
    systemd["units"] = kept


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
