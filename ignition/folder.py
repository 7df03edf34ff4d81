"""The directory behind the local files and trees of Butane documents.

The folder never gives what lies outside it: paths that lead out are refused as Butane refuses them, and so are links that do,
which Butane follows. What is no regular file is not read.
"""

import os
import stat
from collections.abc import Iterator

from ignition.butane.files import ESCAPES, NOT_A_DIRECTORY, FileKind, LocalFileError, TreeEntry, contained

_KINDS = {stat.S_IFDIR: FileKind.DIRECTORY, stat.S_IFREG: FileKind.FILE, stat.S_IFLNK: FileKind.LINK}


class Folder:
    """A files directory, as `butane --files-dir` takes it. Implements `ignition.butane.Files`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.path.normpath(path)
        self.root = os.path.abspath(path)

    def read(self, path: str) -> bytes:
        """Return the contents of a regular file in the folder; raise LocalFileError when they cannot be had."""
        inner = contained(self.root, path)
        try:
            # Without O_NONBLOCK, opening a pipe waits for its writer.
            descriptor = os.open(self._resolved(inner), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise self._refusal("open", inner, error) from error
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise LocalFileError(f"read {self._shown(inner)}: is a directory")
            if not stat.S_ISREG(mode):
                raise LocalFileError(f"read {self._shown(inner)}: not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def walk(self, path: str) -> list[TreeEntry]:
        """Return a directory in the folder and everything below it; raise LocalFileError when there is none."""
        inner = contained(self.root, path)
        try:
            if not os.path.isdir(self._resolved(inner)):
                raise LocalFileError(NOT_A_DIRECTORY)
            return list(self._entries(inner))
        except (OSError, ValueError) as error:
            raise self._refusal("stat", inner, error) from error

    def _resolved(self, inner: str) -> str:
        """Follow all links; raise LocalFileError when they lead out, OSError when they lead nowhere."""
        root, target = (os.path.realpath(path, strict=True) for path in (self.root, os.path.join(self.root, inner)))
        if target != root and not target.startswith(root.rstrip("/") + "/"):
            raise LocalFileError(ESCAPES)
        return target

    def _shown(self, inner: str) -> str:
        return os.path.normpath(os.path.join(self.name, inner))

    def _refusal(self, call: str, inner: str, error: OSError | ValueError) -> LocalFileError:
        """Word an error as Go does: the C library's text in lower case. Python refuses a NUL in a path by itself."""
        reason = error.strerror if isinstance(error, OSError) else "invalid argument"
        return LocalFileError(f"{call} {self._shown(inner)}: {(reason or str(error)).lower()}")

    def _entries(self, top: str) -> Iterator[TreeEntry]:
        left = ["."]
        while left:
            path = left.pop()
            inner = os.path.normpath(os.path.join(top, path))
            place = os.path.join(self.root, inner)
            found = os.lstat(place)
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), FileKind.OTHER)
            target = os.readlink(place) if kind is FileKind.LINK else ""
            yield TreeEntry(path, kind, stat.S_IMODE(found.st_mode), target)
            if kind is not FileKind.DIRECTORY:
                continue
            try:
                names = sorted(os.listdir(place), key=os.fsencode, reverse=True)
            except OSError as error:
                yield TreeEntry(path, FileKind.UNREADABLE, target=str(self._refusal("open", inner, error)))
                continue
            left += (os.path.normpath(os.path.join(path, name)) for name in names)
