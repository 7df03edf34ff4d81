"""Programs from a server with the layout of dl.k8s.io: `/release/VERSION/bin/linux/amd64/NAME`, and NAME.sha256 beside it."""

import hashlib
import shutil
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import Request, urlopen

from kubeception_sim.artifacts.store import Progress
from kubeception_sim.errors import HarnessError

_SECONDS = 60.0  # without a byte
_TRIES = 5
_CHUNK = 1 << 20


def fetch(base: str, version: str, programs: Sequence[str], folder: Path, progress: Progress) -> None:
    """Fetch each program into `folder`, executable, and compare it with its checksum.

    A connection that breaks is taken up again where it ended. Raises HarnessError naming the URL.
    """
    for number, name in enumerate(programs):
        progress(f"fetching {name}", number / len(programs))
        url = f"{base.rstrip('/')}/release/{version}/bin/linux/amd64/{name}"
        wanted = _text(f"{url}.sha256").split()
        if not wanted:
            raise HarnessError(f"{url}.sha256 is empty")
        path = folder / name
        found = _download(url, path)
        if found != wanted[0].lower():
            raise HarnessError(
                f"{url}: sha256 is {found}, not {wanted[0]}", hint="try again; if it stays so, do not trust that server"
            )
        path.chmod(0o755)


def _text(url: str) -> str:
    try:
        with urlopen(url, timeout=_SECONDS) as answer:  # the scheme is the person's own choice
            return str(answer.read(4096).decode("ascii", "replace"))
    except (OSError, HTTPException) as error:
        raise HarnessError(f"{url}: {error}") from error


def _download(url: str, path: Path) -> str:
    """The checksum of what was downloaded, in hex."""
    last: Exception | None = None
    for _ in range(_TRIES):
        with path.open("ab") as file:
            try:
                if _append(url, file):
                    break
            except (OSError, HTTPException) as error:
                last = error
                if isinstance(error, URLError) and getattr(error, "code", 500) in (403, 404):
                    break
    else:
        raise HarnessError(f"{url}: gave up after {_TRIES} tries: {last or 'it ended early each time'}")
    if last is not None and path.stat().st_size == 0:
        raise HarnessError(f"{url}: {last}")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _append(url: str, file: IO[bytes]) -> bool:
    """Fetch what is missing; whether it is all there."""
    have = file.seek(0, 2)
    with urlopen(Request(url, headers={"Range": f"bytes={have}-"} if have else {}), timeout=_SECONDS) as answer:
        if have and answer.status != 206:  # it does not do ranges: from the beginning
            file.truncate(have := 0)
        length = answer.headers.get("Content-Length")
        shutil.copyfileobj(answer, file, _CHUNK)
    return length is None or file.seek(0, 2) - have == int(length)
