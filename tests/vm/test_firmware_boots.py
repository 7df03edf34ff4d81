"""Real firmware against a real `mayu serve`, without dnsmasq, through a relay, and beside another server's addresses.

The goal of every machine is that iPXE has asked for its kernel: firmware, boot file, entry script and the host's own script
have worked. The kernels here are no kernels, and nothing is booted any further.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeception_sim.doctor import find_accelerator
from kubeception_sim.errors import MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.machines import Firmware, MachineSpec
from kubeception_sim.machines.qemu import QemuMachine
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.network import Fabric
from kubeception_sim.run import require, spawn
from mayu_py.core.hosts import Stage
from mayu_py.store.sqlite import SqliteStore
from tests.net.lan import ip, namespace

GOAL_SECONDS = 90.0
START_SECONDS = 15.0
BOOT_FILES = Path("/usr/lib/ipxe")

BIOS = MachineSpec.derive("bios", "FB-BIOS", memory_mib=256)
UEFI = MachineSpec.derive("uefi", "FB-UEFI", firmware=Firmware.UEFI, memory_mib=256)
HTTP = MachineSpec.derive("http", "FB-HTTP", firmware=Firmware.UEFI, memory_mib=256)
BUTANE = "variant: fcos\nversion: 1.4.0\n"


class HttpBootMachine(QemuMachine):
    """UEFI that is told to leave PXE alone, and so comes to its next boot option: HTTP Boot."""

    def command(self, qmp: int) -> list[str]:
        """The command line."""
        return [*super().command(qmp), "-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"]


@dataclass
class Site:
    """A fabric that machines hang on, and where mayu is."""

    fabric: Fabric
    lab: Lab
    accelerator: Accelerator
    stack: ExitStack
    folder: Path

    def serve(self, where: str, networks: Sequence[dict[str, Any]], hosts: Sequence[dict[str, Any]], **more: Any) -> None:
        """Run mayu in a namespace until the test ends."""
        (self.folder / "node.bu").write_text(BUTANE)
        for name in ("vmlinuz", "initrd.img"):
            (self.folder / name).write_bytes(b"no kernel" * 100)
        settings = {
            "networks": list(networks),
            "tftp": {"root": str(BOOT_FILES)},
            "images": {"none": {"directory": "."}},
            "profiles": [{"name": "node", "image": "none", "ignition": "node.bu"}],
            "hosts": list(hosts),
            **more,
        }
        path = self.folder / "mayu.yaml"
        path.write_text(yaml.safe_dump(settings))
        read, write = os.pipe()
        argv = ("ip", "netns", "exec", where, sys.executable, "-m", "mayu_py", "serve", "-c", str(path), "--ready-fd", str(write))
        with (self.folder / "mayu.log").open("ab") as output:
            process = subprocess.Popen(argv, stdout=output, stderr=output, pass_fds=(write,))
        os.close(write)
        self.stack.callback(process.wait, 15)
        self.stack.callback(process.terminate)
        try:
            assert select.select([read], [], [], START_SECONDS)[0], self.log()
            assert os.read(read, 6) == b"ready\n", self.log()
        finally:
            os.close(read)

    def switch_on(self, *specs: MachineSpec) -> list[QemuMachine]:
        """Start machines; those named `http` boot by HTTP."""
        machines = []
        for spec in specs:
            kind = HttpBootMachine if spec.name == "http" else QemuMachine
            port, folder = self.fabric.port(spec.name), self.lab.subdirectory(spec.name)
            machine = self.stack.enter_context(kind(spec, port, folder, self.accelerator, self.lab.env))
            machine.start()
            machines.append(machine)
        return machines

    def log(self) -> str:
        return (self.folder / "mayu.log").read_text()

    def stages(self) -> dict[str, list[str]]:
        """Serial of the machine -> the stages that its host has reached, in their order."""
        found: dict[str, list[str]] = {}
        with closing(SqliteStore(self.folder / "mayu.db")) as store:
            for event in store.events(0, 10_000):
                if event.kind == "stage" and event.host:
                    found.setdefault(event.host, []).append(event.detail["stage"])
        return found

    def await_kernels(self, machines: Sequence[QemuMachine], names: Sequence[str]) -> dict[str, list[str]]:
        """Wait until every host has asked for its kernel; returns the stages of each."""
        until = time.monotonic() + GOAL_SECONDS
        while not all(Stage.HTTP in self.stages().get(name, ()) for name in names):
            consoles = "\n".join(f"--- {machine.spec.name}\n{machine.console_tail(15)}" for machine in machines)
            assert time.monotonic() < until, f"{self.stages()}\n{consoles}\n{self.log()[-3000:]}"
            time.sleep(0.2)
        return {name: self.stages()[name] for name in names}


@pytest.fixture(scope="session")
def accelerator() -> Accelerator:
    try:
        verdict = find_accelerator()
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    if verdict.accelerator is Accelerator.NONE:
        pytest.skip(f"booted guests, none came up: {verdict.attempts}")
    return verdict.accelerator


@pytest.fixture
def site(fabric: Fabric, lab: Lab, accelerator: Accelerator, tmp_path: Path) -> Iterator[Site]:
    if not (BOOT_FILES / "snponly.efi").is_file():
        pytest.skip(f"no boot files in {BOOT_FILES}; apt-get install ipxe")
    with ExitStack() as stack:
        yield Site(fabric, lab, accelerator, stack, tmp_path)


def host(spec: MachineSpec, address: str | None) -> dict[str, Any]:
    entry = {"name": spec.name, "serial": spec.serial, "macs": [spec.mac], "profile": "node"}
    return entry if address is None else {**entry, "address": address}


def tool(name: str, package: str) -> None:
    try:
        require(name, package)
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")


@contextmanager
def neighbour(fabric: Fabric, lab: Lab, near: str, *, bridged: bool) -> Iterator[str]:
    """A namespace with an `eth0`, whose other end `up0` is in the fabric's: on the bridge, or with a link of its own."""
    with namespace(lab.namespace("aside")) as name:
        ip("-n", fabric.namespace, "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("-n", name, "address", "add", near, "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        if bridged:
            ip("-n", fabric.namespace, "link", "set", "up0", "master", fabric.bridge)
        ip("-n", fabric.namespace, "link", "set", "up0", "up")
        yield name


def test_every_firmware_boots_from_mayu_alone(site: Site) -> None:
    network = {"name": "rack", "interface": "br0", "address": "10.77.0.1", "subnet": "10.77.0.0/24"}
    hosts = [host(BIOS, "10.77.0.11"), host(UEFI, "10.77.0.12"), host(HTTP, "10.77.0.13")]
    site.serve(site.fabric.namespace, [network], hosts)
    machines = site.switch_on(BIOS, UEFI, HTTP)
    assert site.await_kernels(machines, ["bios", "uefi", "http"]) == {
        # The ROM's iPXE has run the script first, and was replaced by mayu's own.
        "bios": ["dhcp", "tftp", "ipxe", "http"],
        "uefi": ["dhcp", "tftp", "ipxe", "http"],
        "http": ["dhcp", "ipxe", "http"],
    }


def test_firmware_boots_through_a_relay(site: Site) -> None:
    tool("dhcrelay", "isc-dhcp-relay")
    fabric = site.fabric
    aside = site.stack.enter_context(neighbour(fabric, site.lab, "192.0.2.2/24", bridged=False))
    ip("-n", fabric.namespace, "address", "add", "192.0.2.1/24", "dev", "up0")
    ip("-n", aside, "route", "add", "10.77.0.0/24", "via", "192.0.2.1")
    ip("netns", "exec", fabric.namespace, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    networks = [
        {"name": "office", "interface": "eth0", "address": "192.0.2.2", "subnet": "192.0.2.0/24"},
        {"name": "rack", "subnet": "10.77.0.0/24", "gateway": "10.77.0.1"},
    ]
    site.serve(aside, networks, [host(BIOS, "10.77.0.11"), host(UEFI, "10.77.0.12")])
    argv = ["dhcrelay", "-4", "-d", "-a", "--no-pid", "-id", "br0", "-iu", "up0", "192.0.2.2"]
    site.stack.enter_context(spawn(argv, log=site.folder / "relay.log", namespace=fabric.namespace, env=site.lab.env))
    machines = site.switch_on(BIOS, UEFI)
    stages = ["dhcp", "tftp", "ipxe", "http"]
    assert site.await_kernels(machines, ["bios", "uefi"]) == {"bios": stages, "uefi": stages}


def test_firmware_boots_beside_a_server_that_owns_the_addresses(site: Site) -> None:
    tool("dnsmasq", "dnsmasq-base")
    fabric = site.fabric
    aside = site.stack.enter_context(neighbour(fabric, site.lab, "10.77.0.2/24", bridged=True))
    network = {
        "name": "rack",
        "interface": "eth0",
        "address": "10.77.0.2",
        "subnet": "10.77.0.0/24",
        "dhcp": "proxy",
        "owner": "10.77.0.1",
    }
    site.serve(aside, [network], [host(BIOS, None), host(UEFI, None)], unknown_hosts="enrol", default_profile="node")
    argv = [
        "dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=br0", "--bind-interfaces", "--user=root", "--no-ping",
        "--leasefile-ro", "--pid-file=", "--dhcp-range=10.77.0.50,10.77.0.99,1h",
    ]  # fmt: skip
    site.stack.enter_context(spawn(argv, log=site.folder / "owner.log", namespace=fabric.namespace, env=site.lab.env))
    machines = site.switch_on(BIOS, UEFI, HTTP)
    enrolled = HTTP.mac.replace(":", "-")
    assert site.await_kernels(machines, ["bios", "uefi", enrolled]) == {
        "bios": ["dhcp", "tftp", "ipxe", "http"],
        "uefi": ["dhcp", "tftp", "ipxe", "http"],
        enrolled: ["dhcp", "ipxe", "http"],
    }
    # The offers have told everything: nobody had to ask port 4011.
    with closing(SqliteStore(site.folder / "mayu.db")) as store:
        assert {(name, reason) for _, name, reason, _ in store.counters() if name == "dhcp.sent"} == {("dhcp.sent", "offer")}
