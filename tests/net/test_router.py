"""Hosts in two racks, each with a BIRD of its own, and the fabric's router between them."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric, Rack
from kubeception_sim.network.bird import HOLD_SECONDS, ROUTER_AS, HostPlan, asn_of, host_bird_config
from kubeception_sim.network.router import Neighbour, Router
from kubeception_sim.run import Process, spawn
from tests.net.hosts import Host, host_in

pytestmark = pytest.mark.skipif(shutil.which("bird", path="/usr/sbin:/usr/bin") is None, reason="no bird in /usr/sbin: bird2")

PODS = IPv4Network("10.60.0.0/16")
RACKS = (Rack("a", IPv4Interface("10.77.1.1/24")), Rack("b", IPv4Interface("10.77.2.1/24")))


@dataclass
class Speaker:
    """A host that speaks BGP. Its pod is an address on a bridge of the host, the second of its subnet."""

    host: Host
    bird: Process
    subnet: IPv4Network

    @property
    def pod(self) -> IPv4Address:
        return self.subnet[2]


@dataclass
class Racks:
    """Two racks under one router."""

    lab: Lab
    fabric: Fabric
    router: Router
    stack: ExitStack

    def speaker(self, name: str, rack: str, number: int, subnet: str, announce: str = "") -> Speaker:
        """A host whose pods are in `subnet`, and which says that they are in `announce`."""
        return self.stack.enter_context(self._speaking(name, rack, number, IPv4Network(subnet), IPv4Network(announce or subnet)))

    @contextmanager
    def _speaking(self, name: str, rack: str, number: int, subnet: IPv4Network, announce: IPv4Network) -> Iterator[Speaker]:
        with host_in(self.lab, self.fabric, name, rack, number) as host:
            host.ip("link", "add", "pods", "type", "bridge")
            host.ip("address", "add", f"{subnet[2]}/32", "dev", "pods")
            host.ip("link", "set", "pods", "up")
            gateway = next(each.gateway.ip for each in RACKS if each.name == rack)
            folder = self.lab.subdirectory("hosts", name)
            plan = HostPlan(host.address, asn_of(host.address), gateway, (announce,), PODS)
            (folder / "bird.conf").write_text(host_bird_config(plan))
            argv = ("bird", "-f", "-c", folder / "bird.conf", "-s", folder / "bird.ctl", "-P", folder / "bird.pid")
            with spawn(argv, log=folder / "bird.log", env=self.lab.env, namespace=host.namespace, grace=1) as bird:
                yield Speaker(host, bird, subnet)


@pytest.fixture
def racks(lab: Lab) -> Iterator[Racks]:
    with ExitStack() as stack:
        fabric = stack.enter_context(Fabric.create(lab, racks=RACKS))
        router = stack.enter_context(Router.start(lab, fabric, PODS))
        yield Racks(lab, fabric, router, stack)


def eventually(what: Callable[[], object], within: float) -> float:
    """Poll until `what` is true; how long that took. Fails with the last answer."""
    start = time.monotonic()
    while not (last := what()):
        assert time.monotonic() - start < within, f"still {last!r} after {within} s"
        time.sleep(0.05)
    return time.monotonic() - start


def announced(router: Router) -> dict[str, str]:
    return {str(route.subnet): str(route.next_hop) for route in router.routes()}


def test_pods_of_three_hosts_in_two_racks_reach_each_other(racks: Racks) -> None:
    one = racks.speaker("h1", "a", 11, "10.60.1.0/24")
    two = racks.speaker("h2", "a", 12, "10.60.2.0/24")
    three = racks.speaker("h3", "b", 11, "10.60.3.0/24")
    everything = {"10.60.1.0/24": "10.77.1.11", "10.60.2.0/24": "10.77.1.12", "10.60.3.0/24": "10.77.2.11"}
    eventually(lambda: announced(racks.router) == everything, 20)
    for source in (one, two, three):
        for target in {one.subnet, two.subnet, three.subnet} - {source.subnet}:
            eventually(lambda to=target[2], by=source: by.host.reaches(to, source=by.pod), 10)  # type: ignore[misc]
    sessions = {route.subnet: route.session for route in racks.router.routes()}
    assert racks.router.neighbours() == [
        Neighbour(each.host.address, asn_of(each.host.address), sessions[each.subnet], "Established")
        for each in (one, two, three)
    ]


def test_hosts_of_one_rack_send_to_each_other_and_across_to_the_router(racks: Racks) -> None:
    one = racks.speaker("h1", "a", 11, "10.60.1.0/24")
    racks.speaker("h2", "a", 12, "10.60.2.0/24")
    racks.speaker("h3", "b", 11, "10.60.3.0/24")
    eventually(lambda: one.host.ip("route", "show", "proto", "bird").count("via") == 2, 20)
    assert "10.60.2.0/24 via 10.77.1.12" in one.host.ip("route", "show")
    assert "10.60.3.0/24 via 10.77.1.1 " in one.host.ip("route", "show")


def test_the_subnet_of_a_host_whose_bird_dies_is_withdrawn_within_the_hold_time(racks: Racks) -> None:
    one = racks.speaker("h1", "a", 11, "10.60.1.0/24")
    two = racks.speaker("h2", "b", 11, "10.60.2.0/24")
    eventually(lambda: "10.60.1.0/24" in two.host.ip("route", "show"), 20)
    one.bird.kill()
    took = eventually(lambda: "10.60.1.0/24" not in two.host.ip("route", "show"), HOLD_SECONDS + 2)
    assert took > 2, "a BIRD that is started anew had no time to come back"


def test_the_subnet_of_a_host_that_falls_silent_is_withdrawn_after_the_hold_time(racks: Racks) -> None:
    one = racks.speaker("h1", "a", 11, "10.60.1.0/24")
    eventually(lambda: announced(racks.router), 20)
    os.kill(one.bird.pid, signal.SIGSTOP)
    try:
        took = eventually(lambda: not announced(racks.router), 2 * HOLD_SECONDS + 4)
    finally:
        os.kill(one.bird.pid, signal.SIGCONT)
    assert took < HOLD_SECONDS + 2


@pytest.mark.parametrize("foreign", ["10.99.0.0/24", "10.60.0.0/16", "10.60.7.0/25", "10.77.2.0/24"])
def test_a_host_that_announces_what_is_no_subnet_of_pods_is_refused(racks: Racks, foreign: str) -> None:
    racks.speaker("h1", "a", 11, "10.60.1.0/24", announce=foreign)
    eventually(lambda: [str(route.subnet) for route in racks.router.refused()] == [foreign], 20)
    assert racks.router.routes() == []


def test_a_stranger_with_the_routers_number_gets_no_session(racks: Racks) -> None:
    """The session has to be external: a host with the router's own number would be believed as the router is."""
    with host_in(racks.lab, racks.fabric, "h1", "a", 11) as host:
        plan = HostPlan(host.address, ROUTER_AS, RACKS[0].gateway.ip, (IPv4Network("10.60.1.0/24"),), PODS)
        folder = racks.lab.subdirectory("stranger")
        (folder / "bird.conf").write_text(host_bird_config(plan))
        argv = ("bird", "-f", "-c", folder / "bird.conf", "-s", folder / "bird.ctl", "-P", folder / "bird.pid")
        with spawn(argv, log=folder / "bird.log", env=racks.lab.env, namespace=host.namespace, grace=1):
            log = racks.lab.directory / "router" / "bird.log"
            eventually(lambda: "Bad peer AS" in log.read_text(), 20)
        assert racks.router.routes() == []
