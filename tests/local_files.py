"""Local files for Butane documents that exist in memory only: an implementation of ignition.butane.Files."""

from collections.abc import Mapping
from dataclasses import dataclass

from ignition.butane import FileKind, LocalFileError, TreeEntry
from ignition.butane.files import NOT_A_DIRECTORY, contained

ROOT = "/srv/files"


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Node:
    """A file with its permissions, or something that is no file."""

    contents: bytes = b""
    mode: int = 0o644
    kind: FileKind = FileKind.FILE


class FakeFiles:
    """Files by path. Their directories exist, and others where a path ends in a slash."""

    def __init__(self, files: Mapping[str, bytes | Link | Node]) -> None:
        self.nodes = {path: _node(value) for path, value in files.items() if not path.endswith("/")}
        self.links = {path: value.target for path, value in files.items() if isinstance(value, Link)}
        directories = [path.strip("/").split("/") if path.endswith("/") else path.split("/")[:-1] for path in files]
        self.directories = {"."} | {"/".join(steps[: n + 1]) for steps in directories for n in range(len(steps))}

    def read(self, path: str) -> bytes:
        inner = contained(ROOT, path)
        if inner in self.directories:
            raise LocalFileError(f"read files/{inner}: is a directory")
        if inner not in self.nodes:
            raise LocalFileError(f"open files/{inner}: no such file or directory")
        return self.nodes[inner].contents

    def walk(self, path: str) -> list[TreeEntry]:
        inner = contained(ROOT, path)
        if inner in self.nodes:
            raise LocalFileError(NOT_A_DIRECTORY)
        if inner not in self.directories:
            raise LocalFileError(f"stat files/{inner}: no such file or directory")
        prefix = "" if inner == "." else f"{inner}/"
        below = [name for name in {*self.directories, *self.nodes} - {"."} if name.startswith(prefix)]
        below.sort(key=lambda name: name.encode().split(b"/"))
        return [TreeEntry(".", FileKind.DIRECTORY, 0o755), *(self.entry(name, name.removeprefix(prefix)) for name in below)]

    def entry(self, name: str, path: str) -> TreeEntry:
        if name in self.directories:
            return TreeEntry(path, FileKind.DIRECTORY, 0o755)
        if name in self.links:
            return TreeEntry(path, FileKind.LINK, 0o777, self.links[name])
        return TreeEntry(path, self.nodes[name].kind, self.nodes[name].mode)


def _node(value: bytes | Link | Node) -> Node:
    if isinstance(value, Node):
        return value
    return Node(b"" if isinstance(value, Link) else value)
