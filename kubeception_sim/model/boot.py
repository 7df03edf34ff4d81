"""What a boot goes through, as a person outside the machine can see it."""

from enum import StrEnum


class Firmware(StrEnum):
    """What a machine runs before any of our software."""

    BIOS = "bios"
    UEFI = "uefi"


class Stage(StrEnum):
    """How far a boot has come, in order (docs/architecture.md, "Boot stages")."""

    DHCP = "dhcp"
    TFTP = "tftp"
    IPXE = "ipxe"
    HTTP = "http"
    IGNITION = "ignition"
    SWITCH_ROOT = "switch-root"
    RUNNING = "running"

    @property
    def position(self) -> int:
        """0 for the first stage."""
        return list(Stage).index(self)


class HostState(StrEnum):
    """What mayu knows of a host (docs/architecture.md, "Host states"), and `off` for one that has never had power."""

    OFF = "off"
    DISCOVERED = "discovered"
    CONFIGURED = "configured"
    INSTALLING = "installing"
    RUNNING = "running"
    FAILED = "failed"


class Worker(StrEnum):
    """mayu's worker processes."""

    DHCP = "dhcp"
    TFTP = "tftp"
    HTTP = "http"


class Accelerator(StrEnum):
    """What ran the guests' code. TCG is emulation and never called nested virtualisation; `none` runs no guest code."""

    KVM = "kvm"
    TCG = "tcg"
    NONE = "none"
