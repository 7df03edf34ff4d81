"""Real firmware under QEMU, as far as its network boot."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kubeception_sim.doctor import find_accelerator
from kubeception_sim.doctor.accelerator import OVMF_VARS
from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.machines import Firmware, MachineSpec, MachineState
from kubeception_sim.machines.qemu import QemuDriver, QemuMachine
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.network import Fabric
from kubeception_sim.run import require, spawn

GOLDEN = Path(__file__).parents[1] / "golden" / "firmware"
SPECS = {
    Firmware.BIOS: MachineSpec.derive("bios", "SN-BIOS", memory_mib=256),
    Firmware.UEFI: MachineSpec.derive("uefi", "SN-UEFI", firmware=Firmware.UEFI, memory_mib=256),
}
SIGN_OF_LIFE_SECONDS = 60.0
DNSMASQ = """
interface=br0
bind-interfaces
port=0
user=root
no-ping
leasefile-ro
pid-file=
dhcp-range=10.77.0.50,10.77.0.99,1h
enable-tftp
tftp-root={tftp}
dhcp-boot=who.ipxe
"""


@pytest.fixture(scope="session")
def accelerator() -> Accelerator:
    try:
        verdict = find_accelerator()
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    if verdict.accelerator is Accelerator.NONE:
        pytest.skip(f"booted guests, none came up: {verdict.attempts}")
    return verdict.accelerator


@pytest.fixture
def driver(lab: Lab, accelerator: Accelerator) -> QemuDriver:
    return QemuDriver(accelerator, lab.env)


@pytest.fixture
def dhcp(fabric: Fabric) -> Iterator[socket.socket]:
    """Where a DHCP server would listen."""
    with fabric.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"br0")
        server.bind(("", 67))
        server.settimeout(SIGN_OF_LIFE_SECONDS)
        yield server


@contextmanager
def plugged_in(driver: QemuDriver, fabric: Fabric, lab: Lab, spec: MachineSpec) -> Iterator[QemuMachine]:
    with driver.create(spec, fabric.port(spec.name), lab.subdirectory(spec.name)) as machine:
        yield machine


def eventually(machine: QemuMachine, text: str) -> None:
    until = time.monotonic() + SIGN_OF_LIFE_SECONDS
    while text not in machine.console_tail(100):
        assert time.monotonic() < until, f"{text!r} did not come; {machine.state()}:\n{machine.console_tail()}"
        time.sleep(0.1)


def lasting(packet: bytes) -> bytes:
    """A DHCP message without transaction id and seconds."""
    return packet[:4] + bytes(6) + packet[10:]


@pytest.mark.parametrize("firmware", Firmware)
def test_firmware_boots_from_the_network(
    driver: QemuDriver, fabric: Fabric, lab: Lab, dhcp: socket.socket, firmware: Firmware
) -> None:
    recorded = bytes.fromhex((GOLDEN / f"{firmware}-discover.hex").read_text())
    with plugged_in(driver, fabric, lab, SPECS[firmware]) as machine:
        machine.start()
        discover = dhcp.recv(2048)
        assert machine.state() is MachineState.RUNNING
    assert lasting(discover) == lasting(recorded), "QEMU or its firmware has changed: record tests/golden/firmware again"


def test_a_bios_machine_shows_its_console_and_knows_who_it_is(driver: QemuDriver, fabric: Fabric, lab: Lab) -> None:
    try:
        require("dnsmasq", "dnsmasq-base")
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    tftp = lab.subdirectory("tftp")
    (tftp / "who.ipxe").write_text("#!ipxe\necho I am ${serial} ${uuid} ${netX/mac} ${netX/chip}\nsleep 1000\n")
    config = lab.directory / "dnsmasq.conf"
    config.write_text(DNSMASQ.format(tftp=tftp))
    spec = SPECS[Firmware.BIOS]
    server = spawn(["dnsmasq", "-k", "-C", config], log=lab.directory / "dnsmasq.log", namespace=fabric.namespace, env=lab.env)
    with server, plugged_in(driver, fabric, lab, spec) as machine:
        machine.start()
        eventually(machine, f"I am SN-BIOS {spec.uuid} {spec.mac} virtio-net")
        assert "SeaBIOS" in machine.console.read_text(errors="replace")


def test_a_paused_machine_is_silent_until_it_is_resumed(
    driver: QemuDriver, fabric: Fabric, lab: Lab, dhcp: socket.socket
) -> None:
    with plugged_in(driver, fabric, lab, SPECS[Firmware.BIOS]) as machine:
        machine.start()
        machine.pause()
        assert machine.state() is MachineState.PAUSED
        dhcp.settimeout(4)
        with pytest.raises(TimeoutError):
            dhcp.recv(2048)
        machine.resume()
        assert machine.state() is MachineState.RUNNING
        dhcp.settimeout(SIGN_OF_LIFE_SECONDS)
        dhcp.recv(2048)


def test_stopping_asks_first_and_does_not_wait_for_ever(driver: QemuDriver, fabric: Fabric, lab: Lab) -> None:
    """Firmware does not listen to the power button, so this ends with `quit`."""
    with plugged_in(driver, fabric, lab, SPECS[Firmware.BIOS]) as machine:
        machine.start()
        machine.pause()
        began = time.monotonic()
        machine.stop(grace=0.5)
        assert machine.state() is MachineState.OFF
        assert 0.5 <= time.monotonic() - began < 5
        machine.stop(grace=60)  # it is off: nothing to wait for


def test_each_boot_adds_to_the_console_and_keeps_the_variables(
    driver: QemuDriver, fabric: Fabric, lab: Lab, dhcp: socket.socket
) -> None:
    with plugged_in(driver, fabric, lab, SPECS[Firmware.UEFI]) as machine:
        machine.start()
        dhcp.recv(2048)
        machine.kill()
        assert machine.state() is MachineState.OFF
        first, variables = machine.console.read_bytes(), (lab.directory / "uefi" / "vars.fd").read_bytes()
        assert variables != OVMF_VARS.read_bytes(), "OVMF did not write its variables"
        machine.start()
        assert (lab.directory / "uefi" / "vars.fd").read_bytes() == variables
        dhcp.recv(2048)
        assert machine.console.read_bytes().startswith(first)


def test_a_machine_is_switched_on_once(driver: QemuDriver, fabric: Fabric, lab: Lab) -> None:
    with plugged_in(driver, fabric, lab, SPECS[Firmware.BIOS]) as machine:
        assert machine.state() is MachineState.OFF
        with pytest.raises(HarnessError, match="bios has no power"):
            machine.pause()
        machine.start()
        with pytest.raises(HarnessError, match="bios is on already"):
            machine.start()


def test_a_qemu_that_dies_is_not_a_guest_that_powered_off(driver: QemuDriver, fabric: Fabric, lab: Lab) -> None:
    with plugged_in(driver, fabric, lab, SPECS[Firmware.BIOS]) as machine:
        machine.start()
        os.kill(pid_of(lab, "kc-bios"), signal.SIGKILL)
        until = time.monotonic() + 10
        while machine.state() is MachineState.RUNNING and time.monotonic() < until:
            time.sleep(0.01)
        assert machine.state() is MachineState.BROKEN
        machine.start()
        assert machine.state() is MachineState.RUNNING


def pid_of(lab: Lab, command: str) -> int:
    """The lab's process of that name: what `ps` shows is `kc-` and the machine's name."""
    label = f"KUBECEPTION_LAB={lab.id}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if label in (entry / "environ").read_bytes().split(b"\0") and (entry / "comm").read_text() == f"{command}\n":
                return int(entry.name)
    raise AssertionError(f"no process {command} in lab {lab.id}")


def test_a_machine_that_cannot_start_says_what_qemu_said(driver: QemuDriver, fabric: Fabric, lab: Lab) -> None:
    spec = MachineSpec.derive("huge", "SN-HUGE", memory_mib=1 << 30)
    with (
        plugged_in(driver, fabric, lab, spec) as machine,
        pytest.raises(HarnessError, match=r"(?s)huge does not start: .*qemu-system-x86_64:"),
    ):
        machine.start()
    assert machine.state() is MachineState.OFF
