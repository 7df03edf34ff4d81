"""Directories of local files that become files and links of the config (coreos/butane, base/v0_*/translate.go, processTrees)."""

import posixpath
from typing import Any

from ignition import model
from ignition.butane.contents import data_url
from ignition.butane.decoding import Record
from ignition.butane.files import NO_FILES, FileKind, Files, LocalFileError, TreeEntry
from ignition.butane.inline_configs import Finding
from ignition.butane.sources import Sourced, Sources
from ignition.errors import Severity
from ignition.model import Path
from ignition.model.shape import replace
from ignition.rules.places import clean

_EXISTS = "matching filesystem node has existing contents or different type"
_WRONG_KIND = "trees may only contain files, directories, and symlinks"


def with_trees(own: Sourced, document: Record, files: Files | None) -> tuple[Sourced, list[Finding]]:
    """Return the config with the document's trees in it, and what is wrong with them."""
    trees = document.record("storage").records("trees")
    if not trees:
        return own, []
    if files is None:
        return own, [Finding(Severity.ERROR, ("storage", "trees", 0), NO_FILES)]
    planter = _Planter(own, files)
    for index, tree in enumerate(trees):
        planter.plant(tree, ("storage", "trees", index))
    return planter.result(), planter.findings


class _Planter:
    def __init__(self, own: Sourced, files: Files) -> None:
        self.config, self.sources = own.config, Sources(dict(own.sources.paths))
        self.files = files
        self.findings: list[Finding] = []
        storage = own.config.storage or model.Storage()
        self.nodes: dict[str, list[Any]] = {
            "directories": list(storage.directories),
            "files": list(storage.files),
            "links": list(storage.links),
        }
        self.places = {name: {node.path: index for index, node in enumerate(nodes)} for name, nodes in self.nodes.items()}

    def result(self) -> Sourced:
        storage = replace(self.config.storage or model.Storage(), **{name: tuple(nodes) for name, nodes in self.nodes.items()})
        return Sourced(replace(self.config, storage=None if storage == model.Storage() else storage), self.sources)

    def error(self, at: Path, message: str) -> None:
        self.findings.append(Finding(Severity.ERROR, at, message))

    def plant(self, tree: Record, at: Path) -> None:
        root = tree.text("local") or ""
        try:
            entries = self.files.walk(root)
        except LocalFileError as error:
            self.error(at, str(error))
            return
        for entry in entries:
            path = clean(posixpath.join(tree.text("path") or "/", entry.path))
            try:
                self.add(entry, path, posixpath.join(root, entry.path), tree, at)
            except LocalFileError as error:
                self.error(at, str(error))

    def add(self, entry: TreeEntry, path: str, local: str, tree: Record, at: Path) -> None:
        match entry.kind:
            case FileKind.DIRECTORY:
                self.add_directory(path, tree, at)
            case FileKind.FILE:
                self.add_file(path, entry, local, tree, at)
            case FileKind.LINK:
                self.add_link(path, entry, tree, at)
            case FileKind.UNREADABLE:
                raise LocalFileError(entry.target)
            case _:
                raise LocalFileError(_WRONG_KIND)

    def add_directory(self, path: str, tree: Record, at: Path) -> None:
        owners = _owners(tree)
        if tree.number("dir_mode") is None and not owners:
            return
        mode = tree.number("dir_mode")
        self.new("directories", model.Directory(path=path, mode=0o755 if mode is None else mode, **owners), at)

    def add_file(self, path: str, entry: TreeEntry, local: str, tree: Record, at: Path) -> None:
        index = self.places["files"].get(path)
        if index is not None and (contents := self.nodes["files"][index].contents) and contents.source:
            raise LocalFileError(_EXISTS)
        if index is None:
            index = self.new("files", model.File(path=path, **_owners(tree)), at)
        file: model.File = self.nodes["files"][index]
        resource = file.contents or model.Resource()
        url, compression = data_url(self.files.read(local), may_compress=not resource.compression)
        here: Path = ("storage", "files", index)
        self.sources.add(at, (*here, "contents"), (*here, "contents", "source"))
        resource = replace(resource, source=url)
        if not resource.compression:
            self.sources.add(at, (*here, "contents", "compression"))
            resource = replace(resource, compression=compression)
        mode = file.mode
        if mode is None:
            self.sources.add(at, (*here, "mode"))
            wanted = tree.number("file_mode")
            mode = (0o755 if entry.mode & 0o111 else 0o644) if wanted is None else wanted
        self.nodes["files"][index] = replace(file, contents=resource, mode=mode)

    def add_link(self, path: str, entry: TreeEntry, tree: Record, at: Path) -> None:
        index = self.places["links"].get(path)
        if index is not None and self.nodes["links"][index].target:
            raise LocalFileError(_EXISTS)
        if index is None:
            index = self.new("links", model.Link(path=path, **_owners(tree)), at)
        self.sources.add(at, ("storage", "links", index, "target"))
        self.nodes["links"][index] = replace(self.nodes["links"][index], target=entry.target)

    def new(self, name: str, node: Any, at: Path) -> int:
        """Add a node that no node of any kind stands in the way of, and return its index."""
        if any(node.path in places for places in self.places.values()):
            raise LocalFileError(_EXISTS)
        index = len(self.nodes[name])
        self.nodes[name].append(node)
        self.places[name][node.path] = index
        self.sources.add_all(at, ("storage", name, index), node)
        if index == 0:
            self.sources.add(at, ("storage", name))
        return index


def _owners(tree: Record) -> dict[str, Any]:
    """Return the user and group of everything in a tree, those that are set."""
    owners: dict[str, Any] = {}
    for key, type_ in (("user", model.NodeUser), ("group", model.NodeGroup)):
        owner = tree.record(key)
        if owner.values:
            owners[key] = type_(id=owner.number("id"), name=owner.text("name"))
    return owners
