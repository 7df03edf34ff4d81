"""QEMU's command line for a machine of an inner cluster. Pure.

The kernel is given, so there is no boot loader; the root file system is a read-only disk that all machines of a node share; the
config comes by QEMU's fw_cfg device, where Ignition looks for it on its platform `qemu` (Ignition, "Supported platforms"). What
must outlive the machine is on a disk of its own. What connects it with its pod are inherited descriptors, but for the tap: no
path to wait for, to clash, or to be reached by others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.agents.vm import addresses
from kubeception_sim.agents.vm.machine import Acceleration, Disk, Machine, Place

QEMU = "qemu-system-x86_64"
IGNITION = "opt/com.coreos/config"
STAGE_PORT, POWER_PORT, FILES_PORT = "io.kubeception.stage", "io.kubeception.power", "io.kubeception.files"
ROOTFS_SERIAL, ETCD_SERIAL = "rootfs", "etcd"
"""The guest finds a disk as /dev/disk/by-id/virtio-SERIAL."""

_ACCELERATION: Mapping[Acceleration, tuple[str, ...]] = {
    Acceleration.KVM: ("-accel", "kvm", "-cpu", "host"),
    # The choice of doctor/accelerator.py, for the reasons that are told there.
    Acceleration.TCG: ("-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "qemu64"),
}

_EMULATED = (
    # An emulated processor does not guess, and the detours around what others guess are slow there.
    "mitigations=off",
    # Its counter is that of the computer below, the same for all of its processors. A kernel that does not believe so asks a
    # device for the time, and for that a processor waits until QEMU's main loop lets it.
    "tsc=reliable",
    # Each timer that is set wakes that loop, too, and programs in Go set thousands a second. By the tick, 250 times a second,
    # they are served all together.
    "highres=off",
    "nohz=off",
)


@dataclass(frozen=True)
class Lines:
    """Descriptors of stream sockets that QEMU inherits: its monitor, the serial console, and the guest's three ports."""

    monitor: int
    console: int
    stages: int
    power: int
    files: int

    @property
    def all(self) -> tuple[int, ...]:
        """For whoever starts QEMU."""
        return (self.monitor, self.console, self.stages, self.power, self.files)


def command_line(machine: Machine, lines: Lines, mtu: int = 0) -> list[str]:
    """The command line. `mtu` is that of the machine's cable in bytes; it has no part where there is none."""
    return [
        *(QEMU, "-name", _escaped(f"{machine.cluster}-{machine.name}"), "-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "q35,graphics=off", *_ACCELERATION[machine.acceleration]),
        *("-m", str(machine.memory), "-smp", str(machine.cpus)),
        # A machine that starts again does so as a container: the kubelet counts it, and waits longer each time.
        "-no-reboot",
        *(
            "-kernel",
            str(machine.kernel),
            "-initrd",
            str(machine.initrd),
            "-append",
            kernel_line(machine.place, emulated=machine.acceleration is Acceleration.TCG),
        ),
        *("-fw_cfg", f"name={IGNITION},file={_escaped(machine.config)}"),
        *_drive(machine.rootfs, ROOTFS_SERIAL, "readonly=on"),
        *(_etcd_drive(machine.disk) if machine.disk else ()),
        *(_card(machine.place, mtu) if machine.place else ()),
        # Without a source of randomness the guest's sshd and TLS wait for the kernel to gather some.
        *("-device", "virtio-rng-pci"),
        *_serial("monitor", lines.monitor, "-mon", "chardev=monitor,mode=control"),
        *_serial("console", lines.console, "-serial", "chardev:console"),
        *("-device", "virtio-serial-pci"),
        *_serial("stages", lines.stages, "-device", f"virtserialport,chardev=stages,name={STAGE_PORT}"),
        *_serial("power", lines.power, "-device", f"virtserialport,chardev=power,name={POWER_PORT}"),
        *_serial("files", lines.files, "-device", f"virtserialport,chardev=files,name={FILES_PORT}"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
    ]


def kernel_line(place: Place | None, *, emulated: bool = True) -> str:
    """What the initrd of the testbed OS wants to know (docs/architecture.md), and where the kernel is to write.

    Without a place, its network interface is the loopback alone.
    """
    words = [
        "ignition.firstboot=1",
        "ignition.platform.id=qemu",
        f"testbed.rootfs=/dev/disk/by-id/virtio-{ROOTFS_SERIAL}",
        f"ip={_network(place)}",
        "net.ifnames=0",
        "console=ttyS0",
        # It has no boot loader's partition: the generators would look for one.
        "rd.systemd.gpt_auto=0",
        "systemd.gpt_auto=0",
        # Ciphers would test themselves at every start of the kernel: on an emulated processor that takes seconds.
        "cryptomgr.notests",
        *(_EMULATED if emulated else ()),
        # A kernel that panics is a machine that has ended.
        "panic=1",
        # The kernel is silent, and each unit has its line: a serial port is slow.
        "quiet",
        "systemd.show_status=1",
    ]
    return " ".join(words)


def _network(place: Place | None) -> str:
    """CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF (kernel, nfsroot.rst)."""
    if place is None:
        return "127.0.0.2:::255.0.0.0::lo:none"
    own = addresses.address(place.subnet, place.index)
    return f"{own.ip}::{addresses.gateway(place.subnet, place.index)}:{own.netmask}::eth0:none"


def _drive(path: Path, serial: str, *options: str) -> tuple[str, ...]:
    drive = ",".join(("if=none", f"id={serial}", "format=raw", *options, f"file={_escaped(path)}"))
    return ("-drive", drive, "-device", f"virtio-blk-pci,drive={serial},serial={serial}")


def _etcd_drive(disk: Disk) -> tuple[str, ...]:
    # What etcd deletes is given back to the node.
    return _drive(disk.path, ETCD_SERIAL, "discard=unmap")


def _card(place: Place, mtu: int) -> tuple[str, ...]:
    card = f"virtio-net-pci,id=card,netdev=cable,mac={addresses.mac(place.vni, place.index)},host_mtu={mtu},romfile="
    return ("-netdev", f"tap,id=cable,ifname={_escaped(place.tap)},script=no,downscript=no", "-device", card)


def _serial(name: str, descriptor: int, *use: str) -> tuple[str, ...]:
    return ("-chardev", f"socket,id={name},fd={descriptor}", *use)


def _escaped(value: object) -> str:
    """As a part of an option, where a comma ends a value."""
    return str(value).replace(",", ",,")
