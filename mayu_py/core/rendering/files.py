"""Files that a host is given besides what its template says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class File:
    """One file, as text."""

    path: str
    text: str
    mode: int = 0o644


Section = tuple[str, list[tuple[str, object]]]


def ini(*sections: Section) -> str:
    """Sections of `Key=value` lines. Empty sections, and values that are None or empty, are left out."""
    blocks = []
    for name, entries in sections:
        lines = [f"{key}={value}" for key, value in entries if value is not None and value != ""]
        if lines:
            blocks.append("\n".join((f"[{name}]", *lines)) + "\n")
    return "\n".join(blocks)
