"""Ignition configs that can be applied to an empty directory, each with the tree that must be there afterwards.

The expectation is made beside the config, value by value, and never read from it: nothing of the library is in it.
"""

import base64
import gzip
import hashlib
import os
import random
import stat
import string
import urllib.parse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

JSONObject: TypeAlias = dict[str, Any]

# What Ignition, useradd and the bare account files leave in every root, and no config asks for.
BYPRODUCTS = {"etc/.ignition-result.json", "etc/.pwd.lock", "etc/login.defs"} | {
    f"etc/{name}{suffix}" for name in ("passwd", "group", "shadow", "gshadow") for suffix in ("", "-")
}
_SHELLS = ("/bin/bash", "/bin/sh", "/usr/sbin/nologin")
_NAMES = string.ascii_lowercase + string.digits + "-"
_TYPES = ("service", "socket", "timer", "target", "path", "mount")
_UNIT = "[Unit]\nDescription={}\n\n[Install]\nWantedBy=multi-user.target\n"


@dataclass(frozen=True)
class Node:
    """What lies at a path. `content` is a file's bytes, a symlink's target; `inode_of` the path of a hard link's other name."""

    kind: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    content: bytes | str = b""


@dataclass
class Expected:
    """Nodes by their path without the leading slash; account lines by file; preset lines; pairs of names for one inode."""

    nodes: dict[str, Node] = field(default_factory=dict)
    accounts: dict[str, list[str]] = field(default_factory=lambda: {"passwd": [], "group": [], "shadow": []})
    hard_links: set[frozenset[str]] = field(default_factory=set)

    def add(self, path: str, node: Node) -> None:
        """Add a node and the directories above it, which Ignition makes with mode 0755 and for root."""
        name = path.lstrip("/")
        self.nodes[name] = node
        for parent in Path(name).parents[:-1]:
            self.nodes.setdefault(str(parent), Node("directory"))


def scan(root: Path) -> dict[str, Node]:
    """Return what lies below a root, without the by-products."""
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if name not in BYPRODUCTS:
            found[name] = _node(path)
    return found


def _node(path: Path) -> Node:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Node("link", 0o777, status.st_uid, status.st_gid, os.readlink(path))
    if stat.S_ISDIR(status.st_mode):
        return Node("directory", mode, status.st_uid, status.st_gid)
    content = path.read_bytes()
    if path.name == "20-ignition.preset":
        # Ignition goes through a Go map here: any order.
        content = b"".join(sorted(content.splitlines(keepends=True)))
    return Node("file", mode, status.st_uid, status.st_gid, content)


class Maker:
    """Makes one config of spec 3.`minor` and its tree."""

    def __init__(self, seed: int, minor: int, *, owners: bool) -> None:
        self.random = random.Random(seed)
        self.minor = minor
        self.owners = owners
        self.expected = Expected()
        self.names: set[str] = set()
        self.ids = {"root": 0}
        self.groups = {"root": 0}
        self.config: JSONObject = {"ignition": {"version": f"3.{minor}.0"}}

    def make(self) -> tuple[JSONObject, Expected]:
        self.expected.add("/etc", Node("directory"))
        if self.owners:
            self.config["passwd"] = self._passwd()
        self.config["storage"] = self._storage()
        self.config["systemd"] = {"units": self._units()}
        if not self.owners:
            # Without root everything is the caller's.
            mine = {name: replace(node, uid=os.geteuid(), gid=os.getegid()) for name, node in self.expected.nodes.items()}
            self.expected.nodes = mine
        return self.config, self.expected

    def _maybe(self, chance: float = 0.5) -> bool:
        return self.random.random() < chance

    def _name(self) -> str:
        while True:
            name = self.random.choice(string.ascii_lowercase) + "".join(
                self.random.choices(string.ascii_lowercase + "0123456789-", k=6)
            )
            if name not in self.names:
                self.names.add(name)
                return name

    # Accounts.

    def _passwd(self) -> JSONObject:
        groups = [self._group(5000 + index) for index in range(self.random.randrange(3))]
        users = [self._user(2000 + index) for index in range(self.random.randrange(3))]
        members = {
            name: [user["name"] for user in users if name in user.get("groups", ())] for name in self.groups if name != "root"
        }
        for name, who in members.items():
            self.expected.accounts["group"].append(f"{name}:x:{self.groups[name]}:{','.join(who)}")
        return {"groups": groups, "users": users}

    def _group(self, gid: int) -> JSONObject:
        group: JSONObject = {"name": self._name(), "gid": gid}
        if self.minor >= 2 and self._maybe():
            group["shouldExist"] = True
        self.groups[group["name"]] = gid
        return group

    def _user(self, uid: int) -> JSONObject:
        name = self._name()
        user: JSONObject = {"name": name, "uid": uid}
        configured = [group for group in self.groups if group != "root" and self.groups[group] >= 5000]
        gid = self._primary_group(user, name, uid, configured)
        if configured and self._maybe():
            user["groups"] = self.random.sample(configured, self.random.randint(1, len(configured)))
        gecos = self._given(user, "gecos", f"Who is {name}?", "")
        shell = self._given(user, "shell", self.random.choice(_SHELLS), "/bin/bash")
        home = self._given(user, "homeDir", f"/srv/homes/{name}", f"/home/{name}")
        password = self._given(user, "passwordHash", f"$6${name}$" + "x" * 86, "*")
        self.expected.accounts["passwd"].append(f"{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}")
        self.expected.accounts["shadow"].append(f"{name}:{password}")
        self.ids[name] = uid
        if self._maybe(0.2):
            user["noCreateHome"] = True
            return user
        self.expected.add(home, Node("directory", 0o755, uid, gid))
        if self._maybe(0.7):
            self._keys(user, home, uid, gid)
        return user

    def _primary_group(self, user: JSONObject, name: str, uid: int, configured: list[str]) -> int:
        if configured and self._maybe():
            user["primaryGroup"] = self.random.choice(configured)
            return self.groups[user["primaryGroup"]]
        if self._maybe(0.2):
            user["noUserGroup"] = True
            return 100
        self.groups[name] = uid
        return uid

    def _keys(self, user: JSONObject, home: str, uid: int, gid: int) -> None:
        keys = [f"ssh-ed25519 AAAA{self._name()} who@{self._name()}" for _ in range(self.random.randint(1, 3))]
        user["sshAuthorizedKeys"] = keys
        folder = f"{home}/.ssh/authorized_keys.d"
        for path in (f"{home}/.ssh", folder):
            self.expected.add(path, Node("directory", 0o700, uid, gid))
        self.expected.add(f"{folder}/ignition", Node("file", 0o600, uid, gid, "".join(f"{key}\n" for key in keys).encode()))

    def _given(self, user: JSONObject, key: str, value: str, otherwise: str) -> str:
        if self._maybe():
            user[key] = value
            return value
        return otherwise

    # Nodes.

    def _storage(self) -> JSONObject:
        directories = [self._directory("/opt") for _ in range(self.random.randrange(4))]
        folders = [directory["path"] for directory in directories] + ["/etc", "/srv/data", f"/usr/local/{self._name()}"]
        files = [self._file(self.random.choice(folders)) for _ in range(self.random.randint(1, 5))]
        links = [self._link(self.random.choice(folders), files) for _ in range(self.random.randrange(4))]
        return {"directories": directories, "files": files, "links": links}

    def _node(self, folder: str) -> tuple[JSONObject, int, int]:
        node: JSONObject = {"path": f"{folder}/{self._name()}{self.random.choice(['', '.conf', ' x', '-é'])}"}
        if not self.owners:
            return node, 0, 0
        uid = self._owner(node, "user", self.ids, 3000)
        gid = self._owner(node, "group", self.groups, 4000)
        return node, uid, gid

    def _owner(self, node: JSONObject, key: str, known: dict[str, int], first: int) -> int:
        kind = self.random.randrange(3)
        if kind == 0:
            return 0
        if kind == 1:
            number = first + self.random.randrange(50)
            node[key] = {"id": number}
            return number
        name = self.random.choice(sorted(known))
        node[key] = {"name": name}
        return known[name]

    def _directory(self, folder: str) -> JSONObject:
        node, uid, gid = self._node(folder)
        mode = self._mode(node, 0o755)
        self.expected.add(node["path"], Node("directory", mode, uid, gid))
        return node

    def _mode(self, node: JSONObject, otherwise: int) -> int:
        if self._maybe(0.3):
            return otherwise
        node["mode"] = self.random.choice([0o600, 0o640, 0o644, 0o700, 0o755, 0o777, 0o400, 0o000, self.random.randrange(0o1000)])
        if not self.owners:
            # Only root reads everything, and what is to be compared has to be read.
            node["mode"] |= 0o700
        return int(node["mode"])

    def _file(self, folder: str) -> JSONObject:
        node, uid, gid = self._node(folder)
        content = b""
        if self._maybe(0.9):
            content = self._bytes()
            node["contents"] = self._resource(content)
            if self._maybe(0.2):
                node["overwrite"] = True
        if self._maybe(0.3):
            pieces = [self._bytes() for _ in range(self.random.randint(1, 3))]
            node["append"] = [self._resource(piece) for piece in pieces]
            content += b"".join(pieces)
        self.expected.add(node["path"], Node("file", self._mode(node, 0o644), uid, gid, content))
        return node

    def _bytes(self) -> bytes:
        kind = self.random.randrange(4)
        if kind == 0:
            return b""
        if kind == 1:
            return self.random.randbytes(self.random.randrange(3000))
        text = "".join(self.random.choices(string.printable + "äß€😀", k=self.random.randrange(200)))
        return (text * (50 if kind == 3 else 1)).encode()

    def _resource(self, content: bytes) -> JSONObject:
        is_gzip = self._maybe(0.4)
        data = gzip.compress(content) if is_gzip else content
        if is_gzip or self._maybe():
            source = "data:;base64," + base64.b64encode(data).decode()
        else:
            source = (
                f"data:{self.random.choice(['', 'text/plain', 'text/plain;charset=utf-8'])},"
                + urllib.parse.quote_from_bytes(data, safe="")
            )
        resource: JSONObject = {"source": source} | ({"compression": "gzip"} if is_gzip else {})
        if self._maybe(0.4):
            kind = "sha256" if self.minor >= 1 and self._maybe() else "sha512"
            # The hash is that of what is written, not of what is sent.
            resource["verification"] = {"hash": f"{kind}-{hashlib.new(kind, content).hexdigest()}"}
        return resource

    def _link(self, folder: str, files: list[JSONObject]) -> JSONObject:
        if self._maybe(0.4):
            path, target = f"{folder}/{self._name()}", self.random.choice(files)["path"]
            other = target.lstrip("/")
            self.expected.add(path, self.expected.nodes[other])
            self.expected.hard_links.add(frozenset((path.lstrip("/"), other)))
            return {"path": path, "target": target, "hard": True}
        node, uid, gid = self._node(folder)
        node["target"] = self.random.choice(["/etc/hostname", "../a b", "/nowhere/at/all", "x"])
        if self._maybe():
            node["hard"] = False
        self.expected.add(node["path"], Node("link", 0o777, uid, gid, node["target"]))
        return node

    # Units.

    def _units(self) -> list[JSONObject]:
        presets: list[str] = []
        units = [self._unit(presets) for _ in range(self.random.randrange(4))]
        if presets:
            lines = "".join(sorted(presets)).encode()
            self.expected.add("/etc/systemd/system-preset/20-ignition.preset", Node("file", 0o644, content=lines))
        return units

    def _unit(self, presets: list[str]) -> JSONObject:
        name = f"{self._name()}.{self.random.choice(_TYPES)}"
        unit: JSONObject = {"name": name}
        place = f"/etc/systemd/system/{name}"
        if self._maybe(0.2):
            unit["mask"] = True
            self.expected.add(place, Node("link", 0o777, content="/dev/null"))
        else:
            unit["contents"] = _UNIT.format(name)
            self.expected.add(place, Node("file", 0o644, content=unit["contents"].encode()))
            if self._maybe():
                unit["enabled"] = self._maybe()
                presets.append(f"{'enable' if unit['enabled'] else 'disable'} {name}\n")
        if self._maybe(0.4):
            dropin = {"name": f"{self._name()}.conf", "contents": f"[Unit]\nDocumentation=man:{name}\n"}
            unit["dropins"] = [dropin]
            self.expected.add(f"{place}.d/{dropin['name']}", Node("file", 0o644, content=dropin["contents"].encode()))
        return unit
