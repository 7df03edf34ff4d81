"""Programs from a server with the layout of dl.k8s.io: `/release/VERSION/bin/linux/amd64/NAME`, and NAME.sha256 beside it."""

import hashlib
import re
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from kubeception_sim.artifacts.store import Progress
from kubeception_sim.errors import HarnessError

_SECONDS = 60.0  # without a byte
_TRIES = 5
_CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch(base: str, version: str, programs: Sequence[str], folder: Path, partial: Path, progress: Progress) -> None:
    """Fetch each program into `folder`, executable, and compare it with its checksum.

    What comes is written to `partial` first, and stays there when the connection breaks for good: the next call takes it up
    where it ended. Raises HarnessError naming the URL.
    """
    partial.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(programs):
        url = f"{base.rstrip('/')}/release/{version}/bin/linux/amd64/{name}"
        wanted = _checksum(f"{url}.sha256")

        def tell(done: float, name: str = name, number: int = number) -> None:
            progress(f"fetching {name}", (number + done) / len(programs))

        path = partial / name
        found = _download(url, path, tell)
        if found != wanted:
            # Taking it up again would only add to what is wrong.
            path.unlink()
            raise HarnessError(
                f"{url}: sha256 is {found}, not {wanted}", hint="try again; if it stays so, do not trust that server"
            )
        path.chmod(0o755)
        path.rename(folder / name)
    if not any(partial.iterdir()):
        partial.rmdir()


def _checksum(url: str) -> str:
    try:
        with urlopen(url, timeout=_SECONDS) as answer:
            words = answer.read(4096).decode("ascii", "replace").lower().split()
    except (OSError, HTTPException) as error:
        raise HarnessError(f"{url}: {error}") from error
    if not words or not _SHA256.fullmatch(words[0]):
        raise HarnessError(f"{url}: does not begin with a SHA-256 in hex")
    return str(words[0])


def _download(url: str, path: Path, tell: Callable[[float], None]) -> str:
    """The checksum of what was downloaded, in hex."""
    last = "it ended early each time"
    for _ in range(_TRIES):
        try:
            with path.open("ab") as file:
                whole = _append(url, file, tell)
        except HTTPError as error:
            if error.code < 500:
                raise HarnessError(f"{url}: {error}") from error
            last = str(error)
        except (OSError, HTTPException) as error:
            last = str(error)
        else:
            if whole:
                with path.open("rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest()
    raise HarnessError(f"{url}: gave up after {_TRIES} tries: {last}", hint="again later: what has come is kept")


def _append(url: str, file: IO[bytes], tell: Callable[[float], None]) -> bool:
    """Fetch what is missing; whether it is all there."""
    have = file.seek(0, 2)
    try:
        answer = urlopen(Request(url, headers={"Range": f"bytes={have}-"} if have else {}), timeout=_SECONDS)
    except HTTPError as error:
        # Range not satisfiable: nothing comes after what is there (RFC 9110, 15.5.17). The checksum judges.
        if have and error.code == 416:
            return True
        raise
    with answer:
        if have and answer.status != 206:  # it does not do ranges: from the beginning
            file.truncate(have := 0)
        length = answer.headers.get("Content-Length")
        whole = have + int(length) if length else None
        while chunk := answer.read(_CHUNK):
            have += file.write(chunk)
            tell(have / whole if whole else 0.0)
    return whole is None or have == whole
