"""What a machine's pod says of its certificates: issued.json, beside the config that has them. Pure, but for one file.

It is written after the config: a record without its config there is not, and a config without a record is made anew.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

RECORD = "issued.json"


@dataclass(frozen=True)
class Record:
    """The certificates that were issued last. Times in seconds of UTC, 0 for never.

    `rotation` is the one that was asked for, `until` when the first of them ends. `wrapper` is the fingerprint of the token's
    wrapper that was opened last; `refused` is when one was found open, and `why` what OpenBao said of it.
    """

    rotation: str = ""
    made: int = 0
    until: int = 0
    wrapper: str = ""
    refused: int = 0
    why: str = ""

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """From its file; None while there is none. Raises ValueError for one that is nothing of the kind."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except TypeError as error:
            raise ValueError(f"{path}: {error}") from error

    def text(self) -> bytes:
        """As the file has it."""
        return json.dumps(asdict(self), sort_keys=True).encode()


def fingerprint(wrapper: str) -> str:
    """Of a wrapped token: says whether it is the same, and opens nothing."""
    return hashlib.sha256(wrapper.encode()).hexdigest()
