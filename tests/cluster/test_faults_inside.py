"""Faults of real machines: of units in them, and of cables that are made anew with each boot."""

import json
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from kubeception_sim.artifacts import testbed
from kubeception_sim.errors import CommandFailed, MissingTool
from kubeception_sim.faults import Cut, Kill, KillUnit, Pause, PauseUnit, Rate, wire_of
from kubeception_sim.lab import Lab
from kubeception_sim.machines import BootImage, DirectBoot, MachineSpec, MachineState
from kubeception_sim.machines.namespace import NamespaceDriver, NamespaceMachine
from kubeception_sim.machines.readiness import await_system
from kubeception_sim.model.faults import Rate as Bits
from kubeception_sim.network import Fabric
from kubeception_sim.run import run
from tests.labs import until

UNIT = "sleeper.service"
SLEEPER = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
CONFIG = {
    "ignition": {"version": "3.3.0"},
    "systemd": {"units": [{"name": UNIT, "enabled": True, "contents": SLEEPER}]},
}


@pytest.fixture
def machine(lab: Lab, fabric: Fabric) -> Iterator[NamespaceMachine]:
    """One that has booted, with a unit that sleeps."""
    try:
        built = testbed.ensure(testbed.default_cache(), lambda step, done: None)
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    image = BootImage(built.kernel, built.initrd, built.rootfs, built.rootfs_sha256)
    config: Path = lab.directory / "config.ign"
    config.write_text(json.dumps(CONFIG))
    spec = MachineSpec.derive("n1", "SN-1", address=IPv4Interface("10.77.0.51/24"), boot=DirectBoot(image, config))
    with NamespaceDriver(lab).create(spec, fabric.port("n1"), lab.subdirectory("n1")) as machine:
        machine.start()
        await_system(machine, 60)
        yield machine


def told(machine: NamespaceMachine, *words: str) -> str:
    return machine.execute(("systemctl", *words, UNIT), timeout=30, check=False).stdout.strip()


def process_state(machine: NamespaceMachine) -> str:
    """The letter of ps(1): R runs, S sleeps, T stands still."""
    pid = told(machine, "show", "--property=MainPID", "--value")
    return machine.execute(("ps", "-o", "state=", "-p", pid), timeout=30).stdout.strip()


def answered(fabric: Fabric, machine: NamespaceMachine) -> bool:
    argv = ["ping", "-c", "3", "-i", "0.05", "-W", "0.5", str(machine.address)]
    return run(argv, namespace=fabric.namespace, timeout=20, check=False).code == 0


def queues(fabric: Fabric) -> str:
    return run(["tc", "qdisc", "show"], namespace=fabric.namespace, timeout=10).stdout


def test_a_paused_unit_stands_still_and_goes_on(machine: NamespaceMachine) -> None:
    with PauseUnit([machine], UNIT):
        assert process_state(machine) == "T"
    assert process_state(machine) in ("R", "S")


def test_a_killed_unit_is_started_again_in_the_end(machine: NamespaceMachine) -> None:
    with KillUnit([machine], UNIT):
        assert told(machine, "is-active") in ("failed", "inactive")
    assert told(machine, "is-active") == "active"


def test_a_unit_that_is_not_there_is_told(machine: NamespaceMachine) -> None:
    fault = KillUnit([machine], "nobody.service")
    with pytest.raises(CommandFailed, match=r"nobody\.service"):
        fault.begin()
    assert not fault.active


def test_faults_of_units_end_with_their_machine(machine: NamespaceMachine) -> None:
    faults = (PauseUnit([machine], UNIT), KillUnit([machine], UNIT))
    for fault in faults:
        fault.begin()
    machine.kill()
    for fault in reversed(faults):
        fault.end()
    assert machine.state() is MachineState.OFF


def test_the_cable_of_a_real_machine_and_its_pause(fabric: Fabric, machine: NamespaceMachine) -> None:
    assert answered(fabric, machine)
    with Cut([machine]):
        assert not answered(fabric, machine)
    # A kernel speaks of carriers once a second at most (net/core/link_watch.c).
    until(lambda: answered(fabric, machine), lambda: f"no answer; {machine.state()}", 10)
    with Pause([machine]):
        assert machine.state() is MachineState.PAUSED
    assert process_state(machine) in ("R", "S")


def test_the_cable_of_the_next_boot_is_as_slow_as_before_if_the_fault_is_renewed(
    fabric: Fabric, machine: NamespaceMachine
) -> None:
    before = queues(fabric)
    with Rate([wire_of(machine, fabric.namespace)], Bits.parse("10Mbit")) as rate:
        slow = queues(fabric).count("tbf")
        with Kill([machine]):
            assert machine.link not in queues(fabric)
        rate.renew(machine.link)
        assert queues(fabric).count("tbf") == slow == 2
        await_system(machine, 60)
        assert answered(fabric, machine)
    assert queues(fabric) == before
