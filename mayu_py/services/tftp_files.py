"""The files a TFTP server gives out: found safely, opened once, framed once.

`open_beneath` turns a name from the network into a file descriptor that is a regular file beneath the root, or raises
`Refused`. `Library` keeps open files and framed blocks for all transfers that read the same file.

Files are read, never mapped: a file cut short in place would kill a process that has it mapped. A file replaced by
rename keeps being served as it was to those who have started.
"""

import errno
import os
import stat
from collections import OrderedDict
from pathlib import Path
from typing import Final

from mayu_py.wire.tftp import ErrorCode, Mode, count_blocks, frame_blocks, to_netascii

LARGEST_NETASCII: Final = 4 << 20
"""Bytes. Translation takes the whole file at once and would hold up everybody else; texts are small."""

CHUNK_SIZE: Final = 256 << 10
"""Bytes of a file that are read and framed at a time: well under a millisecond."""

CACHE_SIZE: Final = 64 << 20
"""Bytes of framed blocks kept. The boot files of a whole rack are a few MB."""


class Refused(Exception):
    """Raised when a request gets an ERROR. `reason` is a counter's slug, `code` and `message` go to the peer."""

    def __init__(self, code: ErrorCode, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message


class FileChanged(Exception):
    """Raised when a file is shorter than it was when its transfer began."""


def open_beneath(root: Path, name: bytes) -> int:
    """A descriptor of the regular file `name` beneath `root`, open for reading. Raises Refused.

    Leading slashes are ignored, as every TFTP server does. Symbolic links may be used as long as they stay beneath the
    root. The link-free path is then walked without following any, so that a link put in its way meanwhile is refused.
    """
    parts = _parts(name)
    try:
        top = os.path.realpath(root)
        target = os.path.realpath(os.path.join(top, *parts), strict=True)
        if os.path.commonpath((top, target)) != top:
            raise Refused(ErrorCode.ACCESS_VIOLATION, "outside", "outside the served folder")
        return _open_regular(top, os.path.relpath(target, top).split("/"))
    except OSError as error:
        raise _refusal(error) from error


def _parts(name: bytes) -> list[str]:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise Refused(ErrorCode.NOT_FOUND, "encoding", "the file name is not UTF-8") from None
    if "\\" in text or "\0" in text:
        raise Refused(ErrorCode.NOT_FOUND, "character", "the file name has a character that is not served")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(ErrorCode.ACCESS_VIOLATION, "traversal", "'..' is not allowed in a file name")
    return parts


def _open_regular(top: str, parts: list[str]) -> int:
    folder = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Asked before opening, because opening a device can already do something.
        _require_regular(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        descriptor = os.open(parts[-1], flags, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        _require_regular(os.fstat(descriptor))
    except Refused:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Refused(ErrorCode.ACCESS_VIOLATION, "not-a-file", "not a regular file")


def _refusal(error: OSError) -> Refused:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR | errno.ENAMETOOLONG:
            return Refused(ErrorCode.NOT_FOUND, "missing", "no such file")
        case errno.ELOOP:
            return Refused(ErrorCode.ACCESS_VIOLATION, "symlink", "a symbolic link is in the way")
        case errno.EACCES | errno.EPERM:
            return Refused(ErrorCode.ACCESS_VIOLATION, "permission", "permission denied")
    return Refused(ErrorCode.UNDEFINED, "unreadable", "the file cannot be read")


Identity = tuple[int, int, int, int, Mode]


class Content:
    """What is sent for one file in one mode. `size` is in bytes, after translation."""

    def __init__(self, descriptor: int, identity: Identity, text: bytes | None) -> None:
        self.identity = identity
        self.size = identity[3] if text is None else len(text)
        self.users = 0
        self._descriptor = descriptor
        self._text = text

    def read(self, at: int, length: int) -> bytes:
        """Bytes `at` to `at + length`, fewer only at the end. Raises FileChanged or OSError."""
        if self._text is not None:
            return self._text[at : at + length]
        found = os.pread(self._descriptor, length, at)
        if len(found) != max(0, min(length, self.size - at)):
            raise FileChanged
        return found

    def close(self) -> None:
        """Nobody reads it any more."""
        os.close(self._descriptor)


class Library:
    """The open files and the framed blocks of one server."""

    def __init__(self, root: Path, *, cache_size: int = CACHE_SIZE) -> None:
        self._root = root
        self._open: dict[Identity, Content] = {}
        self._frames: OrderedDict[tuple[Identity, int, int], bytes] = OrderedDict()
        self._free = cache_size

    def acquire(self, name: bytes, mode: Mode) -> Content:
        """The content for a request; give it back with `release`. Raises Refused."""
        descriptor = open_beneath(self._root, name)
        try:
            status = os.fstat(descriptor)
            identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, mode)
            content = self._open.get(identity)
            if content is None:
                content = Content(descriptor, identity, _translated(descriptor, status.st_size, mode))
                self._open[identity] = content
                descriptor = -1
        except OSError as error:
            raise _refusal(error) from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        content.users += 1
        return content

    def release(self, content: Content) -> None:
        """The counterpart of `acquire`."""
        content.users -= 1
        if content.users == 0:
            del self._open[content.identity]
            content.close()

    def frames(self, content: Content, block_size: int, chunk: int) -> bytes:
        """Framed blocks: those of chunk number `chunk`, counted from 0, each of `blocks_per_chunk(block_size)` blocks.

        Raises FileChanged or OSError.
        """
        key = (content.identity, block_size, chunk)
        frames = self._frames.get(key)
        if frames is not None:
            self._frames.move_to_end(key)
            return frames
        blocks = blocks_per_chunk(block_size)
        before = chunk * blocks
        text = content.read(before * block_size, blocks * block_size)
        count = min(blocks, count_blocks(content.size, block_size) - before)
        frames = frame_blocks(text, before + 1, count, block_size)
        self._frames[key] = frames
        self._free -= len(frames)
        while self._free < 0:
            self._free += len(self._frames.popitem(last=False)[1])
        return frames


def blocks_per_chunk(block_size: int) -> int:
    """A power of two between 1 and 512, so that no usual window lies across the border of two chunks."""
    return 1 << min(CHUNK_SIZE // block_size, 512).bit_length() - 1


def _translated(descriptor: int, size: int, mode: Mode) -> bytes | None:
    if mode is Mode.OCTET:
        return None
    if size > LARGEST_NETASCII:
        text = f"netascii is for texts of at most {LARGEST_NETASCII >> 20} MiB; ask for octet (binary) mode"
        raise Refused(ErrorCode.UNDEFINED, "netascii-size", text)
    return to_netascii(os.pread(descriptor, size, 0))
