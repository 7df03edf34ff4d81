"""Container machines: their way from power-on to systemd, as a server sees it, and what a killed run leaves of them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from kubeception_sim import gc
from kubeception_sim.artifacts import testbed
from kubeception_sim.errors import BadInput, HarnessError, MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.machines import BootImage, DirectBoot, FirmwareBoot, MachineSpec, MachineState
from kubeception_sim.machines.docker import DockerDriver, DockerMachine
from kubeception_sim.machines.docker_engine import engine
from kubeception_sim.machines.readiness import await_system
from kubeception_sim.network import Fabric
from kubeception_sim.run import require, run
from tests.cluster.test_namespace_machine import REPORTER, eventually
from tests.docker_host import docker_host
from tests.net.boot_server import SERVER, BootServer, serving

ADDRESS = IPv4Interface("10.77.0.51/24")
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        with docker_host(tmp_path_factory.mktemp("docker")) as host:
            yield host
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")


@pytest.fixture(scope="module")
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
        units = [{"name": "reporter.service", "enabled": True, "contents": REPORTER}]
        server.ignition = json.dumps({"ignition": {"version": "3.3.0"}, "systemd": {"units": units}}).encode()
        server.extra = f"ip={ADDRESS.ip}::{SERVER}:{ADDRESS.netmask}::eth0:none systemd.log_level=debug"
        yield server


@contextmanager
def plugged_in(lab: Lab, fabric: Fabric, image: BootImage, host: str) -> Iterator[DockerMachine]:
    """A machine that boots from the network."""
    driver = DockerDriver(lab, image, host=host)
    with driver.create(MachineSpec.derive("n1", "SN-1"), fabric.port("n1"), lab.subdirectory("n1")) as machine:
        yield machine


def inside(machine: DockerMachine, script: str) -> str:
    return machine.execute(("sh", "-c", script), timeout=30).stdout.strip()


def test_it_boots_from_the_network_and_again_after_a_reboot(
    lab: Lab, fabric: Fabric, image: BootImage, host: str, server: BootServer
) -> None:
    with plugged_in(lab, fabric, image, host) as machine:
        machine.start()
        server.wait_for("/boot_complete", seconds=60)
        await_system(machine, 30)
        assert server.requests == [
            "GET /boot.ipxe",
            f"GET /script?serial=SN-1&mac={machine.spec.mac}",
            "GET /kernel",
            "GET /initrd",
            "GET /ignition",
            "PUT /host/SN-1/stage/switch-root",
            "PUT /host/SN-1/boot_complete",
        ]
        assert "version=3." in server.headers["/ignition"]["Accept"], "it is Ignition itself that asks"
        assert machine.address == ADDRESS.ip
        assert f"testbed.report=http://{SERVER}/host/SN-1" in inside(machine, "cat /proc/cmdline")
        assert inside(machine, "tr '\\0' ' ' < /proc/1/cmdline").split()[1:] == ["systemd.log_level=debug"]
        first = inside(machine, "cat /proc/sys/kernel/random/boot_id")
        inside(machine, "touch /etc/old; systemctl reboot")
        server.wait_for("/boot_complete", seconds=60, times=2)
        await_system(machine, 30)
        assert inside(machine, "test -e /etc/old || echo diskless") == "diskless"
        assert inside(machine, "cat /proc/sys/kernel/random/boot_id") != first
        inside(machine, "systemctl poweroff")
        eventually(lambda: machine.state() is MachineState.OFF, machine.console_tail)


def test_a_root_that_is_not_its_images_is_told_to_the_server(
    lab: Lab, fabric: Fabric, image: BootImage, host: str, server: BootServer
) -> None:
    server.rootfs_sha256 = "1" * 64
    with plugged_in(lab, fabric, image, host) as machine:
        machine.start()
        server.wait_for("/host/SN-1/failed", seconds=60)
        assert b"has sha256 1111" in server.bodies["/host/SN-1/failed"]
        eventually(lambda: machine.state() is MachineState.OFF, machine.state)


def test_firmware_needs_an_image_of_the_driver(lab: Lab, fabric: Fabric, image: BootImage, host: str) -> None:
    assert DockerDriver(lab, host=host).boots == {DirectBoot}
    assert DockerDriver(lab, image, host=host).boots == {DirectBoot, FirmwareBoot}
    with pytest.raises(BadInput, match="no image to boot"):
        DockerDriver(lab, host=host).create(MachineSpec.derive("n1", "SN-1"), fabric.port("n1"), lab.directory)


def test_without_an_engine_nothing_is_made(lab: Lab, fabric: Fabric, image: BootImage) -> None:
    driver = DockerDriver(lab, image, host=f"unix://{lab.directory}/none.sock")
    with pytest.raises(HarnessError, match="does not answer"):
        driver.create(MachineSpec.derive("n1", "SN-1"), fabric.port("n1"), lab.subdirectory("n1"))


def test_what_it_sets_for_its_kernel_stays_inside(lab: Lab, fabric: Fabric, image: BootImage, host: str) -> None:
    watched = [Path("/proc/sys") / name for name in ("kernel/panic", "vm/overcommit_memory", "kernel/pid_max")]
    before = {path: path.read_text() for path in watched}
    config = lab.directory / "config.ign"
    config.write_text('{"ignition": {"version": "3.3.0"}}')
    spec = MachineSpec.derive("n1", "SN-1", memory_mib=256, address=ADDRESS, boot=DirectBoot(image, config))
    with DockerDriver(lab, host=host).create(spec, fabric.port("n1"), lab.subdirectory("n1")) as machine:
        machine.start()
        await_system(machine, 30)
        assert inside(machine, "echo 17 > /proc/sys/kernel/panic; cat /proc/sys/kernel/panic") == "17"
        assert inside(machine, "echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward") == "1"
        assert inside(machine, "echo 9 > /proc/sys/kernel/pid_max || echo refused") == "refused"
        assert inside(machine, "df -m --output=size /run/testbed | tail -n 1") == "231"
        assert inside(machine, "stat -f -c %T /run/testbed; mountpoint /etc/hosts || true").startswith("tmpfs")
        hog = machine.execute(("tail", "/dev/zero"), timeout=60, check=False)
        assert hog.code == 137, hog
        assert machine.state() is MachineState.RUNNING
    assert {path: path.read_text() for path in watched} == before


RUN = """
import sys
from ipaddress import IPv4Interface
from pathlib import Path
from kubeception_sim.lab import Lab
from kubeception_sim.machines import BootImage, DirectBoot, MachineSpec
from kubeception_sim.machines.docker import DockerDriver
from kubeception_sim.machines.readiness import await_system
from kubeception_sim.network import Fabric

root, rootfs, sha256, config = sys.argv[1:]
with Lab.create(Path(root)) as lab, Fabric.create(lab) as fabric:
    boot = DirectBoot(BootImage(Path(rootfs), Path(rootfs), Path(rootfs), sha256), config)
    spec = MachineSpec.derive("n1", "SN-1", address=IPv4Interface("10.77.0.51/24"), boot=boot)
    with DockerDriver(lab).create(spec, fabric.port("n1"), lab.subdirectory("n1")) as machine:
        machine.start()
        await_system(machine, 30)
        machine.pause()
        print(lab.id, flush=True)
        sys.stdin.read()
"""


def test_a_killed_run_leaves_a_paused_container_that_gc_removes(
    tmp_path: Path, image: BootImage, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    config = tmp_path / "config.ign"
    config.write_text('{"ignition": {"version": "3.3.0"}}')
    argv = [sys.executable, "-c", RUN, str(tmp_path / "labs"), str(image.rootfs), image.rootfs_sha256, str(config)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        lab_id = child.stdout.readline().strip()
        child.send_signal(signal.SIGKILL)
    assert lab_id
    found = [leftover for leftover in gc.find(tmp_path / "labs") if leftover.lab == lab_id]
    assert {gc.Kind.CONTAINER, gc.Kind.NAMESPACE, gc.Kind.DIRECTORY} <= {leftover.kind for leftover in found}
    assert {removal.problem for removal in gc.collect(found)} == {""}
    assert [leftover for leftover in gc.find(tmp_path / "labs") if leftover.lab == lab_id] == []
    listed = run(["docker", "ps", "--all", "--quiet"], timeout=10, env={"DOCKER_HOST": host})
    assert listed.stdout == ""
    with engine(host) as docker:
        docker.remove(f"kc-{lab_id}-n1")  # nothing happens
