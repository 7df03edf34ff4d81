"""Files over HTTP: found below one folder, streamed by the server itself, with ranges."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from mayu_py.services.http.proto import HttpProtocol, RequestHeaders, Scope
from mayu_py.services.http.ranges import NotSatisfiable, requested
from mayu_py.services.http.replies import OCTETS

# An answer of Flask with this header is replaced by the file that it names: whole files do not go through WSGI.
SEND = "X-Sendfile"


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    etag: str


def below(folder: Path, name: str) -> Path | None:
    """The regular file of that name below a folder, wherever links lead; None for everything else."""
    if name.endswith("/"):
        return None
    try:
        root = folder.resolve()
        found = (root / name).resolve()
        return found if found.is_relative_to(root) and found.is_file() else None
    except (OSError, ValueError):
        return None


def named(path: Path) -> str:
    """A path as a header's value: any file name is possible, and a header takes ASCII without line breaks."""
    return quote(os.fsencode(path))


def meant(value: str) -> Path:
    """The reverse of `named`."""
    return Path(os.fsdecode(unquote_to_bytes(value)))


def send(scope: Scope, proto: HttpProtocol, path: Path) -> None:
    """Answer a GET or HEAD with a file, or with the part of it that is asked for. Raises OSError when it is gone."""
    found = _stat(path)
    headers = [*OCTETS, ("accept-ranges", "bytes"), ("etag", found.etag)]
    try:
        part = requested(_wanted_range(scope.headers, found.etag), found.size)
    except NotSatisfiable:
        proto.response_bytes(416, [*headers, ("content-range", f"bytes */{found.size}")], b"")
        return
    status, length = (200, found.size) if part is None else (206, len(part))
    headers.append(("content-length", str(length)))
    if part is not None:
        headers.append(("content-range", part.content_range(found.size)))
    if scope.method == "HEAD" or length == 0:
        proto.response_empty(status, headers)
    elif part is None:
        proto.response_file(status, headers, os.fspath(found.path))
    else:
        proto.response_file_range(status, headers, os.fspath(found.path), part.start, part.end)


def _wanted_range(headers: RequestHeaders, etag: str) -> str | None:
    """The Range header, unless If-Range says that the client holds part of another file."""
    condition = headers.get("if-range")
    return headers.get("range") if condition in (None, etag) else None


def _stat(path: Path) -> _File:
    status = path.stat()
    return _File(path, status.st_size, f'"{status.st_size:x}-{status.st_mtime_ns:x}"')
