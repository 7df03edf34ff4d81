"""Which boot file a machine's firmware is sent: by DHCP option 93 (RFC 4578, section 2.1, and IANA's registry of it)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mayu_py.core.faces import BootFiles


@dataclass(frozen=True, slots=True)
class Choice:
    """The key of `boot` that says which file, and the file; None where the config names none, or nothing is known of it."""

    key: str | None
    file: str | None


BOOT_FILES: Mapping[int, str] = MappingProxyType(
    {
        0: "bios",
        6: "uefi_ia32",
        7: "uefi_x64",  # RFC 4578 lists 9 for x64; firmware has always sent 7, and the registry followed.
        9: "uefi_x64",
        10: "uefi_arm32",
        11: "uefi_arm64",
        15: "uefi_ia32",  # from here on by HTTP
        16: "uefi_x64",
        18: "uefi_arm32",
        19: "uefi_arm64",
        20: "bios",
    }
)
"""Option 93 -> the key of `boot`."""


def choose(arch: int | None, boot: BootFiles) -> Choice:
    """The file for a firmware. One that does not tell its architecture is a BIOS: UEFI always does."""
    key = BOOT_FILES.get(arch or 0)
    return Choice(key, getattr(boot, key) if key else None)
