"""A copy of a state file in memory: whatever is done to it, the file stays as it is."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Self

from mayu_py.errors import StoreError
from mayu_py.store.sqlite import MemoryStore


class CopiedStore(MemoryStore):
    """The state as it was when it was copied, and what has been done to the copy since."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Copy what the file holds now; nothing when there is no such file. Raises StoreError.

        A server may be writing it meanwhile: the copy is one committed state. The file may be of an earlier release.
        """
        store = cls()
        if path.exists():
            store._fill(path)
        return store

    def _fill(self, path: Path) -> None:
        # Without a write-ahead log nobody has the file open, and it can be read without leaving one behind.
        mode = "ro" if path.with_name(f"{path.name}-wal").exists() else "ro&immutable=1"
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)) as db:
                db.backup(self._db)
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be read: {error}", hint="is it the state file of a mayu?") from error
        self._prepare()
