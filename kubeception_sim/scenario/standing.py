"""Brings up what a scenario's steps rest on, part by part. Each part is taken down by the stack it was entered in."""

import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from kubeception_sim.artifacts import testbed
from kubeception_sim.doctor import find_accelerator
from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.bringup import OuterCluster, outer_image
from kubeception_sim.giantnetes.cluster import cluster_of
from kubeception_sim.lab import Lab
from kubeception_sim.machines import BootImage, Driver, Machine, MachineSpec
from kubeception_sim.machines.docker import DockerDriver
from kubeception_sim.machines.fake import FakeDriver
from kubeception_sim.machines.libvirt import LibvirtDriver
from kubeception_sim.machines.namespace import NamespaceDriver
from kubeception_sim.machines.qemu import QemuDriver
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.model.scenario import DriverName, Role, Scenario
from kubeception_sim.network import Fabric, Rack
from kubeception_sim.run import run as run_program
from kubeception_sim.scenario.clustering import CLUSTERS_NAME, GUEST, ZONE, Clusters, guest_images
from kubeception_sim.scenario.entering import balanced
from kubeception_sim.scenario.subject import PORT, Mayu, Profiles, config, own_profiles, role_profile, role_template, served

Progress = Callable[[str, float], None]


@dataclass
class Standing:
    """The parts that stand so far; `stack` takes them down again. `accelerator` runs the machines, or those of inner clusters."""

    scenario: Scenario
    lab: Lab
    stack: ExitStack
    progress: Progress
    machines: dict[str, Machine] = field(default_factory=dict)
    accelerator: Accelerator = Accelerator.NONE
    guests: dict[str, BootImage] = field(default_factory=dict)

    @cached_property
    def ssh_key(self) -> Path:
        """A key pair for this run alone."""
        path = self.lab.directory / "id_ed25519"
        comment = f"kubeception-{self.lab.id}"
        run_program(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path], timeout=10)
        return path

    def image(self) -> BootImage:
        """What machines boot, from the cache; built there first if need be."""
        if self.scenario.driver is DriverName.FAKE:
            return _dummy_image(self.lab)
        cache, outer = testbed.default_cache(), self.scenario.outer
        image = (
            outer_image(cache, outer.kubernetes, self.progress, clusters=outer.clusters)
            if outer
            else testbed.ensure(cache, self.progress)
        )
        return BootImage(image.kernel, image.initrd, image.rootfs, image.rootfs_sha256)

    def fabric(self) -> Fabric:
        """The network, with nothing plugged in."""
        wanted = self.scenario.fabric
        racks = [Rack(rack.name, IPv4Interface(f"{rack.gateway}/{rack.subnet.prefixlen}")) for rack in wanted.racks]
        address = IPv4Interface(f"{wanted.server}/{wanted.subnet.prefixlen}")
        return self.stack.enter_context(Fabric.create(self.lab, address=address, racks=racks))

    def outer(self, fabric: Fabric) -> OuterCluster:
        """The authorities of the outer cluster, and what stands before its API servers."""
        assert self.scenario.outer is not None
        wanted = self.scenario.outer
        cluster = cluster_of(self.scenario, wanted)
        outer = self.stack.enter_context(OuterCluster.prepare(cluster, wanted.pki, self.lab, fabric, self.progress))
        if wanted.clusters:
            self.guests = guest_images(wanted.kubernetes, wanted.systems, self.progress)
            images = f"http://{self._mayu_address}:{PORT}/images"
            self.accelerator = _accelerator()
            entrance = self.scenario.fabric.entrance
            Clusters(fabric, entrance, self.guests, images, self.accelerator, (self._public_key,)).furnish(outer)
            self.stack.enter_context(balanced(self.lab, fabric, outer, entrance))
        return outer

    @property
    def _mayu_address(self) -> IPv4Address:
        # In a fabric with racks mayu knows the routers' addresses as its own, and answers questions about hosts on these alone.
        racks = self.scenario.fabric.racks
        return racks[0].gateway if racks else self.scenario.fabric.server

    @property
    def _public_key(self) -> str:
        return self.ssh_key.with_suffix(".pub").read_text().strip()

    def mayu(self, fabric: Fabric, image: BootImage, outer: OuterCluster | None) -> Mayu:
        """mayu, serving."""
        keys = (self._public_key,)
        profiles = own_profiles(self.scenario, {"ssh_key": keys[0]})
        if outer is not None:
            profiles = self._with_roles(profiles, outer, keys)
        settings = config(self.scenario, image, profiles)
        if self.guests:
            settings["images"] |= {f"{GUEST}-{name}": served(image) for name, image in self.guests.items()}
            settings["dns"] = {"zone": ZONE, "wildcards": {CLUSTERS_NAME: [str(self.scenario.fabric.entrance)]}}
        return self.stack.enter_context(Mayu.serve(self.lab, fabric, self._mayu_address, settings))

    def _with_roles(self, own: Profiles, outer: OuterCluster, keys: tuple[str, ...]) -> Profiles:
        folder = self.lab.subdirectory("roles")
        roles = [role for role in Role if any(machine.role is role for machine in self.scenario.machines)]
        return Profiles(
            {**own.templates, **{role_profile(role): role_template(role, folder, self.scenario.fabric.server) for role in roles}},
            {**own.values, **{role_profile(role): outer.profile_values(role, keys) for role in roles}},
            {**own.hosts, **{host.name: outer.host_values(host) for host in outer.cluster.hosts}},
        )

    def plug_in(self, fabric: Fabric, image: BootImage) -> None:
        """The machines, still off."""
        driver = self._driver(image)
        if driver.accelerator is not Accelerator.NONE:
            self.accelerator = driver.accelerator
        for each in self.scenario.machines:
            spec = MachineSpec(
                name=each.name,
                serial=each.serial,
                uuid=each.uuid,
                mac=each.mac,
                firmware=each.firmware,
                memory_mib=each.memory.bytes >> 20,
                cpus=each.cpus,
                address=IPv4Interface(f"{each.address}/{self.scenario.subnet(each).prefixlen}"),
                gateway=self.scenario.gateway(each),
            )
            port = fabric.port(each.name, each.rack) if each.rack else fabric.port(each.name)
            machine = driver.create(spec, port, self.lab.subdirectory("machines", each.name))
            self.machines[each.name] = self.stack.enter_context(machine)

    def _driver(self, image: BootImage) -> Driver:
        match self.scenario.driver:
            case DriverName.FAKE:
                return FakeDriver(self.lab.env)
            case DriverName.NAMESPACE:
                return NamespaceDriver(self.lab, image)
            case DriverName.QEMU:
                return QemuDriver(_accelerator(), self.lab.env, self.ssh_key)
            case DriverName.DOCKER:
                return DockerDriver(self.lab, image)
            case DriverName.LIBVIRT:
                return LibvirtDriver(_accelerator(), self.lab, self.ssh_key)


def _accelerator() -> Accelerator:
    verdict = find_accelerator(testbed.default_cache())
    if verdict.accelerator is Accelerator.NONE:
        why = "; ".join(f"{attempt.what}: {attempt.why}" for attempt in verdict.attempts)
        raise HarnessError(f"no accelerator boots a guest here: {why}", hint="kubeception doctor")
    return verdict.accelerator


def _dummy_image(lab: Lab) -> BootImage:
    """Files for fake machines, which fetch an image and boot none."""
    folder = lab.subdirectory("image")
    for name in ("kernel", "initrd", "rootfs"):
        (folder / name).write_bytes(os.urandom(1 << 20))
    sha256 = hashlib.sha256((folder / "rootfs").read_bytes()).hexdigest()
    return BootImage(folder / "kernel", folder / "initrd", folder / "rootfs", sha256)
