"""The fake machine against servers that know nothing of it: dnsmasq for DHCP and TFTP, http.server for the rest."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from kubeception_sim.errors import BadInput, HarnessError, MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.machines import BootImage, DirectBoot, Firmware, MachineSpec, MachineState
from kubeception_sim.machines.fake import FakeDriver, FakeMachine
from kubeception_sim.network import Fabric
from kubeception_sim.run import require
from tests.net.boot_server import ROOTFS, SERVER, BootServer, serving


@pytest.fixture
def server(lab: Lab, fabric: Fabric) -> Iterator[BootServer]:
    try:
        require("dnsmasq", "dnsmasq-base")
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    with serving(lab, fabric, ROOTFS, hashlib.sha256(ROOTFS).hexdigest()) as server:
        yield server


@contextmanager
def plugged_in(lab: Lab, fabric: Fabric, firmware: Firmware = Firmware.BIOS) -> Iterator[FakeMachine]:
    spec = MachineSpec.derive("n1", "SN-1", firmware=firmware, address=IPv4Interface("10.77.0.50/24"))
    with FakeDriver(lab.env).create(spec, fabric.port("n1"), lab.subdirectory("n1")) as machine:
        yield machine


def eventually(machine: FakeMachine, state: MachineState, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while machine.state() is not state:
        assert time.monotonic() < until, f"{machine.state()}, not {state}: {machine.console_tail()}"
        time.sleep(0.02)


@pytest.mark.parametrize(("firmware", "boot_file"), [(Firmware.BIOS, "bios.boot"), (Firmware.UEFI, "uefi.boot")])
def test_it_asks_for_what_a_booting_machine_asks_for(
    lab: Lab, fabric: Fabric, server: BootServer, firmware: Firmware, boot_file: str
) -> None:
    with plugged_in(lab, fabric, firmware) as machine:
        machine.start()
        server.wait_for("/boot_complete")
        assert f"{boot_file} from {SERVER} by TFTP, 4608 bytes" in machine.console_tail()
        assert server.requests == [
            "GET /boot.ipxe",
            f"GET /script?serial=SN-1&mac={machine.spec.mac}",
            "GET /kernel",
            "GET /initrd",
            "GET /rootfs",
            "GET /ignition",
            "PUT /host/SN-1/stage/switch-root",
            "PUT /host/SN-1/boot_complete",
        ]


def test_a_machine_that_cannot_go_on_says_so_and_powers_off(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    server.rootfs_sha256 = "0" * 64
    with plugged_in(lab, fabric) as machine:
        machine.start()
        server.wait_for("/host/SN-1/failed")
        eventually(machine, MachineState.OFF)
        assert "PUT /host/SN-1/boot_complete" not in server.requests


def test_a_server_that_is_busy_is_asked_again(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    server.busy = 2
    with plugged_in(lab, fabric) as machine:
        machine.start()
        server.wait_for("/boot_complete")
        assert server.requests.count("GET /ignition") == 3
        assert server.busy == 0


def test_firmware_that_finds_nothing_to_boot_tries_again(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    boot_file = lab.directory / "tftp" / "bios.boot"
    boot_file.rename(lab.directory / "aside")
    with plugged_in(lab, fabric) as machine:
        machine.start()
        until = time.monotonic() + 20
        while "no bootable device" not in machine.console_tail():
            assert time.monotonic() < until, machine.console_tail()
            time.sleep(0.02)
        (lab.directory / "aside").rename(boot_file)
        server.wait_for("/boot_complete")


def test_it_listens_to_the_power_button_and_boots_again(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    with plugged_in(lab, fabric) as machine:
        for _ in range(2):
            server.requests.clear()
            machine.start()
            assert machine.state() is MachineState.RUNNING
            server.wait_for("/boot_complete")
            machine.stop(grace=5)
            assert machine.state() is MachineState.OFF


def test_a_paused_machine_is_silent_until_it_is_resumed(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    with plugged_in(lab, fabric) as machine:
        machine.start()
        machine.pause()
        assert machine.state() is MachineState.PAUSED
        server.requests.clear()
        with pytest.raises(AssertionError, match="nobody asked"):
            server.wait_for("/boot_complete", seconds=2)
        machine.resume()
        server.wait_for("/boot_complete")


def test_what_has_no_power_cannot_be_paused(lab: Lab, fabric: Fabric) -> None:
    with plugged_in(lab, fabric) as machine:
        with pytest.raises(HarnessError, match="n1 has no power"):
            machine.pause()
        machine.stop(grace=0)
        machine.kill()
        assert machine.state() is MachineState.OFF


def test_it_has_a_cable_and_the_address_it_is_expected_to_get(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    with plugged_in(lab, fabric) as machine:
        assert machine.address == IPv4Address("10.77.0.50")
        machine.set_link(False)
        machine.start()
        with pytest.raises(AssertionError, match="nobody asked"):
            server.wait_for("/boot.ipxe", seconds=2)
        machine.set_link(True)
        server.wait_for("/boot_complete", seconds=30)


def test_nothing_can_be_run_in_it_or_copied(lab: Lab, fabric: Fabric, tmp_path: Path) -> None:
    with plugged_in(lab, fabric) as machine:
        for impossible in (
            lambda: machine.execute(("true",), timeout=1),
            lambda: machine.push(tmp_path, "/there"),
            lambda: machine.pull("/there", tmp_path),
        ):
            with pytest.raises(HarnessError, match="n1 is a fake"):
                impossible()


def test_it_boots_from_the_network_only(lab: Lab, fabric: Fabric, tmp_path: Path) -> None:
    boot = DirectBoot(BootImage(tmp_path, tmp_path, tmp_path, ""), "http://10.77.0.1/config")
    spec = MachineSpec.derive("n1", "SN-1", address=IPv4Interface("10.77.0.50/24"), boot=boot)
    with pytest.raises(BadInput, match="from the network only"):
        FakeDriver(lab.env).create(spec, fabric.port("n1"), tmp_path)
