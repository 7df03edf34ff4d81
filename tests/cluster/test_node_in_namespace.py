"""The node image in namespace machines: the same root and the same config as under QEMU (tests/vm/test_node_image.py)."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv4Interface

import pytest

from kubeception_sim.artifacts import node
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.errors import MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.machines import BootImage, DirectBoot, MachineSpec
from kubeception_sim.machines.namespace import NamespaceDriver, NamespaceMachine
from kubeception_sim.machines.readiness import await_system
from kubeception_sim.network import Fabric
from tests.standalone_node import IMAGES, files, units

log = logging.getLogger(__name__)
GATEWAY = IPv4Address("10.77.0.1")
POD_SECONDS = 60.0
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def image() -> BootImage:
    try:
        built = node.ensure(default_cache(), lambda step, done: None)
    except MissingTool as missing:
        pytest.skip(f"tried to build the node image; {missing.message} ({missing.hint})")
    return BootImage(built.kernel, built.initrd, built.rootfs, built.rootfs_sha256)


@contextmanager
def booted(lab: Lab, fabric: Fabric, image: BootImage, count: int) -> Iterator[list[NamespaceMachine]]:
    """Machines that were started at once and are up."""
    config = lab.directory / "config.ign"
    config.write_text(
        json.dumps({"ignition": {"version": "3.3.0"}, "storage": {"files": files()}, "systemd": {"units": units()}})
    )
    with ExitStack() as stack:
        machines = []
        for number in range(count):
            name, address = f"n{number}", IPv4Interface(f"10.77.0.{51 + number}/24")
            boot = DirectBoot(image, config)
            spec = MachineSpec.derive(name, f"SN-{number}", memory_mib=1024, address=address, gateway=GATEWAY, boot=boot)
            machine = NamespaceDriver(lab).create(spec, fabric.port(name), lab.subdirectory(name))
            machines.append(stack.enter_context(machine))
        for machine in machines:
            machine.start()
        for machine in machines:
            await_system(machine, 60)
        yield machines


def inside(machine: NamespaceMachine, script: str) -> str:
    return machine.execute(("sh", "-c", script), timeout=30).stdout.strip()


def test_three_at_once_start_pods_of_images_that_nobody_imported(lab: Lab, fabric: Fabric, image: BootImage) -> None:
    started = time.monotonic()
    with booted(lab, fabric, image, 3) as machines:
        log.info("%.1f s until all are up", time.monotonic() - started)
        for machine in machines:
            deadline = time.monotonic() + POD_SECONDS
            while len(tasks := inside(machine, "ctr -n k8s.io tasks ls -q").split()) < 2:
                assert time.monotonic() < deadline, f"tasks: {tasks}\n" + inside(machine, "journalctl -u kubelet -n 40")
            log.info("%.1f s until the pod of %s runs", time.monotonic() - started, machine.spec.name)
            assert set(inside(machine, "ctr -n k8s.io images ls -q").splitlines()) >= IMAGES
            assert inside(machine, "systemctl --failed --plain --no-legend") == ""
            assert inside(machine, "systemctl is-active bird; systemctl is-enabled bird").split() == ["active", "enabled"]
            assert "KUBE-MARK-MASQ" in inside(machine, "iptables-save")


def test_images_stay_in_the_squashfs(lab: Lab, fabric: Fabric, image: BootImage) -> None:
    with booted(lab, fabric, image, 1) as (machine,):
        assert inside(machine, "stat -fc %T /var/lib/containerd") == "tmpfs"
        assert int(inside(machine, "du -sk /run/testbed/containerd").split()[0]) < 4096
        snapshots = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
        assert "/run/testbed/lower/usr/share/kubeception/containerd/snapshots/1" in inside(machine, f"readlink {snapshots}/*")


def test_containerd_started_again_keeps_its_containers(lab: Lab, fabric: Fabric, image: BootImage) -> None:
    with booted(lab, fabric, image, 1) as (machine,):
        deadline = time.monotonic() + POD_SECONDS
        while len(before := inside(machine, "ctr -n k8s.io containers ls -q").split()) < 2:
            assert time.monotonic() < deadline, before
        inside(machine, "systemctl restart kubeception-images containerd")
        assert set(inside(machine, "ctr -n k8s.io containers ls -q").split()) >= set(before)
        await_system(machine, 60)
