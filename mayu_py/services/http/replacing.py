"""`PUT /admin/mayu_config`: another config file takes the place of the one in service, or nothing changes."""

import hashlib
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from mayu_py import config
from mayu_py.errors import ConfigError, StoreError
from mayu_py.services.desk import Desk
from mayu_py.store import Happened, Stamp
from mayu_py.store.generations import request_reload


class Replacement:
    """Takes a config file's text and who wants it. Raises ConfigError with every problem, StoreError, StartError."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._one_at_a_time = threading.Lock()

    def __call__(self, text: str, by: str) -> None:
        """Check it, put it in the file's place, and have the server read it. What the server refuses is taken back."""
        path = Path(self._desk.settings.origin.mark.file).resolve()
        with self._one_at_a_time:
            before = _written(path, path.read_bytes())
            after = _written(path, text.encode("utf-8", "replace"))
            try:
                self._checked(after, path)
                os.replace(after, path)
                outcome = request_reload(self._desk.store, by)
                if not outcome.accepted:
                    os.replace(before, path)
                    raise ConfigError("\n".join(outcome.problems))
            finally:
                for left in (before, after):
                    with suppress(FileNotFoundError):
                        left.unlink()
            digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
            self._desk.store.record([(Happened("config", {"by": by, "sha256": digest}), Stamp.now())])

    def _checked(self, candidate: Path, path: Path) -> None:
        """Raise ConfigError, in the words it would have if the file were in its place already."""
        try:
            config.read(candidate)
        except ConfigError as error:
            raise ConfigError(error.message.replace(str(candidate), str(path)), hint=error.hint) from error


def _written(path: Path, content: bytes) -> Path:
    """The content in a new file beside `path`, with its mode, on the disk: relative paths in it mean the same folder."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, name)
    except OSError as error:
        raise StoreError(f"{path} cannot be replaced: {error.strerror}", hint="may mayu write into that folder?") from error
    return Path(name)
