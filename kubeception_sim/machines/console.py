"""A serial console's bytes as lines for people."""

import re
from pathlib import Path

_TAIL_BYTES = 64 * 1024
# Colours, cursor movements and the like (ECMA-48, section 5.4), and the two-character escapes.
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\^_=>78c]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def tail(console: Path, lines: int) -> str:
    """The last lines with something on them; empty when the machine never wrote any."""
    if not console.exists():
        return ""
    with console.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    # Firmware redraws lines after carriage returns or backspaces, and OVMF moves the cursor instead of ending lines.
    plain = _CONTROL.sub("", _ESCAPE.sub("\n", re.sub("[\r\b]+", "\n", text)))
    return "\n".join([line.rstrip() for line in plain.splitlines() if line.strip()][-lines:])
