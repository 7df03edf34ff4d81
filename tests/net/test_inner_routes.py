"""The machines of an inner cluster on one link, each with a real BIRD and its role's config: who learns which way to whom."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.lab import Lab
from kubeception_sim.run import Process, run, spawn
from tests.inner_configs import config, files, of, vms_of
from tests.net.lan import ip, namespace

pytestmark = pytest.mark.skipif(shutil.which("bird", path="/usr/sbin:/usr/bin") is None, reason="no bird in /usr/sbin: bird2")
WITHIN_SECONDS = 30.0


@dataclass
class Link:
    """A bridge, and namespaces on it that are the machines of a cluster."""

    lab: Lab
    cluster: Cluster
    stack: ExitStack
    birds: dict[str, Process] = field(default_factory=dict)

    def start(self) -> None:
        switch = self.stack.enter_context(namespace(self.lab.namespace("link")))
        ip("-n", switch, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        ip("-n", switch, "link", "set", "br0", "up")
        for vm in vms_of(self.cluster):
            inside = self.stack.enter_context(namespace(self.lab.namespace(vm.name)))
            ip("-n", switch, "link", "add", vm.name, "type", "veth", "peer", "name", "eth0", "netns", inside)
            ip("-n", switch, "link", "set", vm.name, "master", "br0", "up")
            ip("-n", inside, "address", "add", f"{vm.address}/24", "dev", "eth0")
            ip("-n", inside, "link", "set", "eth0", "up")
            self.speak(vm)

    def speak(self, vm: Vm) -> None:
        folder = self.lab.subdirectory(vm.name)
        (folder / "bird.conf").write_text(files(config(self.cluster, vm.name))["/etc/bird/bird.conf"])
        argv = ("bird", "-f", "-c", folder / "bird.conf", "-s", folder / "bird.ctl", "-P", folder / "bird.pid")
        process = spawn(argv, log=folder / "bird.log", env=self.lab.env, namespace=self.lab.namespace(vm.name), grace=1)
        self.birds[vm.name] = self.stack.enter_context(process)

    def routes(self, name: str) -> dict[str, str]:
        """What BIRD has told the kernel of a machine: subnets of pods, and where to."""
        found = json.loads(run(["ip", "-n", self.lab.namespace(name), "-j", "route", "show", "proto", "bird"], timeout=10).stdout)
        return {each["dst"]: each.get("gateway", "") for each in found}

    def wanted(self, name: str, *, without: str = "") -> dict[str, str]:
        """The pods of each other machine, at that machine."""
        others = [vm for vm in vms_of(self.cluster) if vm.name not in (name, without)]
        return {f"10.80.{vm.index}.0/24": str(vm.address) for vm in others}

    def settled(self, *, without: str = "") -> None:
        """Until everybody knows the way to everybody, and no other."""
        names = [vm.name for vm in vms_of(self.cluster) if vm.name != without]
        deadline = time.monotonic() + WITHIN_SECONDS
        while wrong := {name: self.routes(name) for name in names if self.routes(name) != self.wanted(name, without=without)}:
            assert time.monotonic() < deadline, wrong
            time.sleep(0.2)


@pytest.fixture(params=[of(1, worker=3), of(3, worker=2)], ids=["one master", "three masters"])
def link(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Link]:
    with ExitStack() as stack:
        found = Link(lab, request.param, stack)
        found.start()
        yield found


def test_pods_are_reached_at_their_own_machine_and_not_through_a_master(link: Link) -> None:
    """Masters pass on what workers announce; the next hop stays the worker, as all are on one link."""
    link.settled()


def test_the_way_to_a_machine_that_is_gone_goes_and_comes_back_with_it(link: Link) -> None:
    link.settled()
    link.birds["worker-1"].kill()
    link.settled(without="worker-1")
    link.speak(next(vm for vm in vms_of(link.cluster) if vm.name == "worker-1"))
    link.settled()


def test_a_worker_learns_the_way_with_one_of_three_masters_gone(lab: Lab) -> None:
    with ExitStack() as stack:
        link = Link(lab, of(3, worker=2), stack)
        link.start()
        link.settled()
        link.birds["master-0"].kill()
        link.settled(without="master-0")


def test_what_is_no_pod_s_is_not_believed(lab: Lab, tmp_path: Path) -> None:
    """A machine that announces the API server's own address attracts nothing."""
    with ExitStack() as stack:
        link = Link(lab, of(1, worker=2), stack)
        link.start()
        liar = lab.subdirectory("worker-0") / "bird.conf"
        liar.write_text(
            liar.read_text().replace(
                "route 10.80.2.0/24 unreachable;", "route 10.80.2.0/24 unreachable; route 172.23.0.6/32 unreachable;"
            )
        )
        assert "172.23.0.6/32" in liar.read_text()
        run(["birdc", "-s", lab.subdirectory("worker-0") / "bird.ctl", "configure"], timeout=10)
        link.birds["worker-1"].kill()
        link.settled(without="worker-1")
        link.speak(vms_of(link.cluster)[2])
        link.settled()
