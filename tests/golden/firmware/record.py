"""Record this folder's files again: `python tests/golden/firmware/record.py`, as root, with dnsmasq installed.

Boots a BIOS and a UEFI machine through firmware and iPXE, and writes the first DISCOVER and REQUEST of each stage.
"""

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from kubeception_sim.doctor import find_accelerator
from kubeception_sim.lab import Lab
from kubeception_sim.machines import Firmware, MachineSpec
from kubeception_sim.machines.qemu import QemuDriver
from kubeception_sim.network import Fabric
from kubeception_sim.run import spawn

HERE = Path(__file__).parent
SPECS = {
    Firmware.BIOS: MachineSpec.derive("bios", "SN-BIOS"),
    Firmware.UEFI: MachineSpec.derive("uefi", "SN-UEFI", firmware=Firmware.UEFI),
}
STAGES = {Firmware.BIOS: ("bios", "bios-undionly"), Firmware.UEFI: ("uefi", "uefi-snponly")}
KINDS = {1: "discover", 3: "request"}
DNSMASQ = """
interface=br0
bind-interfaces
port=0
user=root
no-ping
leasefile-ro
pid-file=
dhcp-range=10.77.0.50,10.77.0.99,1h
dhcp-option=3
enable-tftp
tftp-root={tftp}
dhcp-match=set:ipxe,175
dhcp-match=set:uefi,option:client-arch,7
dhcp-boot=tag:ipxe,chain.ipxe
dhcp-boot=tag:!ipxe,tag:uefi,snponly.efi
dhcp-boot=tag:!ipxe,tag:!uefi,undionly.kpxe
dhcp-option-force=encap:175,176,1b
"""


def main() -> None:
    """Write the files."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab.create())
        fabric = stack.enter_context(Fabric.create(lab))
        tftp = lab.subdirectory("tftp")
        for name in ("undionly.kpxe", "snponly.efi"):
            shutil.copy(f"/usr/lib/ipxe/{name}", tftp)
        (tftp / "chain.ipxe").write_text("#!ipxe\nchain undionly.kpxe\n")
        config = lab.directory / "dnsmasq.conf"
        config.write_text(DNSMASQ.format(tftp=tftp))
        log = lab.directory / "dnsmasq.log"
        stack.enter_context(spawn(["dnsmasq", "-k", "-C", config], log=log, namespace=fabric.namespace, env=lab.env))
        driver = QemuDriver(find_accelerator().accelerator, lab.env)
        for firmware, spec in SPECS.items():
            directory = lab.subdirectory(spec.name)
            with sniffer(fabric) as frames, driver.create(spec, fabric.port(spec.name), directory) as machine:
                machine.start()
                record(STAGES[firmware], messages(frames, bytes.fromhex(spec.mac.replace(":", ""))))


def record(stages: tuple[str, ...], heard: Iterator[bytes]) -> None:
    """The first DISCOVER of a stage, then its first REQUEST; then the next stage."""
    for stage in stages:
        for kind, name in KINDS.items():
            message = next(message for message in heard if message[240:243] == bytes((53, 1, kind)))
            text = message.hex()
            lines = [text[at : at + 64] for at in range(0, len(text), 64)]
            (HERE / f"{stage}-{name}.hex").write_text("\n".join(lines) + "\n")


def sniffer(fabric: Fabric) -> socket.socket:
    """All that the bridge receives."""
    frames = fabric.socket(socket.AF_PACKET, socket.SOCK_RAW)
    frames.bind((fabric.bridge, 0x0800))
    frames.settimeout(60)
    return frames


def messages(frames: socket.socket, mac: bytes) -> Iterator[bytes]:
    """What `mac` sends to UDP port 67, without the headers: Ethernet 14 bytes, IPv4 20, UDP 8."""
    while True:
        frame = frames.recv(2048)
        if frame[6:12] == mac and frame[23] == socket.IPPROTO_UDP and frame[36:38] == b"\0\x43":
            yield frame[42 : 14 + int.from_bytes(frame[16:18], "big")]


if __name__ == "__main__":
    main()
