"""The files that a document may embed, wherever they are: Butane's files directory."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

NO_FILES = "local file paths are relative to a files directory that must be specified with -d/--files-dir"
ESCAPES = "local file path traverses outside the files directory"
NOT_A_DIRECTORY = "root of tree must be a directory"


class FileKind(StrEnum):
    """What a name in a tree stands for."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"
    OTHER = "other"
    """A device, a socket, a pipe."""
    UNREADABLE = "unreadable"
    """A directory whose names cannot be listed."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A name in a tree: its path below the tree's root, "." for the root itself, and its permissions."""

    path: str
    kind: FileKind
    mode: int = 0
    target: str = ""
    """Where a link points, as it is written; of an unreadable directory, why it is."""


class LocalFileError(Exception):
    """A local file or tree cannot be had; the message is what Butane says."""


class Files(Protocol):
    """What a document may embed. Paths are as the document writes them; those that lead out raise LocalFileError(ESCAPES)."""

    def read(self, path: str) -> bytes:
        """Return the contents of a file; raise LocalFileError when they cannot be had."""

    def walk(self, path: str) -> Sequence[TreeEntry]:
        """Return a directory and everything below it, each directory before what it holds, names in the order of their bytes.

        Links are not followed. Raises LocalFileError when there is no such directory.
        """


def contained(root: str, path: str) -> str:
    """Return where a path leads, relative to `root`, an absolute and simplified path; raise LocalFileError when it leads out.

    Only the texts are looked at, as Butane does: a way out and back in again by the name of the root is one that stays in it.
    """
    target = posixpath.normpath(f"{root}/{path}")
    if target == root:
        return "."
    if not target.startswith(root.rstrip("/") + "/"):
        raise LocalFileError(ESCAPES)
    return target[len(root.rstrip("/")) + 1 :]
