"""Namespace machines: their way from power-on to systemd, as a server sees it, and what keeps them apart from the host."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from kubeception_sim import gc
from kubeception_sim.artifacts import testbed
from kubeception_sim.cgroups import hierarchies
from kubeception_sim.errors import BadInput, HarnessError, MissingTool
from kubeception_sim.lab import ENV_LAB, Lab
from kubeception_sim.machines import BootImage, DirectBoot, FirmwareBoot, MachineSpec, MachineState
from kubeception_sim.machines.namespace import NamespaceDriver, NamespaceMachine
from kubeception_sim.machines.readiness import await_system
from kubeception_sim.network import Fabric
from kubeception_sim.run import require, run
from tests.net.boot_server import SERVER, BootServer, serving

ADDRESS = IPv4Interface("10.77.0.51/24")
STATIC = f"ip={ADDRESS.ip}::{SERVER}:{ADDRESS.netmask}::eth0:none"
PROJECT = Path(__file__).parents[2]
REPORTER = """\
[Service]
Type=oneshot
RemainAfterExit=yes
StandardInput=null
ExecStart=/usr/libexec/testbed/report boot_complete
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="session")
def image() -> BootImage:
    try:
        built = testbed.ensure(testbed.default_cache(), lambda step, done: None)
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    return BootImage(built.kernel, built.initrd, built.rootfs, built.rootfs_sha256)


@pytest.fixture
def server(lab: Lab, fabric: Fabric, image: BootImage) -> Iterator[BootServer]:
    try:
        require("dnsmasq", "dnsmasq-base")
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    with serving(lab, fabric, b"", image.rootfs_sha256) as server:
        server.ignition = json.dumps(reporting()).encode()
        server.extra = STATIC
        yield server


def reporting() -> dict[str, Any]:
    units = [{"name": "reporter.service", "enabled": True, "contents": REPORTER}]
    hostname = {"path": "/etc/hostname", "overwrite": True, "contents": {"source": "data:,worker%0A"}}
    return {"ignition": {"version": "3.3.0"}, "systemd": {"units": units}, "storage": {"files": [hostname]}}


@contextmanager
def plugged_in(lab: Lab, fabric: Fabric, image: BootImage) -> Iterator[NamespaceMachine]:
    """A machine that boots from the network."""
    spec = MachineSpec.derive("n1", "SN-1")
    with NamespaceDriver(lab, image).create(spec, fabric.port("n1"), lab.subdirectory("n1")) as machine:
        yield machine


@contextmanager
def direct(lab: Lab, fabric: Fabric, image: BootImage, config: Path, memory_mib: int = 512) -> Iterator[NamespaceMachine]:
    """A machine with a given config."""
    boot = DirectBoot(image, config)
    gateway = IPv4Address(SERVER)
    spec = MachineSpec.derive("n1", "SN-1", memory_mib=memory_mib, address=ADDRESS, gateway=gateway, boot=boot)
    with NamespaceDriver(lab).create(spec, fabric.port("n1"), lab.subdirectory("n1")) as machine:
        yield machine


@pytest.fixture
def config(lab: Lab) -> Path:
    path = lab.directory / "config.ign"
    path.write_text(json.dumps({"ignition": {"version": "3.3.0"}}))
    return path


def eventually(condition: Callable[[], bool], what: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def inside(machine: NamespaceMachine, script: str) -> str:
    return machine.execute(("sh", "-c", script), timeout=30).stdout.strip()


def test_it_boots_from_the_network_as_firmware_and_initrd_do(
    lab: Lab, fabric: Fabric, image: BootImage, server: BootServer
) -> None:
    with plugged_in(lab, fabric, image) as machine:
        machine.start()
        server.wait_for("/boot_complete", seconds=60)
        await_system(machine, 30)
        assert server.requests == [
            "GET /boot.ipxe",
            f"GET /script?serial=SN-1&mac={machine.spec.mac}",
            "GET /kernel",
            "GET /initrd",
            # No root file system: the one it has is the one that is offered.
            "GET /ignition",
            "PUT /host/SN-1/stage/switch-root",
            "PUT /host/SN-1/boot_complete",
        ]
        assert "version=3." in server.headers["/ignition"]["Accept"], "it is Ignition itself that asks"
        assert machine.address == ADDRESS.ip
        assert inside(machine, "hostname; cat /proc/cmdline").splitlines()[0] == "worker"
        assert f"testbed.report=http://{SERVER}/host/SN-1" in inside(machine, "cat /proc/cmdline")


def test_without_a_static_address_it_keeps_its_lease(lab: Lab, fabric: Fabric, image: BootImage, server: BootServer) -> None:
    server.extra = ""
    with plugged_in(lab, fabric, image) as machine:
        machine.start()
        server.wait_for("/boot_complete", seconds=60)
        await_system(machine, 30)
        assert machine.address in ADDRESS.network
        assert inside(machine, "ip -4 -o address show dev eth0 | wc -l") == "1"


def test_another_root_file_system_is_fetched_and_checked(lab: Lab, fabric: Fabric, image: BootImage, server: BootServer) -> None:
    server.rootfs = image.rootfs.read_bytes()
    other = BootImage(image.kernel, image.initrd, image.rootfs, "0" * 64)
    with plugged_in(lab, fabric, other) as machine:
        for boot in (1, 2):
            machine.start()
            server.wait_for("/boot_complete", seconds=60, times=boot)
            machine.kill()
        assert server.requests.count("GET /rootfs") == 1


def test_a_root_file_system_with_another_checksum_is_not_booted(
    lab: Lab, fabric: Fabric, image: BootImage, server: BootServer
) -> None:
    server.rootfs, server.rootfs_sha256 = b"something else", "1" * 64
    with plugged_in(lab, fabric, image) as machine:
        machine.start()
        server.wait_for("/host/SN-1/failed", seconds=60)
        eventually(lambda: machine.state() is MachineState.OFF, machine.state)
        assert b"not 1111" in server.bodies["/host/SN-1/failed"]


def test_a_config_that_ignition_refuses_is_told_on_the_console_and_to_the_server(
    lab: Lab, fabric: Fabric, image: BootImage, server: BootServer
) -> None:
    server.ignition = b'{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "relative"}]}}'
    with plugged_in(lab, fabric, image) as machine:
        machine.start()
        server.wait_for("/host/SN-1/failed", seconds=60)
        eventually(lambda: machine.state() is MachineState.OFF, machine.state)
        report = server.bodies["/host/SN-1/failed"].decode()
        assert report.startswith("boot failed on n1, ")
        assert "path not absolute" in report
        assert "path not absolute" in machine.console.read_text()
        assert "PUT /host/SN-1/stage/switch-root" not in server.requests


def test_a_server_that_is_busy_is_asked_again(lab: Lab, fabric: Fabric, image: BootImage, server: BootServer) -> None:
    server.busy = 2
    with plugged_in(lab, fabric, image) as machine:
        machine.start()
        server.wait_for("/boot_complete", seconds=60)
        assert server.busy == 0


def test_a_reboot_goes_back_to_the_firmware(lab: Lab, fabric: Fabric, image: BootImage, server: BootServer) -> None:
    with plugged_in(lab, fabric, image) as machine:
        machine.start()
        server.wait_for("/boot_complete", seconds=60)
        await_system(machine, 30)
        inside(machine, "touch /etc/old; systemctl reboot")
        server.wait_for("/boot_complete", seconds=60, times=2)
        await_system(machine, 30)
        assert machine.state() is MachineState.RUNNING
        assert inside(machine, "test -e /etc/old || echo diskless") == "diskless"
        assert server.requests.count("GET /kernel") == 2


def test_a_machine_that_powers_itself_off_is_off(lab: Lab, fabric: Fabric, image: BootImage, config: Path) -> None:
    with direct(lab, fabric, image, config) as machine:
        machine.start()
        await_system(machine, 30)
        inside(machine, "systemctl poweroff")
        eventually(lambda: machine.state() is MachineState.OFF, machine.console_tail)
        machine.start()
        await_system(machine, 30)


def test_firmware_needs_an_image_of_the_driver(lab: Lab, fabric: Fabric, image: BootImage) -> None:
    assert NamespaceDriver(lab).boots == {DirectBoot}
    assert NamespaceDriver(lab, image).boots == {DirectBoot, FirmwareBoot}
    with pytest.raises(BadInput, match="no image to boot"):
        NamespaceDriver(lab).create(MachineSpec.derive("n1", "SN-1"), fabric.port("n1"), lab.directory)


def test_nothing_runs_in_a_machine_that_has_no_system_yet(lab: Lab, fabric: Fabric, image: BootImage) -> None:
    """Nobody answers its firmware."""
    with plugged_in(lab, fabric, image) as machine:
        machine.start()
        with pytest.raises(HarnessError, match="its system has not started"):
            machine.execute(("true",), timeout=5)
        machine.stop(grace=0.1)
        assert machine.state() is MachineState.OFF


def test_memory_and_processors_are_limited(lab: Lab, fabric: Fabric, image: BootImage, config: Path) -> None:
    with direct(lab, fabric, image, config, memory_mib=256) as machine:
        machine.start()
        await_system(machine, 30)
        limits = {
            "memory.limit_in_bytes": str(256 << 20),
            "memory.max": str(256 << 20),
            "cpu.cfs_quota_us": "100000",
            "cpu.max": "100000 100000",
        }
        places = [tree.mount / machine.network / name for tree in hierarchies() for name in limits]
        found = {place.name: place.read_text().strip() for place in places if place.exists()}
        assert len(found) == 2
        assert found.items() <= limits.items()
        # What is run in it counts as well, and only that is killed.
        hog = machine.execute(("tail", "/dev/zero"), timeout=60, check=False)
        assert hog.code in (137, -9), hog
        assert machine.state() is MachineState.RUNNING
        assert inside(machine, "df -m --output=size /run/testbed | tail -n 1") == "231"


def test_what_it_sets_for_its_kernel_stays_inside(lab: Lab, fabric: Fabric, image: BootImage, config: Path) -> None:
    watched = [Path("/proc/sys") / name for name in ("kernel/panic", "vm/overcommit_memory", "kernel/pid_max", "fs/file-max")]
    before = {path: path.read_text() for path in watched}
    with direct(lab, fabric, image, config) as machine:
        machine.start()
        await_system(machine, 30)
        assert inside(machine, "echo 17 > /proc/sys/kernel/panic; cat /proc/sys/kernel/panic") == "17"
        assert inside(machine, "echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward") == "1"
        assert inside(machine, "echo 9 > /proc/sys/kernel/pid_max || echo refused") == "refused"
        assert (
            inside(machine, "cat /proc/sys/kernel/random/boot_id") != Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        )
        assert machine.spec.mac in inside(machine, "cat /sys/class/net/eth0/address")
        assert "1" in inside(machine, "ps -p 1 -o pid,comm | tail -n 1")
        assert set(inside(machine, "ls /dev").split()) <= {
            *("console", "fd", "full", "fuse", "kmsg", "kvm", "log", "net", "null", "ptmx", "pts", "random", "shm"),
            *("stderr", "stdin", "stdout", "tty", "urandom", "zero"),
        }
    assert {path: path.read_text() for path in watched} == before


def test_it_runs_on_a_unified_hierarchy_alone(lab: Lab, fabric: Fabric, image: BootImage, config: Path) -> None:
    """As on hosts that have cgroup v2 only."""
    unified = tuple(tree for tree in hierarchies() if tree.version == 2)
    if not unified:
        pytest.skip("looked for a cgroup2 mount in /proc/self/mountinfo: there is none")
    spec = MachineSpec.derive("n1", "SN-1", address=ADDRESS, boot=DirectBoot(image, config))
    driver = NamespaceDriver(lab, trees=unified)
    with driver.create(spec, fabric.port("n1"), lab.subdirectory("n1")) as machine:
        machine.start()
        await_system(machine, 30)
        assert inside(machine, "stat -f -c %T /sys/fs/cgroup; cat /proc/self/cgroup | grep ^0:") == "cgroup2fs\n0::/init.scope"
        machine.pause()
        assert "frozen 1" in (unified[0].mount / machine.network / "cgroup.events").read_text()
        machine.resume()
        inside(machine, "true")
        machine.pause()
    assert not (unified[0].mount / machine.network).exists()


def test_its_memory_holds_what_must_not_lie_on_an_overlay(lab: Lab, fabric: Fabric, image: BootImage, config: Path) -> None:
    with direct(lab, fabric, image, config) as machine:
        machine.start()
        await_system(machine, 30)
        assert inside(machine, "stat -f -c %T /run/testbed; stat -f -c %T /") == "tmpfs\noverlayfs"


RUN = """
import sys, time
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from kubeception_sim.lab import Lab
from kubeception_sim.machines import BootImage, DirectBoot, MachineSpec
from kubeception_sim.machines.namespace import NamespaceDriver
from kubeception_sim.machines.readiness import await_system
from kubeception_sim.network import Fabric

root, rootfs, config = map(Path, sys.argv[1:])
with Lab.create(root) as lab, Fabric.create(lab) as fabric:
    boot = DirectBoot(BootImage(rootfs, rootfs, rootfs, "0" * 64), config)
    spec = MachineSpec.derive("n1", "SN-1", address=IPv4Interface("10.77.0.51/24"), boot=boot)
    with NamespaceDriver(lab).create(spec, fabric.port("n1"), lab.subdirectory("n1")) as machine:
        machine.start()
        await_system(machine, 30)
        machine.pause()
        print(lab.id, flush=True)
        sys.stdin.read()
"""


def test_a_killed_run_leaves_a_frozen_machine_that_gc_removes(tmp_path: Path, image: BootImage) -> None:
    rootfs, config = tmp_path / "rootfs.squashfs", tmp_path / "config.ign"
    shutil.copyfile(image.rootfs, rootfs)
    config.write_text('{"ignition": {"version": "3.3.0"}}')
    argv = [sys.executable, "-c", RUN, str(tmp_path / "labs"), str(rootfs), str(config)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        lab_id = child.stdout.readline().strip()
        child.send_signal(signal.SIGKILL)
    assert lab_id
    found = [leftover for leftover in gc.find(tmp_path / "labs") if leftover.lab == lab_id]
    assert {gc.Kind.CGROUP, gc.Kind.NAMESPACE, gc.Kind.DIRECTORY} <= {leftover.kind for leftover in found}
    assert {removal.problem for removal in gc.collect(found)} == {""}
    label = f"{ENV_LAB}={lab_id}".encode()
    assert [leftover for leftover in gc.find(tmp_path / "labs") if leftover.lab == lab_id] == []
    assert not [path for tree in hierarchies() for path in tree.mount.glob(f"kc-{lab_id}-*")]
    assert not [entry for entry in Path("/proc").glob("[0-9]*") if label in _environment(entry)]
    listed = ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"]
    eventually(lambda: str(rootfs) not in run(listed, timeout=10).stdout, lambda: run(listed, timeout=10).stdout)


def _environment(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
