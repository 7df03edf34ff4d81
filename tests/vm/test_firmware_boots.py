"""Real firmware against a real `mayu serve`, without dnsmasq, through a relay, and beside another server's addresses.

The goal of most machines is that iPXE has asked for its kernel: firmware, boot file, entry script and the host's own script
have worked. Their kernels are no kernels, and they are switched off then. One machine of each site, that with the host name
`node`, goes on: its kernel is the testbed OS's, and its goal is that mayu hears from it that it runs.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeception_sim.artifacts import testbed
from kubeception_sim.doctor import find_accelerator
from kubeception_sim.errors import MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.machines import Firmware, MachineSpec
from kubeception_sim.machines.qemu import QemuMachine
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.network import Fabric
from kubeception_sim.run import require, spawn
from mayu_py.core.hosts import Stage, State
from mayu_py.store.sqlite import SqliteStore
from tests.net.lan import ip, namespace

GOAL_SECONDS = 90.0
RUNNING_SECONDS = 240.0
START_SECONDS = 15.0
BOOT_FILES = Path("/usr/lib/ipxe")

BIOS = MachineSpec.derive("bios", "FB-BIOS", memory_mib=256)
UEFI = MachineSpec.derive("uefi", "FB-UEFI", firmware=Firmware.UEFI, memory_mib=256)
HTTP = MachineSpec.derive("http", "FB-HTTP", firmware=Firmware.UEFI, memory_mib=256)
FIRST, LAST = ["dhcp", "tftp", "ipxe", "http"], ["ignition", "switch-root", "running"]
# What the testbed OS wants of its kernel's command line (docs/architecture.md).
ARGUMENTS = (
    "ignition.firstboot", "ignition.platform.id=metal", "ignition.config.url={{ ignition_url }}", "quiet", "console=ttyS0",
    "testbed.rootfs={{ image.url }}/rootfs", "testbed.report={{ report_url }}", "net.ifnames=0", "rd.systemd.gpt_auto=0",
    "systemd.gpt_auto=0",
)  # fmt: skip
BUTANE = """\
variant: fcos
version: 1.4.0
systemd:
  units:
    - name: phone-home.service
      enabled: true
      contents: |
        [Unit]
        Wants=network-online.target
        After=network-online.target
        [Service]
        Type=oneshot
        ExecStart=/usr/bin/curl -sSf --retry 30 --retry-delay 1 --retry-connrefused -X PUT {{ report_url }}/boot_complete
        [Install]
        WantedBy=multi-user.target
"""


class HttpBootMachine(QemuMachine):
    """UEFI that is told to leave PXE alone, and so comes to its next boot option: HTTP Boot."""

    def command(self, qmp: int, system: Sequence[str] = ()) -> list[str]:
        """The command line."""
        return [*super().command(qmp, system), "-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"]


@dataclass
class Site:
    """A fabric that machines hang on, and where mayu is."""

    fabric: Fabric
    lab: Lab
    accelerator: Accelerator
    stack: ExitStack
    folder: Path
    image: testbed.Image

    def serve(self, where: str, networks: Sequence[dict[str, Any]], hosts: Sequence[dict[str, Any]], **more: Any) -> None:
        """Run mayu in a namespace until the test ends."""
        (self.folder / "node.bu").write_text(BUTANE)
        for name in ("vmlinuz", "initrd.img"):
            (self.folder / name).write_bytes(b"no kernel" * 100)
        settings = {
            "networks": list(networks),
            "tftp": {"root": str(BOOT_FILES)},
            "images": {
                "none": {"directory": "."},
                "testbed": {
                    "directory": str(self.image.directory),
                    "kernel": self.image.kernel.name,
                    "initrd": self.image.initrd.name,
                    "files": {"rootfs": self.image.rootfs.name},
                    "args": [*ARGUMENTS, f"testbed.sha256={self.image.rootfs_sha256}"],
                },
            },
            "profiles": [
                {"name": "none", "image": "none", "ignition": "node.bu"},
                {"name": "os", "image": "testbed", "ignition": "node.bu"},
            ],
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
        """Start machines; that with the serial of `HTTP` boots by HTTP."""
        machines = []
        for spec in specs:
            kind = HttpBootMachine if spec.serial == HTTP.serial else QemuMachine
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

    def await_kernels(self, machines: Mapping[str, QemuMachine]) -> dict[str, list[str]]:
        """Wait until the host of every machine has asked for its kernel; returns the stages of each up to then.

        Machines by the names of their hosts. Those that have no kernel to boot are switched off.
        """
        self._await(machines, Stage.HTTP, GOAL_SECONDS)
        for name, machine in machines.items():
            if name != "node":
                machine.kill()
        found = self.stages()
        return {name: found[name][: found[name].index(Stage.HTTP) + 1] for name in machines}

    def await_running(self, machine: QemuMachine) -> list[str]:
        """Wait until the host `node` runs; returns all of its stages."""
        self._await({"node": machine}, Stage.RUNNING, RUNNING_SECONDS)
        with closing(SqliteStore(self.folder / "mayu.db")) as store:
            assert store.statuses()["node"].state is State.RUNNING
        return self.stages()["node"]

    def _await(self, machines: Mapping[str, QemuMachine], stage: Stage, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not all(stage in self.stages().get(name, ()) for name in machines):
            consoles = "\n".join(f"--- {name}\n{machine.console_tail(15)}" for name, machine in machines.items())
            assert time.monotonic() < until, f"{self.stages()}\n{consoles}\n{self.log()[-3000:]}"
            time.sleep(0.2)


@pytest.fixture(scope="session")
def accelerator() -> Accelerator:
    try:
        verdict = find_accelerator()
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    if verdict.accelerator is Accelerator.NONE:
        pytest.skip(f"booted guests, none came up: {verdict.attempts}")
    return verdict.accelerator


@pytest.fixture(scope="session")
def image() -> testbed.Image:
    try:
        return testbed.ensure(testbed.default_cache(), lambda step, done: None)
    except MissingTool as missing:
        pytest.skip(f"tried to build the testbed image; {missing.message} ({missing.hint})")


@pytest.fixture
def site(fabric: Fabric, lab: Lab, accelerator: Accelerator, image: testbed.Image, tmp_path: Path) -> Iterator[Site]:
    if not (BOOT_FILES / "snponly.efi").is_file():
        pytest.skip(f"no boot files in {BOOT_FILES}; apt-get install ipxe")
    with ExitStack() as stack:
        yield Site(fabric, lab, accelerator, stack, tmp_path, image)


def host(spec: MachineSpec, address: str | None) -> dict[str, Any]:
    """The entry of a machine's host, with the testbed OS if it is `node`."""
    profile = "os" if spec.name == "node" else "none"
    entry = {"name": spec.name, "serial": spec.serial, "macs": [spec.mac], "profile": profile}
    return entry if address is None else {**entry, "address": address}


def going_on(spec: MachineSpec) -> MachineSpec:
    """The same machine as the one that is to run, with the memory that takes."""
    return replace(spec, name="node", memory_mib=512)


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


def test_every_firmware_boots_from_mayu_alone_and_http_boot_goes_on_to_a_running_system(site: Site) -> None:
    network = {"name": "rack", "interface": "br0", "address": "10.77.0.1", "subnet": "10.77.0.0/24"}
    node = going_on(HTTP)
    site.serve(site.fabric.namespace, [network], [host(BIOS, "10.77.0.11"), host(UEFI, "10.77.0.12"), host(node, "10.77.0.13")])
    bios, uefi, http = site.switch_on(BIOS, UEFI, node)
    assert site.await_kernels({"bios": bios, "uefi": uefi, "node": http}) == {
        # The ROM's iPXE has run the script first, and was replaced by mayu's own.
        "bios": FIRST,
        "uefi": FIRST,
        "node": ["dhcp", "ipxe", "http"],
    }
    assert site.await_running(http) == ["dhcp", "ipxe", "http", *LAST]


def test_firmware_boots_through_a_relay_to_a_running_system(site: Site) -> None:
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
    node = going_on(BIOS)
    site.serve(aside, networks, [host(node, "10.77.0.11"), host(UEFI, "10.77.0.12")])
    argv = ["dhcrelay", "-4", "-d", "-a", "--no-pid", "-id", "br0", "-iu", "up0", "192.0.2.2"]
    site.stack.enter_context(spawn(argv, log=site.folder / "relay.log", namespace=fabric.namespace, env=site.lab.env))
    bios, uefi = site.switch_on(node, UEFI)
    assert site.await_kernels({"node": bios, "uefi": uefi}) == {"node": FIRST, "uefi": FIRST}
    assert site.await_running(bios) == [*FIRST, *LAST]


def test_firmware_boots_beside_a_server_that_owns_the_addresses_to_a_running_system(site: Site) -> None:
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
    node = going_on(BIOS)
    site.serve(aside, [network], [host(node, None), host(UEFI, None)], unknown_hosts="enrol", default_profile="none")
    argv = [
        "dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=br0", "--bind-interfaces", "--user=root", "--no-ping",
        "--leasefile-ro", "--pid-file=", "--dhcp-range=10.77.0.50,10.77.0.99,1h",
    ]  # fmt: skip
    site.stack.enter_context(spawn(argv, log=site.folder / "owner.log", namespace=fabric.namespace, env=site.lab.env))
    bios, uefi, http = site.switch_on(node, UEFI, HTTP)
    enrolled = HTTP.mac.replace(":", "-")
    assert site.await_kernels({"node": bios, "uefi": uefi, enrolled: http}) == {
        "node": FIRST,
        "uefi": FIRST,
        enrolled: ["dhcp", "ipxe", "http"],
    }
    assert site.await_running(bios) == [*FIRST, *LAST]
    # The offers have told everything: nobody had to ask port 4011.
    with closing(SqliteStore(site.folder / "mayu.db")) as store:
        assert {(name, reason) for _, name, reason, _ in store.counters() if name == "dhcp.sent"} == {("dhcp.sent", "offer")}
