"""A machine of an inner cluster in a pod, on a node in a namespace machine: no privilege, and the console is the pod's log.

A kubelet without an API server starts the pod from its manifests folder. It has what pods of inner clusters have
(inner/wanted_pod.py) but for a network of machines: its tap is made here, and nobody is at the other end.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kubeception_sim.agents.vm.image import NAMES
from kubeception_sim.artifacts import images, node, testbed
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.errors import MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.machines import BootImage, DirectBoot, MachineSpec
from kubeception_sim.machines.namespace import NamespaceDriver, NamespaceMachine
from kubeception_sim.machines.readiness import await_system
from kubeception_sim.network import Fabric
from kubeception_sim.run import run, spawn
from tests.standalone_node import files, units

log = logging.getLogger(__name__)

USER = 64055
NAME, ADDRESS, GATEWAY = "n0", IPv4Interface("10.77.0.51/24"), IPv4Address("10.77.0.1")
PODS = "10.60.1.0/24"
PORT = 4081
BOOT_SECONDS, END_SECONDS = 240.0, 100.0
MANIFEST = "/etc/kubernetes/manifests/vm.json"
IMAGES, DISKS = "/var/lib/kubeception/images", "/var/lib/kubeception/clusters/blue/master-0"
KUBELET = "https://127.0.0.1:10250"
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def image() -> BootImage:
    try:
        built = node.ensure(default_cache(), lambda step, done: None, clusters=True)
    except MissingTool as missing:
        pytest.skip(f"tried to build the node image; {missing.message} ({missing.hint})")
    return BootImage(built.kernel, built.initrd, built.rootfs, built.rootfs_sha256)


@pytest.fixture(scope="module")
def guest() -> testbed.Image:
    return testbed.ensure(default_cache(), lambda step, done: None)


@contextmanager
def serving(lab: Lab, fabric: Fabric, guest: testbed.Image) -> Iterator[list[str]]:
    """The guest's files at the fabric, under the names that mayu gives them; their SHA-256 in the order of these."""
    folder = lab.subdirectory("images")
    sums = []
    for name, file in zip(NAMES, (guest.kernel, guest.initrd, guest.rootfs), strict=True):
        (folder / name).symlink_to(file)
        sums.append(run(["sha256sum", file], timeout=60).stdout.split()[0])
    # The address of the node's gateway is the fabric's own, and its pods are behind the node.
    run(["ip", "-n", fabric.namespace, "route", "add", PODS, "via", str(ADDRESS.ip)], timeout=10)
    argv: list[str | Path] = ["python3", "-m", "http.server", "--directory", folder, str(PORT)]
    with spawn(argv, log=lab.directory / "images.log", env=lab.env, namespace=fabric.namespace):
        yield sums


def ignition() -> dict[str, Any]:
    """The guest's config: it listens at its power port, and says that it runs once its disk is mounted."""
    power = "kubeception-power.service"
    text = """
        [Unit]
        After=network.target
        [Service]
        Type=oneshot
        ExecStart=/bin/mount /dev/disk/by-id/virtio-etcd /mnt
        ExecStart=/bin/sh -c 'until echo running > /dev/virtio-ports/io.kubeception.stage; do sleep 0.2; done'
        [Install]
        WantedBy=multi-user.target
    """
    stage = "\n".join(map(str.strip, text.splitlines()))
    modules = {"path": "/etc/modules-load.d/ports.conf", "contents": {"source": "data:,virtio_console%0A"}}
    return {
        "ignition": {"version": "3.3.0"},
        "storage": {"files": [modules]},
        "systemd": {
            "units": [
                {"name": "stage.service", "enabled": True, "contents": stage},
                {"name": power, "enabled": True, "contents": (node.HERE / "root/etc/systemd/system" / power).read_text()},
            ]
        },
    }


def container(name: str, command: list[str], user: int, added: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    capabilities = {"drop": ["ALL"], "add": list(added)}
    security = {"runAsUser": user, "runAsGroup": user, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
    return {
        "name": name,
        "image": images.VM,
        "imagePullPolicy": "Never",
        "command": command,
        "securityContext": {**security, "capabilities": capabilities},
        **more,
    }


def pod(sums: list[str]) -> dict[str, Any]:
    def mount(name: str, path: str) -> dict[str, Any]:
        return {"name": name, "mountPath": path}

    def path(name: str, where: str, kind: str) -> dict[str, Any]:
        return {"name": name, "hostPath": {"path": where, "type": kind}}

    agent = ["python3", "-m", "kubeception_sim.agents.vm"]
    fetch = [*agent[:2], "kubeception_sim.agents.vm.image", f"http://{GATEWAY}:{PORT}", *sums]
    tap = f"ip tuntap add tap0 mode tap user {USER} && ip link set tap0 up mtu 1400"
    environment = {
        "KUBECEPTION_CLUSTER": "blue",
        "KUBECEPTION_VM": "master-0",
        "KUBECEPTION_VNI": "100",
        "KUBECEPTION_INDEX": "1",
        "KUBECEPTION_SUBNET": "172.23.0.0/24",
        "KUBECEPTION_CPUS": "1",
        "KUBECEPTION_MEMORY": "640",
        "KUBECEPTION_ACCEL": "tcg",
        "KUBECEPTION_ETCD_DISK": f"{DISKS}/etcd.img",
        "KUBECEPTION_ETCD_DISK_SIZE": "128",
    }
    for variable, name, digest in zip(("KERNEL", "INITRD", "ROOTFS"), NAMES.values(), sums, strict=True):
        environment[f"KUBECEPTION_{variable}"] = f"{IMAGES}/{digest}/{name}"
    install = ["install", "-d", "-o", str(USER), "-g", str(USER), "-m", "0700", DISKS]
    machine = [mount("config", "/run/config"), mount("images", IMAGES), mount("tun", "/dev/net/tun"), mount("disk", DISKS)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "vm", "namespace": "default"},
        "spec": {
            "terminationGracePeriodSeconds": 120,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "initContainers": [
                container("image", fetch, 0, volumeMounts=[mount("images", IMAGES)]),
                container("disk", install, 0, ("CHOWN", "FOWNER"), volumeMounts=[mount("disk", DISKS)]),
                container("network", ["sh", "-c", tap], 0, ("NET_ADMIN",), volumeMounts=[mount("tun", "/dev/net/tun")]),
            ],
            "containers": [
                container(
                    "vm",
                    agent,
                    USER,
                    volumeMounts=machine,
                    env=[{"name": name, "value": value} for name, value in environment.items()],
                    readinessProbe={"httpGet": {"path": "/readyz", "port": 9080}, "periodSeconds": 1},
                )
            ],
            "volumes": [
                path("config", "/etc/vm", "Directory"),
                path("images", IMAGES, "DirectoryOrCreate"),
                path("disk", DISKS, "DirectoryOrCreate"),
                path("tun", "/dev/net/tun", "CharDevice"),
            ],
        },
    }


def file(name: str, text: str, **more: Any) -> dict[str, Any]:
    return {"path": name, "contents": {"source": f"data:,{quote(text)}"}, **more}


@contextmanager
def booted(lab: Lab, fabric: Fabric, image: BootImage, sums: list[str]) -> Iterator[NamespaceMachine]:
    config = lab.directory / "config.ign"
    owner = {"id": USER}
    ours = [
        file(MANIFEST, json.dumps(pod(sums))),
        file("/etc/vm/config.ign", json.dumps(ignition()), mode=0o400, user=owner, group=owner),
    ]
    storage = {"files": [*files(), *ours]}
    config.write_text(json.dumps({"ignition": {"version": "3.3.0"}, "storage": storage, "systemd": {"units": units()}}))
    boot = DirectBoot(image, config)
    spec = MachineSpec.derive(NAME, "SN-0", memory_mib=4096, address=ADDRESS, gateway=GATEWAY, boot=boot)
    with NamespaceDriver(lab).create(spec, fabric.port(NAME), lab.subdirectory(NAME)) as machine:
        machine.start()
        await_system(machine, 60)
        yield machine


def inside(machine: NamespaceMachine, script: str) -> str:
    return machine.execute(("sh", "-c", script), timeout=30).stdout.strip()


def status(machine: NamespaceMachine) -> dict[str, Any]:
    """The pod's, by the kubelet; empty as long as it has none."""
    answer = inside(machine, f"curl --silent --insecure --max-time 20 {KUBELET}/pods || true")
    found = json.loads(answer or "{}").get("items") or []
    (ours,) = [each["status"] for each in found if each["metadata"]["name"].startswith("vm-")] or [{}]
    assert isinstance(ours, dict)
    return ours


def said(machine: NamespaceMachine, name: str) -> str:
    """What `kubectl logs` shows of a container."""
    return inside(machine, f"curl --silent --insecure {KUBELET}/containerLogs/default/vm-{NAME}/{name}")


def report(machine: NamespaceMachine) -> str:
    """All that may tell why the pod is not as it should be."""
    found = status(machine)
    listed = [each for key in ("initContainerStatuses", "containerStatuses") for each in found.get(key, ())]
    states = [(each["name"], each.get("state")) for each in listed]
    return "\n".join((str(states), *(said(machine, name)[-3000:] for name in ("image", "disk", "network", "vm"))))


def is_ready(found: dict[str, Any]) -> bool:
    return any(each["name"] == "vm" and each["ready"] for each in found.get("containerStatuses", ()))


def test_a_machine_boots_in_a_pod_that_has_no_privilege(lab: Lab, fabric: Fabric, image: BootImage, guest: testbed.Image) -> None:
    began = time.monotonic()
    with serving(lab, fabric, guest) as sums, booted(lab, fabric, image, sums) as machine:
        while not is_ready(found := status(machine)):
            assert time.monotonic() - began < BOOT_SECONDS, report(machine)
            time.sleep(0.5)
        address = found["podIP"]
        stages = json.loads(inside(machine, f"curl --silent http://{address}:9080/stages"))
        log.info("%.1f s to ready; stages %s", time.monotonic() - began, {name: at - began for name, at in stages.items()})
        assert stages["qemu"] < stages["running"]
        assert [each["restartCount"] for each in found["containerStatuses"]] == [0]
        assert "Started" in said(machine, "vm")
        qemu = inside(machine, "pgrep --full ^qemu-system").split()[0]
        rights = inside(machine, f"cat /proc/{qemu}/status")
        assert {line.split()[1] for line in rights.splitlines() if line.startswith("Uid:")} == {str(USER)}
        assert {line.split()[1] for line in rights.splitlines() if line.startswith(("CapEff", "CapPrm", "CapBnd"))} == {"0" * 16}
        # The tap has a carrier because QEMU holds it, without any right over the network.
        assert "LOWER_UP" in inside(machine, f"nsenter --net=/proc/{qemu}/ns/net ip -oneline link show tap0")
        asked = time.monotonic()
        inside(machine, f"rm {MANIFEST}")
        while "qemu-system" in inside(machine, "pgrep --full --list-full ^qemu-system || true"):
            assert time.monotonic() - asked < END_SECONDS, "the machine does not end with its pod"
            time.sleep(0.2)
        log.info("%.1f s to power off", time.monotonic() - asked)
