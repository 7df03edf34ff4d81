"""A machine as libvirt's domain XML (https://libvirt.org/formatdomain.html). Pure.

It is the machine of qemu.py: q35, a virtio card whose ROM is iPXE on BIOS and none on UEFI, a serial port instead of a screen.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree

from kubeception_sim.doctor.accelerator import OVMF_CODE, OVMF_VARS
from kubeception_sim.errors import HarnessError
from kubeception_sim.lab import ENV_LAB
from kubeception_sim.machines import Firmware, MachineSpec
from kubeception_sim.model.boot import Accelerator

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
_REBOOT_MS = 5000
_CACHE_MIB = 256  # of translated code; see doctor.accelerator.guest_options
_Element: TypeAlias = ElementTree.Element


@dataclass(frozen=True)
class DirectKernel:
    """What a direct boot loads."""

    kernel: Path
    initrd: Path
    command_line: str


@dataclass(frozen=True)
class Domain:
    """`emulator` is the path of QEMU, `tap` an existing tap device, `console` and `variables` (UEFI's NVRAM) are files.

    `lab` is in the environment of QEMU, where `kubeception gc` looks for it.
    """

    name: str
    spec: MachineSpec
    accelerator: Accelerator
    emulator: Path
    tap: str
    plugged_in: bool
    console: Path
    variables: Path
    lab: str
    direct: DirectKernel | None = None

    def xml(self) -> str:
        """The document for virDomainCreateXML. Raises HarnessError when nothing runs guests here."""
        ElementTree.register_namespace("qemu", QEMU_NAMESPACE)
        root = ElementTree.Element("domain", type=self._hypervisor())
        _add(root, "name", self.name)
        _add(root, "title", f"{self.spec.name}, serial {self.spec.serial}")
        _add(root, "uuid", self.spec.uuid)
        _add(root, "memory", str(self.spec.memory_mib), unit="MiB")
        _add(root, "vcpu", str(self.spec.cpus))
        self._identity(root)
        self._boot(_add(root, "os"))
        self._processor(root)
        _add(root, "on_poweroff", "destroy")
        _add(root, "on_reboot", "restart")
        _add(root, "on_crash", "preserve")  # a panicked kernel is the guest's affair; the console tells it
        self._devices(_add(root, "devices"))
        line = _add(root, f"{{{QEMU_NAMESPACE}}}commandline")
        if self.spec.firmware is Firmware.UEFI and self.direct is None:
            # OVMF tries PXE over IPv6 too, and waits for it, unless told not to.
            for value in ("-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"):
                _add(line, f"{{{QEMU_NAMESPACE}}}arg", value=value)
        _add(line, f"{{{QEMU_NAMESPACE}}}env", name=ENV_LAB, value=self.lab)
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="unicode") + "\n"

    def card(self) -> str:
        """The network card alone, as it is to be from now on."""
        return ElementTree.tostring(self._card(), encoding="unicode")

    def _hypervisor(self) -> str:
        match self.accelerator:
            case Accelerator.KVM:
                return "kvm"
            case Accelerator.TCG:
                return "qemu"
            case Accelerator.NONE:
                raise HarnessError("no accelerator runs a guest on this host", hint="kubeception doctor")

    def _identity(self, root: _Element) -> None:
        system = _add(_add(root, "sysinfo", type="smbios"), "system")
        for name, value in (("manufacturer", "Kubeception"), ("serial", self.spec.serial), ("uuid", self.spec.uuid)):
            _add(system, "entry", value, name=name)

    def _boot(self, os: _Element) -> None:
        _add(os, "type", "hvm", arch="x86_64", machine="q35")
        if self.spec.firmware is Firmware.UEFI:
            _add(os, "loader", str(OVMF_CODE), readonly="yes", type="pflash")
            _add(os, "nvram", str(self.variables), template=str(OVMF_VARS))
        if self.direct is not None:
            _add(os, "kernel", str(self.direct.kernel))
            _add(os, "initrd", str(self.direct.initrd))
            _add(os, "cmdline", self.direct.command_line)
        # SeaBIOS would stay at "No bootable device" for ever; a machine in a rack tries again.
        _add(os, "bios", useserial="yes", rebootTimeout=str(_REBOOT_MS))
        _add(os, "smbios", mode="sysinfo")

    def _processor(self, root: _Element) -> None:
        features = _add(root, "features")
        _add(features, "acpi")
        if self.accelerator is Accelerator.KVM:
            _add(root, "cpu", mode="host-passthrough")
            return
        _add(_add(features, "tcg"), "tb-cache", str(_CACHE_MIB), unit="MiB")
        _add(_add(root, "cpu", mode="custom", match="exact", check="none"), "model", "qemu64", fallback="allow")

    def _devices(self, devices: _Element) -> None:
        _add(devices, "emulator", str(self.emulator))
        _add(devices, "controller", type="usb", model="none")
        devices.append(self._card())
        port = _add(devices, "serial", type="file")
        _add(port, "source", path=str(self.console), append="on")  # each boot adds to the same file
        _add(devices, "memballoon", model="none")
        # Without a source of randomness the guest's sshd and TLS wait for the kernel to gather some.
        _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")

    def _card(self) -> _Element:
        card = ElementTree.Element("interface", type="ethernet")
        _add(card, "mac", address=self.spec.mac)
        _add(card, "target", dev=self.tap, managed="no")
        _add(card, "model", type="virtio")
        _add(card, "link", state="up" if self.plugged_in else "down")
        if self.direct is not None or self.spec.firmware is Firmware.UEFI:
            _add(card, "rom", enabled="no")
        if self.direct is None:
            _add(card, "boot", order="1")
        _add(card, "alias", name="ua-card")
        return card


def _add(parent: _Element, tag: str, text: str = "", **attributes: str) -> _Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text or None
    return element
