"""Namespace machines booted by the real mayu: it cannot tell them from others by what they ask and report."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeception_sim.artifacts import testbed
from kubeception_sim.errors import MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.machines import BootImage, Firmware, MachineSpec, MachineState
from kubeception_sim.machines.namespace import NamespaceDriver, NamespaceMachine
from kubeception_sim.machines.readiness import await_system
from kubeception_sim.network import Fabric
from kubeception_sim.run import spawn

PROJECT = Path(__file__).parents[2]
SERVER = "10.77.0.1"
PORT = 4081
SPECS = [
    MachineSpec.derive(f"n{number}", f"SN-{number}", firmware=firmware, address=IPv4Interface(f"10.77.0.1{number}/24"))
    for number, firmware in ((1, Firmware.BIOS), (2, Firmware.UEFI), (3, Firmware.BIOS))
]
BUTANE = """\
variant: fcos
version: 1.4.0
storage:
  files:
    - path: /etc/hostname
      overwrite: true
      contents: {inline: "{{ host.name }}"}
systemd:
  units:
    - name: running.service
      enabled: true
      contents: |
        [Service]
        Type=oneshot
        RemainAfterExit=yes
        StandardInput=null
        ExecStart=/usr/libexec/testbed/report boot_complete
        [Install]
        WantedBy=multi-user.target
"""
STAGES = ["dhcp", "tftp", "ipxe", "http", "ignition", "switch-root", "running"]


@pytest.fixture(scope="module")
def image() -> BootImage:
    try:
        built = testbed.ensure(testbed.default_cache(), lambda step, done: None)
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    return BootImage(built.kernel, built.initrd, built.rootfs, built.rootfs_sha256)


def settings(image: BootImage, folder: Path) -> dict[str, Any]:
    arguments = (
        "ignition.firstboot",
        "ignition.platform.id=metal",
        "ignition.config.url={{ ignition_url }}",
        "testbed.rootfs={{ image.url }}/rootfs",
        f"testbed.sha256={image.rootfs_sha256}",
        "testbed.report={{ report_url }}",
        "ip={{ host.address }}::{{ server.address }}:255.255.255.0::eth0:none",
    )
    network = {"name": "rack", "interface": "br0", "address": SERVER, "subnet": "10.77.0.0/24", "gateway": SERVER}
    files = {"kernel": image.kernel.name, "initrd": image.initrd.name, "files": {"rootfs": image.rootfs.name}}
    return {
        "networks": [network],
        "http": {"port": PORT},
        "tftp": {"root": "/usr/lib/ipxe"},
        "images": {"testbed": {"directory": str(image.kernel.parent), **files, "args": list(arguments)}},
        "profiles": [{"name": "node", "image": "testbed", "ignition": str(folder / "node.bu")}],
        "hosts": [host(spec) for spec in SPECS],
        "unknown_hosts": "ignore",
    }


def host(spec: MachineSpec) -> dict[str, Any]:
    assert spec.address is not None
    identity = {"name": spec.name, "serial": spec.serial, "uuid": spec.uuid, "macs": [spec.mac]}
    return {**identity, "address": str(spec.address.ip), "profile": "node"}


@pytest.fixture
def mayu(lab: Lab, fabric: Fabric, image: BootImage) -> Iterator[Callable[[str], Any]]:
    """A running `mayu serve`; GET a JSON document from it."""
    (lab.directory / "node.bu").write_text(BUTANE)
    config = lab.directory / "mayu.yaml"
    config.write_text(yaml.safe_dump(settings(image, lab.directory)))
    read, write = os.pipe()
    argv = (sys.executable, "-m", "mayu_py", "serve", "--config", config, "--ready-fd", str(write))
    env = {**lab.env, "PYTHONPATH": str(PROJECT)}
    log = lab.directory / "mayu.log"
    with spawn(argv, log=log, env=env, namespace=fabric.namespace, pass_fds=(write,)):
        os.close(write)
        with open(read, "rb") as pipe:
            assert pipe.readline() == b"ready\n", log.read_text()

        def get(path: str) -> Any:
            connection = HTTPConnection(SERVER, PORT)
            connection.sock = fabric.socket()
            with connection.sock:
                connection.sock.connect((SERVER, PORT))
                connection.request("GET", path)
                return json.loads(connection.getresponse().read())

        yield get


def test_a_rack_boots_into_its_configs_stage_by_stage(
    lab: Lab, fabric: Fabric, image: BootImage, mayu: Callable[[str], Any]
) -> None:
    driver = NamespaceDriver(lab, image)
    with ExitStack() as stack:
        machines = [
            stack.enter_context(driver.create(spec, fabric.port(spec.name), lab.subdirectory("machines", spec.name)))
            for spec in SPECS
        ]
        for machine in machines:
            machine.start()
        for machine in machines:
            _await_running(mayu, machine)
            await_system(machine, 30)
            assert machine.execute(("hostname",), timeout=10).stdout == f"{machine.spec.name}\n"
            assert machine.address == IPv4Address(str(machine.spec.address).partition("/")[0])
            events = [event for event in mayu("/v1/events?after=0") if event["serial"] == machine.spec.serial]
            # Workers write behind their replies: what came first is told by the stamps, not by the order of the history.
            seen = sorted((event for event in events if event["kind"] == "stage"), key=lambda event: event["monotonic_ns"])
            stages = [event["detail"]["stage"] for event in seen]
            assert list(dict.fromkeys(stages)) == STAGES
        machines[0].stop(grace=20)
        assert machines[0].state() is MachineState.OFF


def _await_running(mayu: Callable[[str], Any], machine: NamespaceMachine) -> None:
    deadline = time.monotonic() + 60
    while (state := mayu(f"/v1/hosts/{machine.spec.serial}")["state"]) != "running":
        assert time.monotonic() < deadline, f"{machine.spec.name} is {state}:\n{machine.console_tail()}"
        time.sleep(0.1)
