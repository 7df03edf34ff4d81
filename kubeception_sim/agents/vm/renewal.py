"""New certificates for a guest that runs: the files that are different in its config go in through a port, and it tells when it
has them.

    files BYTES        to the guest, and then a tar archive of so many bytes, with paths below /
    done               from the guest: it has written them and started again what does not look by itself
    failed: WHY        it has not

The guest's side is kubeception-files.service of the node image. It may be ended at any point: a guest that starts again boots
from the new config, and an archive that was not acknowledged is sent again.
"""

import gzip
import io
import json
import logging
import tarfile
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from kubeception_sim.agents.issue.record import RECORD, Record
from kubeception_sim.agents.vm.stages import LineReader, printable

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 180.0
"""An emulated guest takes seconds to start its kubelet anew."""
DONE, FAILED = b"done", b"failed"


@dataclass(frozen=True)
class File:
    """A file that a config writes."""

    path: str
    mode: int
    data: bytes


class Renewal:
    """Keeps a guest's files as its config has them. `config` is the config's file, which the guest boots from.

    `send` writes to the guest; `is_running` says whether it has booted. What it reads is fed to `hear`.
    """

    def __init__(self, config: Path, send: Callable[[bytes], None], is_running: Callable[[], bool]) -> None:
        self._config, self._send, self._is_running = config, send, is_running
        self._there = files(config.read_bytes())
        self._held = self._latest() or Record()
        self._reader = LineReader()
        self._answered = threading.Event()
        self._answer = ""

    def page(self) -> Mapping[str, object]:
        """What the guest has: its record; that a token was refused is told of the latest, and why the guest refuses files."""
        latest = self._latest() or self._held
        return asdict(replace(self._held, refused=latest.refused, wrapper=latest.wrapper, why=latest.why or self._answer))

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        while not stop.wait(LOOK_SECONDS):
            try:
                self.look()
            except (OSError, ValueError) as error:
                _log.error("no new files: %s", error)

    def look(self, patience: float = ANSWER_SECONDS) -> None:
        """Bring the guest up to date, if it is not. Raises OSError and ValueError."""
        latest = self._latest()
        if latest is None or latest.made == self._held.made or not self._is_running():
            return
        wanted = files(self._config.read_bytes())
        different = [each for path, each in wanted.items() if self._there.get(path) != each]
        self._answered.clear()
        archive = packed(different)
        _log.info("%d files for the guest", len(different))
        self._send(b"files %d\n" % len(archive) + archive)
        self._answer = self._answer if self._answered.wait(patience) else f"the guest has not taken them in {patience:g} s"
        if self._answer:
            _log.error("%s", self._answer)
            return
        self._there, self._held = wanted, latest
        _log.info("the guest has the certificates of rotation %r", latest.rotation)

    def hear(self, chunk: bytes) -> None:
        """What came out of the port. What is no answer is none."""
        for line in self._reader.feed(chunk):
            word, _, text = line.partition(b":")
            if word in (DONE, FAILED):
                self._answer = "" if word == DONE else f"the guest has failed: {printable(text.strip()) or 'it does not say why'}"
                self._answered.set()

    def _latest(self) -> Record | None:
        return Record.read(self._config.with_name(RECORD))


def files(config: bytes) -> dict[str, File]:
    """The files of an Ignition config by their paths, in its order. Raises ValueError for one that is by reference."""
    listed = json.loads(config).get("storage", {}).get("files", ())
    return {each["path"]: File(each["path"], each.get("mode", 0o644), _data(each)) for each in listed}


def packed(found: list[File]) -> bytes:
    """A tar archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for each in found:
            member = tarfile.TarInfo(each.path.lstrip("/"))
            member.mode, member.size = each.mode, len(each.data)
            tar.addfile(member, io.BytesIO(each.data))
    return archive.getvalue()


def _data(file: Mapping[str, Any]) -> bytes:
    contents = file.get("contents", {})
    head, comma, body = (contents.get("source") or "data:,").partition(",")
    if not comma or not head.startswith("data:"):
        raise ValueError(f"the contents of {file['path']} are not in the config itself")
    data = b64decode(unquote_to_bytes(body)) if head.endswith(";base64") else unquote_to_bytes(body)
    return gzip.decompress(data) if contents.get("compression") == "gzip" else data
