"""Faults of whole machines, on fake ones that answer pings."""

import hashlib
import re
import time
from collections.abc import Callable, Iterator

import pytest

from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.faults import Cut, Kill, Pause, wire_of
from kubeception_sim.lab import Lab
from kubeception_sim.machines import MachineSpec, MachineState
from kubeception_sim.machines.fake import FakeDriver, FakeMachine
from kubeception_sim.network import Fabric
from kubeception_sim.run import require, run
from tests.net.boot_server import ROOTFS, BootServer, serving


@pytest.fixture
def server(lab: Lab, fabric: Fabric) -> Iterator[BootServer]:
    try:
        require("dnsmasq", "dnsmasq-base")
        require("ping", "iputils-ping")
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    with serving(lab, fabric, ROOTFS, hashlib.sha256(ROOTFS).hexdigest()) as server:
        yield server


@pytest.fixture
def machine(lab: Lab, fabric: Fabric, server: BootServer) -> Iterator[FakeMachine]:
    """One that has booted and answers."""
    spec = MachineSpec.derive("n1", "SN-1")
    with FakeDriver(lab.env).create(spec, fabric.port("n1"), lab.subdirectory("n1")) as machine:
        machine.start()
        server.wait_for("/boot_complete")
        eventually(lambda: answered(fabric, machine) == 10)
        yield machine


def answered(fabric: Fabric, machine: FakeMachine) -> int:
    """How many of ten pings, to the address that it got last."""
    address = re.findall(r"firmware: ([\d.]+)/24", machine.console.read_text())[-1]
    argv = ["ping", "-q", "-n", "-i", "0.01", "-W", "0.3", "-c", "10", address]
    found = re.search(
        r"10 packets transmitted, (\d+) received", run(argv, namespace=fabric.namespace, timeout=20, check=False).stdout
    )
    assert found
    return int(found[1])


def eventually(what: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_port_of_a_machine_has_its_name(fabric: Fabric, machine: FakeMachine) -> None:
    wire = wire_of(machine, fabric.namespace)
    assert "alias n1" in run(["ip", "link", "show", "dev", wire.link], namespace=fabric.namespace, timeout=10).stdout
    assert wire.mark == int(machine.spec.mac.replace(":", "")[4:], 16)


def test_nothing_passes_a_cable_that_is_out(fabric: Fabric, machine: FakeMachine) -> None:
    with Cut([machine]) as cut:
        assert answered(fabric, machine) == 0
    cut.end()
    eventually(lambda: answered(fabric, machine) == 10)


def test_a_paused_machine_is_silent_and_goes_on(fabric: Fabric, machine: FakeMachine) -> None:
    with Pause([machine]):
        assert machine.state() is MachineState.PAUSED
        assert answered(fabric, machine) == 0
    assert machine.state() is MachineState.RUNNING
    eventually(lambda: answered(fabric, machine) == 10)


def test_a_killed_machine_boots_again(fabric: Fabric, machine: FakeMachine, server: BootServer) -> None:
    server.requests.clear()
    with Kill([machine]):
        assert machine.state() is MachineState.OFF
        assert answered(fabric, machine) == 0
    server.wait_for("/boot_complete")
    eventually(lambda: answered(fabric, machine) == 10)


def test_faults_end_although_the_machine_has_died_meanwhile(machine: FakeMachine) -> None:
    faults = (Cut([machine]), Pause([machine]))
    for fault in faults:
        fault.begin()
    machine.kill()
    for fault in reversed(faults):
        fault.end()
    assert machine.state() is MachineState.OFF


def test_a_killed_machine_that_somebody_has_started_is_left_alone(machine: FakeMachine) -> None:
    with Kill([machine]):
        machine.start()
        pid = machine.state()
    assert machine.state() is pid


def test_what_cannot_be_paused_is_no_fault(machine: FakeMachine) -> None:
    machine.kill()
    fault = Pause([machine])
    with pytest.raises(HarnessError, match="n1 has no power"):
        fault.begin()
    assert not fault.active
