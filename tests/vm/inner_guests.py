"""The machines of an inner cluster without the pods around them: QEMU on one bridge in a namespace, certified by an authority of
the test's own. What pods do for them (VXLAN, OpenBao, the agent that runs QEMU) is not here."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from kubeception_sim.agents.issue.render import render
from kubeception_sim.agents.vm.addresses import mac
from kubeception_sim.agents.vm.command import kernel_line
from kubeception_sim.agents.vm.machine import Place
from kubeception_sim.artifacts.images import Images
from kubeception_sim.artifacts.node import Image
from kubeception_sim.doctor.accelerator import QEMU, guest_options
from kubeception_sim.giantnetes.bringup import bootstrap_token
from kubeception_sim.giantnetes.kubectl import Kubectl
from kubeception_sim.giantnetes.values import Pair, Shared, shared_values
from kubeception_sim.inner.allocation import Vm, machines, names
from kubeception_sim.inner.certificates import Mounts, admin_request, requests
from kubeception_sim.inner.config import RoleValues
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.lab import Lab
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.model.scenario import Role
from kubeception_sim.pki.embedded import EmbeddedAuthority
from kubeception_sim.pki.keys import service_account_pair
from kubeception_sim.run import Process, run, spawn

TEMPLATES = Path(__file__).parents[2] / "mayu_py/templates"
DOMAIN = "rack.example"
VNI = 100
_POLL_SECONDS = 0.5


@dataclass
class Guests:
    """A cluster and its machines; `agent` is the image of its add-ons.

    `started` and `stages` are seconds of the monotonic clock, by the machine's name.
    """

    cluster: Cluster
    lab: Lab
    namespace: str
    image: Image
    agent: str
    kubectl: Kubectl
    configs: Mapping[str, bytes]
    stack: ExitStack
    running: dict[str, Process] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def vms(self) -> dict[str, Vm]:
        return {vm.name: vm for vm in vms_of(self.cluster)}

    def start(self, name: str) -> None:
        """Power on. A machine that has run finds its disk again."""
        vm, folder = self.vms[name], self.lab.subdirectory(name)
        (folder / "config.ign").write_bytes(self.configs[name])
        (folder / "stage").write_bytes(b"")
        disk = folder / "etcd.img"
        if vm.disk and not disk.exists():
            run(["mke2fs", "-q", "-t", "ext4", disk, f"{vm.disk}M"], timeout=60)
        self.stages[name], self.started[name] = {}, time.monotonic()
        place = Place(VNI, vm.index, self.cluster.spec.network.vms, f"tap{vm.index}")
        argv = _command(vm, place, folder, self.image, disk if vm.disk else None)
        process = spawn(argv, log=folder / "qemu.log", namespace=self.namespace, env=self.lab.env)
        self.running[name] = self.stack.enter_context(process)

    def end(self, name: str) -> None:
        """As when the power fails."""
        process = self.running.pop(name)
        process.kill()
        process.wait(30)

    def seconds(self, name: str, stage: str) -> float:
        return self.stages[name][stage] - self.started[name]

    def wait(self, what: str, found: Callable[[], str], seconds: float) -> float:
        """Until `found` says nothing more; how long it took. Machines are watched meanwhile."""
        begin = time.monotonic()
        while said := self._look() or found():
            assert time.monotonic() < begin + seconds, f"{what}: not within {seconds} s: {said}\n{self.consoles()}"
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - begin

    def until_running(self, *names: str, seconds: float) -> None:
        """Until these say that their nodes are ready."""

        def missing() -> str:
            return ", ".join(name for name in names if "running" not in self.stages[name])

        self.wait("running", missing, seconds)

    def consoles(self) -> str:
        tails = {name: (self.lab.directory / name / "console.log").read_text(errors="replace")[-3000:] for name in self.running}
        return "\n".join(f"--- {name}\n{text}" for name, text in tails.items())

    def _look(self) -> str:
        for name, process in self.running.items():
            assert process.poll() is None, f"QEMU of {name} ended: {process.tail()}"
            for line in (self.lab.directory / name / "stage").read_text().splitlines():
                assert not line.startswith("failed"), f"{name}: {line}\n{self.consoles()}"
                self.stages[name].setdefault(line, time.monotonic())
        return ""


def vms_of(cluster: Cluster) -> tuple[Vm, ...]:
    return machines(cluster, {name: number for number, name in enumerate(names(cluster), 1)})


@contextmanager
def guests(cluster: Cluster, lab: Lab, image: Image, kubectl: Path, images: Images) -> Iterator[Guests]:
    """A cluster whose machines are off. The test is at the last address of their subnet."""
    authority = EmbeddedAuthority(lab.subdirectory("pki", "roots"))
    vms, namespace = vms_of(cluster), lab.namespace("guests")
    configs = _configs(cluster, vms, authority, images.etcd)
    kubeconfig = _kubeconfig(cluster, vms[0].address, authority, lab.subdirectory("pki"))
    client = Kubectl(kubectl, kubeconfig, namespace, lab.env)
    with ExitStack() as stack:
        run(["ip", "netns", "add", namespace], timeout=10)
        stack.callback(run, ["ip", "netns", "del", namespace], timeout=10)
        _link(namespace, cluster, vms)
        yield Guests(cluster, lab, namespace, image, images.agent, client, configs, stack)


def _link(namespace: str, cluster: Cluster, vms: tuple[Vm, ...]) -> None:
    def ip(*words: str) -> None:
        run(["ip", "-n", namespace, *words], timeout=10)

    network = cluster.spec.network.vms
    ip("link", "set", "lo", "up")
    ip("link", "add", "br0", "mtu", "1450", "type", "bridge", "forward_delay", "0")
    ip("address", "add", f"{network[-2]}/{network.prefixlen}", "dev", "br0")
    ip("link", "set", "br0", "up")
    for vm in vms:
        ip("tuntap", "add", f"tap{vm.index}", "mode", "tap")
        ip("link", "set", f"tap{vm.index}", "mtu", "1450", "master", "br0", "up")


def _configs(cluster: Cluster, vms: tuple[Vm, ...], authority: EmbeddedAuthority, etcd_image: str) -> dict[str, bytes]:
    mounts = Mounts.of(cluster.name)
    roots = {name: authority.mount(name) for name in (mounts.cluster, mounts.etcd, mounts.front_proxy)}
    signer = authority.intermediate(mounts.cluster, "node-signer")
    private, public = service_account_pair()
    shared = Shared(
        ca=roots[mounts.cluster] + signer.cert,
        etcd_ca=roots[mounts.etcd],
        front_proxy_ca=roots[mounts.front_proxy],
        signer=Pair(signer.cert, signer.key),
        service_account_key=private,
        service_account_public=public,
        bootstrap_token=bootstrap_token(),
        etcd_image=etcd_image,
    )
    values = RoleValues(etcd_image)
    found = {}
    for vm in vms:
        own: dict[str, Any] = json.loads(json.dumps(values(cluster, vms, vm)))
        own["values"]["kubernetes"] |= shared_values(Role(str(vm.role)), shared)
        issued = {name: authority.issue(request) for name, request in requests(cluster, vm, DOMAIN).items()}
        pairs = {name: {"cert": pair.cert, "key": pair.key} for name, pair in issued.items()}
        found[vm.name] = render((TEMPLATES / f"giantnetes-{vm.role}.bu").read_text(), own, pairs)
    return found


def _kubeconfig(cluster: Cluster, master: IPv4Address, authority: EmbeddedAuthority, folder: Path) -> Path:
    admin = authority.issue(admin_request(cluster.name))
    files = {"ca.crt": authority.mount(Mounts.of(cluster.name).cluster), "admin.crt": admin.cert, "admin.key": admin.key}
    for name, text in files.items():
        (folder / name).write_text(text)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "x", "cluster": {"server": f"https://{master}:6443", "certificate-authority": str(folder / "ca.crt")}}
        ],
        "users": [
            {
                "name": "x",
                "user": {"client-certificate": str(folder / "admin.crt"), "client-key": str(folder / "admin.key")},
            }
        ],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(document))
    return folder / "kubeconfig"


def _command(vm: Vm, place: Place, folder: Path, image: Image, disk: Path | None) -> list[str | Path]:
    data = [*_drive("etcd", f"{disk},cache=writeback"), "-device", "virtio-blk-pci,drive=etcd,serial=etcd"] if disk else []
    return [
        *(QEMU, "-name", f"kc-{vm.name}", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,graphics=off"),
        *(*guest_options(Accelerator.TCG), "-m", str(vm.memory), "-smp", str(vm.cpus)),
        *("-kernel", image.kernel, "-initrd", image.initrd, "-append", kernel_line(place)),
        *("-fw_cfg", f"name=opt/com.coreos/config,file={folder / 'config.ign'}"),
        *(*_drive("root", f"{image.rootfs},readonly=on"), "-device", "virtio-blk-pci,drive=root,serial=rootfs"),
        *data,
        *("-netdev", f"tap,id=n,ifname={place.tap},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=n,romfile=,host_mtu=1450,mac={mac(VNI, vm.index)}", "-device", "virtio-rng-pci"),
        *("-chardev", f"file,id=stage,path={folder / 'stage'}", "-device", "virtio-serial-pci"),
        *("-device", "virtserialport,chardev=stage,name=io.kubeception.stage"),
        *("-chardev", f"file,id=console,path={folder / 'console.log'}", "-serial", "chardev:console"),
    ]


def _drive(name: str, options: str) -> tuple[str, str]:
    return "-drive", f"if=none,id={name},format=raw,file={options}"
