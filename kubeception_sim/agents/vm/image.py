"""`python -m kubeception_sim.agents.vm.image URL KERNEL INITRD ROOTFS`: fetches what a machine boots, once for each node.

URL is a folder of mayu's image server, the others are the SHA-256 of its files in hexadecimal digits. They are kept as
FOLDER/<sha256>/<name> (--folder, /var/lib/kubeception/images); a file that has its name is whole and was checked while it came.
Pods that want the same file at once wait for the first; a download that breaks off goes on where it was. Exit code 1 when it
cannot be had.
"""

import argparse
import fcntl
import hashlib
import http.client
import logging
import os
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger("kubeception.image")

FOLDER = Path("/var/lib/kubeception/images")
NAMES = {"kernel": "kernel", "initrd": "initrd.zst", "rootfs": "rootfs.squashfs"}
"""What mayu serves, and what it is called here."""
PATIENCE_SECONDS = 300.0
READ_SECONDS = 30.0
PAUSE_SECONDS = 1.0
_CHUNK = 1 << 20
_PROGRESS_SECONDS = 2.0
_PARTIAL = 206


class NotToBeHad(Exception):
    """The file cannot be had: what the server says, or what it has sent."""


@dataclass(frozen=True)
class Wanted:
    """A file by where it is, what it must be, and what it is called here."""

    url: str
    sha256: str
    name: str


def wanted(url: str, sums: Sequence[str]) -> tuple[Wanted, ...]:
    """The files of an image, of which `sums` are given in the order of NAMES. Raises ValueError."""
    if bad := [each for each in sums if not re.fullmatch(r"[0-9a-f]{64}", each)]:
        raise ValueError(f"{', '.join(bad)}: no SHA-256 in hexadecimal digits")
    served = zip(NAMES.items(), sums, strict=True)
    return tuple(Wanted(f"{url.rstrip('/')}/{remote}", digest, name) for (remote, name), digest in served)


def fetch(file: Wanted, folder: Path, *, patience: float = PATIENCE_SECONDS) -> Path:
    """Where the file is, once it is there; `patience` in seconds is for a server that does not answer. Raises NotToBeHad."""
    path = folder / file.sha256 / file.name
    if path.exists():
        _log.info("%s is there", path)
        return path
    # Not mkdir's mode, which the umask cuts: the machine's user reads what root has fetched.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o755)
    with _alone(path.parent):
        if not path.exists():
            _download(file, path, patience)
    return path


def _download(file: Wanted, path: Path, patience: float) -> None:
    draft = path.with_name(f".{path.name}.part")
    began, until = time.monotonic(), time.monotonic() + patience
    digest = _digest_of(draft)
    with draft.open("ab") as output:
        while True:
            try:
                for chunk in _Progress(file.url, output.tell()).of(_chunks(file.url, output.tell())):
                    output.write(chunk)
                    digest.update(chunk)
                    until = time.monotonic() + patience
                break
            except _Interrupted as error:
                if time.monotonic() > until:
                    raise NotToBeHad(f"{file.url}: nothing for {patience:g} s: {error}") from error
                _log.warning("%s: %s; goes on at byte %d", file.url, error, output.tell())
                time.sleep(PAUSE_SECONDS)  # the pace of attempts at a server that is away
        size = output.tell()
        os.fsync(output.fileno())
    if digest.hexdigest() != file.sha256:
        draft.unlink()
        raise NotToBeHad(f"{file.url}: its sha256 is {digest.hexdigest()}, not {file.sha256}")
    draft.chmod(0o644)
    draft.rename(path)
    _log.info("%s: %.0f MiB in %.1f s", path, size / (1 << 20), time.monotonic() - began)


class _Interrupted(Exception):
    """It may go on later."""


def _chunks(url: str, start: int) -> Iterator[bytes]:
    """The file from a byte on. Raises _Interrupted, and NotToBeHad for what does not change by asking again."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    # The image server is in the rack: a proxy of the environment is not meant for it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=READ_SECONDS) as response:
            if start and response.status != _PARTIAL:
                raise NotToBeHad(f"{url}: the server cannot go on at byte {start}")
            left = int(response.headers["Content-Length"])
            while chunk := response.read(_CHUNK):
                left -= len(chunk)
                yield chunk
            if left:
                raise _Interrupted(f"the connection ended {left} bytes too early")
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the whole file is there: it only was not checked yet
            return
        if error.code < 500:
            raise NotToBeHad(f"{url}: HTTP {error.code} {error.reason}") from error
        raise _Interrupted(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error


class _Progress:
    """A line now and then: an init container that says nothing seems to hang."""

    def __init__(self, url: str, start: int) -> None:
        self._url, self._size, self._next = url, start, time.monotonic() + _PROGRESS_SECONDS

    def of(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks, as they are."""
        for chunk in chunks:
            self._size += len(chunk)
            if time.monotonic() >= self._next:
                _log.info("%s: %.0f MiB", self._url, self._size / (1 << 20))
                self._next = time.monotonic() + _PROGRESS_SECONDS
            yield chunk


def _digest_of(draft: Path) -> "hashlib._Hash":
    """Of what an earlier attempt has left, which is read again: it may have been ended at any point."""
    if not draft.exists():
        return hashlib.sha256()
    with draft.open("rb") as file:
        return hashlib.file_digest(file, hashlib.sha256)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time on this node: pods share the folder. The lock ends with whoever holds it."""
    with (folder / ".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("another pod of this node fetches it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m kubeception_sim.agents.vm.image", description="What a machine boots.")
    parser.add_argument("url", help="folder of the image server")
    parser.add_argument("sums", nargs=len(NAMES), metavar="SHA256", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where files are kept")
    parser.add_argument("--patience", type=float, default=PATIENCE_SECONDS, help="seconds for a server that does not answer")
    options = parser.parse_args(arguments)
    try:
        for file in wanted(options.url, options.sums):
            fetch(file, options.folder, patience=options.patience)
    except (NotToBeHad, ValueError, OSError) as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    # The first process of a container is ended by no signal that it has not asked for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
