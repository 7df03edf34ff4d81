"""A machine as a command line of QEMU. Pure."""

from collections.abc import Sequence

from kubeception_sim.doctor.accelerator import OVMF_CODE, QEMU, guest_options
from kubeception_sim.machines import DirectBoot, Firmware, MachineSpec
from kubeception_sim.model.boot import Accelerator

VARIABLES = "vars.fd"
"""UEFI's NVRAM, a file in the machine's directory, where QEMU runs."""


def command_line(spec: MachineSpec, accelerator: Accelerator, tap: str, qmp: int, system: Sequence[str] = ()) -> list[str]:
    """The command line. `qmp` is the inherited descriptor of the monitor's socket, `system` the kernel of a direct boot."""
    firmware, card = _firmware_options(spec)
    return [
        *(QEMU, "-name", f"{spec.name},process=kc-{spec.name}", "-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "q35,graphics=off", *guest_options(accelerator)),
        *("-m", str(spec.memory_mib), "-smp", str(spec.cpus)),
        *("-uuid", spec.uuid, "-smbios", f"type=1,manufacturer=Kubeception,serial={spec.serial},uuid={spec.uuid}"),
        *firmware,
        # SeaBIOS would stay at "No bootable device" for ever; a machine in a rack tries again.
        *(system or ("-boot", "order=n,menu=off,strict=on,reboot-timeout=5000")),
        *("-netdev", f"tap,id=cable,ifname={tap},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,id=card,netdev=cable,mac={spec.mac}{card}"),
        # Without a source of randomness the guest's sshd and TLS wait for the kernel to gather some: 18 s, not 3.
        *("-device", "virtio-rng-pci"),
        # Firmware and iPXE write to the serial port because of graphics=off; each boot adds to the same file.
        *("-chardev", "file,id=console,path=console.log,append=on", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
    ]


def _firmware_options(spec: MachineSpec) -> tuple[list[str], str]:
    """Options for the machine, and what to add to its network card."""
    direct = isinstance(spec.boot, DirectBoot)
    if spec.firmware is Firmware.BIOS:
        return [], ",romfile=" if direct else ",bootindex=0"
    return [
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={VARIABLES}"),
        # OVMF tries PXE over IPv6 too, and waits for it, unless told not to.
        *("-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"),
    ], ",romfile=" if direct else ",bootindex=0,romfile="
