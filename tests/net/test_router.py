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
from kubeception_sim.network.bird import HOLD_SECONDS, RECEIVE_MAX, ROUTER_AS, HostPlan, asn_of, host_bird_config
from kubeception_sim.network.router import Neighbour, Router
from kubeception_sim.run import Process, spawn
from tests.net.hosts import Host, host_in

pytestmark = pytest.mark.skipif(shutil.which("bird", path="/usr/sbin:/usr/bin") is None, reason="no bird in /usr/sbin: bird2")

PODS = IPv4Network("10.60.0.0/16")
RACKS = (Rack("a", IPv4Interface("10.77.1.1/24")), Rack("b", IPv4Interface("10.77.2.1/24")))
HOSTS = {
    IPv4Address("10.77.1.11"): IPv4Network("10.60.1.0/24"),
    IPv4Address("10.77.1.12"): IPv4Network("10.60.2.0/24"),
    IPv4Address("10.77.2.11"): IPv4Network("10.60.3.0/24"),
}


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

    def speaker(self, name: str, rack: str, number: int, subnet: str, announce: tuple[str, ...] = (), lie: str = "") -> Speaker:
        """A host whose pods are in `subnet`, and which says that they are in `announce`; `lie` is what it adds to each route."""
        said = tuple(IPv4Network(each) for each in announce or (subnet,))
        return self.stack.enter_context(self._speaking(name, rack, number, IPv4Network(subnet), said, lie))

    @contextmanager
    def _speaking(
        self, name: str, rack: str, number: int, subnet: IPv4Network, announce: tuple[IPv4Network, ...], lie: str
    ) -> Iterator[Speaker]:
        with host_in(self.lab, self.fabric, name, rack, number) as host:
            host.ip("link", "add", "pods", "type", "bridge")
            host.ip("address", "add", f"{subnet[2]}/32", "dev", "pods")
            host.ip("link", "set", "pods", "up")
            gateway = next(each.gateway.ip for each in RACKS if each.name == rack)
            folder = self.lab.subdirectory("hosts", name)
            plan = HostPlan(host.address, asn_of(host.address), gateway, announce, PODS)
            config = host_bird_config(plan).replace(
                'export where proto = "pods";', f'export filter {{ if proto = "pods" then {{ {lie} accept; }} reject; }};'
            )
            (folder / "bird.conf").write_text(config if lie else host_bird_config(plan))
            argv = ("bird", "-f", "-c", folder / "bird.conf", "-s", folder / "bird.ctl", "-P", folder / "bird.pid")
            with spawn(argv, log=folder / "bird.log", env=self.lab.env, namespace=host.namespace, grace=1) as bird:
                yield Speaker(host, bird, subnet)


@pytest.fixture
def racks(lab: Lab) -> Iterator[Racks]:
    with ExitStack() as stack:
        fabric = stack.enter_context(Fabric.create(lab, racks=RACKS))
        router = stack.enter_context(Router.start(lab, fabric, HOSTS))
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
    two = racks.speaker("h3", "b", 11, "10.60.3.0/24")
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


def test_of_all_that_a_host_announces_its_own_subnet_is_taken_and_nothing_else(racks: Racks) -> None:
    foreign = {"10.60.3.0/24", "10.60.7.0/24", "10.60.1.0/25", "10.60.0.0/16", "10.77.2.0/24", "0.0.0.0/0", "0.0.0.0/1"}
    liar = racks.speaker("h1", "a", 11, "10.60.1.0/24", announce=("10.60.1.0/24", *sorted(foreign)))
    honest = racks.speaker("h3", "b", 11, "10.60.3.0/24")
    eventually(lambda: announced(racks.router) == {"10.60.1.0/24": "10.77.1.11", "10.60.3.0/24": "10.77.2.11"}, 20)
    eventually(lambda: {str(route.subnet) for route in racks.router.refused()} == foreign, 5)
    eventually(lambda: liar.host.reaches(honest.pod, source=liar.pod), 10)
    assert [each.state for each in racks.router.neighbours()] == ["Established", "Established"]


def test_a_host_that_comes_first_takes_no_subnet_from_the_one_that_it_belongs_to(racks: Racks) -> None:
    racks.speaker("h1", "a", 11, "10.60.1.0/24", announce=("10.60.3.0/24",))
    eventually(lambda: [str(route.subnet) for route in racks.router.refused()] == ["10.60.3.0/24"], 20)
    assert racks.router.routes() == []
    racks.speaker("h3", "b", 11, "10.60.3.0/24")
    eventually(lambda: announced(racks.router) == {"10.60.3.0/24": "10.77.2.11"}, 20)


@pytest.mark.parametrize(
    "lie",
    ["bgp_next_hop = 10.77.1.12;", "bgp_path.prepend(4200000267);", "bgp_path.prepend(64512);"],
    ids=["next hop", "longer", "AS"],
)
def test_a_hosts_own_subnet_by_another_way_is_refused(racks: Racks, lie: str) -> None:
    racks.speaker("h1", "a", 11, "10.60.1.0/24", lie=lie)
    eventually(lambda: [str(route.subnet) for route in racks.router.refused()] == ["10.60.1.0/24"], 20)
    assert racks.router.routes() == []


def test_a_host_that_the_router_does_not_know_has_a_session_and_no_routes(racks: Racks) -> None:
    racks.speaker("h9", "a", 99, "10.60.9.0/24")
    eventually(lambda: [str(route.subnet) for route in racks.router.refused()] == ["10.60.9.0/24"], 20)
    assert racks.router.routes() == []
    assert [each.state for each in racks.router.neighbours()] == ["Established"]


def test_a_host_that_announces_without_end_costs_the_router_a_hundred_routes(racks: Racks) -> None:
    many = [str(subnet) for subnet in IPv4Network("10.99.0.0/16").subnets(new_prefix=24)]
    racks.speaker("h1", "a", 11, "10.60.1.0/24", announce=tuple(many))
    eventually(lambda: len(racks.router.refused()) == RECEIVE_MAX, 20)
    racks.speaker("h3", "b", 11, "10.60.3.0/24")
    eventually(lambda: announced(racks.router) == {"10.60.3.0/24": "10.77.2.11"}, 20)
    assert len(racks.router.refused()) == RECEIVE_MAX


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
