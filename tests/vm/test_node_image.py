"""The node image under QEMU: containerd has its images without importing them, and kubelet starts a pod from them.

What a namespace machine makes of the same root is in tests/cluster/test_node_in_namespace.py, by the same config.
"""

import logging
import os
import time
from pathlib import Path

import pytest

from kubeception_sim.artifacts import node
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.errors import MissingTool
from kubeception_sim.run import require, run
from tests.standalone_node import IMAGES, files, units
from tests.vm.test_testbed_image import STATIC, Site, booted, config_of, serving, ssh_until_up

log = logging.getLogger(__name__)
POD_SECONDS = 240.0
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def image() -> node.Image:
    if os.geteuid() != 0:
        pytest.skip("tried to build the node image; that needs root")
    try:
        require("qemu-system-x86_64", "qemu-system-x86")
        require("ssh", "openssh-client")
        return node.ensure(default_cache(), lambda step, done: None)
    except MissingTool as missing:
        pytest.skip(f"tried to build and boot the node image; {missing.message} ({missing.hint})")


def test_kubelet_starts_a_pod_of_images_that_nobody_imported(image: node.Image, tmp_path: Path) -> None:
    key = tmp_path / "id"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], timeout=30)
    # A loopback address of this process alone: no other test can hold its port.
    address = f"127.78.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    with serving(Site(image, None)) as site:
        config = config_of(site.url, key.with_suffix(".pub").read_text().strip())
        config["storage"]["files"] += files()
        config["systemd"]["units"] += units()
        site.config = config
        started = time.monotonic()
        with booted(site, tmp_path, ip=STATIC, ssh=address, memory_mib=1536) as machine:
            ready = site.wait_for_put("/host/S1/boot_complete", machine)

            def inside(script: str) -> str:
                return ssh_until_up(f"sudo sh -c '{script}'", address=address, key=key, seconds=60).strip()

            assert inside("systemctl is-system-running --wait; systemctl --failed --plain --no-legend") == "running"
            assert set(inside("ctr -n k8s.io images ls -q").splitlines()) >= IMAGES
            deadline = time.monotonic() + POD_SECONDS
            while len(tasks := inside("ctr -n k8s.io tasks ls -q").split()) < 2:
                assert time.monotonic() < deadline, f"tasks: {tasks}\n" + inside("journalctl -u kubelet -u containerd -n 40")
            log.info("%.1f s to boot_complete, %.1f s to the pod", ready.at - started, time.monotonic() - started)
            kinds = inside("stat -fc %T /var/lib/containerd; systemctl is-active bird; systemctl is-enabled bird").split()
            assert kinds == ["tmpfs", "active", "enabled"]
            # The rules of kubelet, and of portmap and kube-proxy after it, find their modules.
            assert "KUBE-MARK-MASQ" in inside("iptables-save")
            assert "xt_comment" in inside("lsmod")
