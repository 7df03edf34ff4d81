"""libvirt machines: as far as the network boot of their firmware, and what a killed run leaves of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kubeception_sim import gc
from kubeception_sim.artifacts import testbed
from kubeception_sim.doctor import find_accelerator
from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.lab import DEFAULT_ROOT, ENV_LAB, Lab
from kubeception_sim.machines import Firmware, MachineSpec, MachineState
from kubeception_sim.machines.libvirt import LibvirtDriver
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.network import Fabric
from kubeception_sim.run import require, run

PROJECT = Path(__file__).parents[2]
SIGN_OF_LIFE = {Firmware.BIOS: "Configuring (net0", Firmware.UEFI: "Start PXE over IPv4"}
SIGN_OF_LIFE_SECONDS = 90.0


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    try:
        verdict = find_accelerator(testbed.default_cache())
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    if verdict.accelerator is Accelerator.NONE:
        pytest.skip(f"booted guests, none came up: {verdict.attempts}")
    return verdict.accelerator


@pytest.fixture
def driver(lab: Lab, accelerator: Accelerator) -> LibvirtDriver:
    try:
        return LibvirtDriver(accelerator, lab)
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")


def eventually(condition: Callable[[], bool], what: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


@pytest.mark.parametrize("firmware", list(Firmware))
def test_firmware_boots_from_the_network(driver: LibvirtDriver, lab: Lab, fabric: Fabric, firmware: Firmware) -> None:
    spec = MachineSpec.derive(str(firmware), f"SN-{firmware}", firmware=firmware, memory_mib=256)
    with driver.create(spec, fabric.port(spec.name), lab.subdirectory("machines", spec.name)) as machine:
        machine.start()
        eventually(
            lambda: SIGN_OF_LIFE[firmware] in machine.console.read_text(errors="replace"),
            machine.console_tail,
            SIGN_OF_LIFE_SECONDS,
        )
        assert machine.state() is MachineState.RUNNING
        assert machine.shell == (), "nobody has said how to log in"
        machine.stop(grace=0.1)
        assert machine.state() is MachineState.OFF


def test_a_machine_whose_emulator_dies_is_broken_and_can_be_started_again(
    driver: LibvirtDriver, lab: Lab, fabric: Fabric
) -> None:
    spec = MachineSpec.derive("n1", "SN-1", memory_mib=256)
    with driver.create(spec, fabric.port("n1"), lab.subdirectory("machines", "n1")) as machine:
        machine.start()
        (pid,) = emulators(lab.id)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: machine.state() is MachineState.BROKEN, machine.state, 10)
        machine.start()
        assert machine.state() is MachineState.RUNNING


def test_a_person_finds_it_with_virsh(driver: LibvirtDriver, lab: Lab, fabric: Fabric) -> None:
    try:
        require("virsh", "libvirt-clients")
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    spec = MachineSpec.derive("n1", "SN-1", memory_mib=256)
    with driver.create(spec, fabric.port("n1"), lab.subdirectory("machines", "n1")) as machine:
        machine.start()
        uri = f"qemu+unix:///system?socket={lab.directory}/libvirt/fabric/libvirt-sock"
        assert machine.domain in run(["virsh", "-c", uri, "list", "--name"], timeout=10).stdout.split()
    assert not (lab.directory / "libvirt" / "fabric" / "libvirt-sock").exists()


RUN = """
import sys
from pathlib import Path
from kubeception_sim.lab import Lab
from kubeception_sim.machines import MachineSpec
from kubeception_sim.machines.libvirt import LibvirtDriver
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.network import Fabric

with Lab.create(Path(sys.argv[1])) as lab, Fabric.create(lab) as fabric:
    driver = LibvirtDriver(Accelerator(sys.argv[2]), lab)
    spec = MachineSpec.derive("n1", "SN-1", memory_mib=256)
    with driver.create(spec, fabric.port("n1"), lab.subdirectory("machines", "n1")) as machine:
        machine.start()
        machine.pause()
        print(lab.id, flush=True)
        sys.stdin.read()
"""


def test_a_path_that_no_socket_can_have_is_told(driver: LibvirtDriver, fabric: Fabric, tmp_path: Path) -> None:
    with Lab.create(tmp_path / ("deep" * 20)) as deep:
        spec = MachineSpec.derive("n1", "SN-1", memory_mib=256)
        machine = LibvirtDriver(driver.accelerator, deep).create(spec, fabric.port("n1"), deep.subdirectory("n1"))
        with pytest.raises(HarnessError, match="too long a path"):
            machine.start()


def test_a_lab_in_the_default_folder_has_machines(accelerator: Accelerator) -> None:
    """Below /run, which is one of the places that the daemon has of its own."""
    with Lab.create(DEFAULT_ROOT) as lab, Fabric.create(lab) as fabric:
        driver = LibvirtDriver(accelerator, lab)
        spec = MachineSpec.derive("n1", "SN-1", memory_mib=256)
        with driver.create(spec, fabric.port(spec.name), lab.subdirectory("machines", spec.name)) as machine:
            machine.start()
            assert machine.state() is MachineState.RUNNING


def test_a_killed_run_leaves_a_domain_that_gc_removes(tmp_path_factory: pytest.TempPathFactory, driver: LibvirtDriver) -> None:
    tmp_path = tmp_path_factory.mktemp("l")
    argv = [sys.executable, "-c", RUN, str(tmp_path / "labs"), str(driver.accelerator)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        lab_id = child.stdout.readline().strip()
        child.send_signal(signal.SIGKILL)
    assert lab_id
    assert len(emulators(lab_id)) == 1
    found = [leftover for leftover in gc.find(tmp_path / "labs") if leftover.lab == lab_id]
    assert {gc.Kind.PROCESS, gc.Kind.NAMESPACE, gc.Kind.DIRECTORY} <= {leftover.kind for leftover in found}
    assert {removal.problem for removal in gc.collect(found)} == {""}
    assert [leftover for leftover in gc.find(tmp_path / "labs") if leftover.lab == lab_id] == []
    assert emulators(lab_id) == []


def emulators(lab_id: str) -> list[int]:
    """The pids of the lab's QEMU processes, found by their label."""
    label = f"{ENV_LAB}={lab_id}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if label in (entry / "environ").read_bytes().split(b"\0") and b"qemu-system" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
