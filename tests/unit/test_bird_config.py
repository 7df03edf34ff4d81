from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from kubeception_sim.giantnetes.cluster import ROUTER_AS as ROUTER_AS_OF_CLUSTER
from kubeception_sim.network import Rack
from kubeception_sim.network.bird import ROUTER_AS, HostPlan, RouterPlan, asn_of, bird_config, host_bird_config, listener_of
from kubeception_sim.network.router import Neighbour, Route, parse_neighbours, parse_routes

GOLDEN = Path(__file__).parents[1] / "golden" / "network"
PODS = IPv4Network("10.60.0.0/16")
HOST = IPv4Address("10.77.1.11")


def test_the_router_listens_in_every_rack_and_knows_which_subnet_is_whose() -> None:
    racks = (Rack("a", IPv4Interface("10.77.1.1/24")), Rack("b", IPv4Interface("10.77.2.1/24")))
    hosts = {
        IPv4Address("10.77.2.11"): IPv4Network("10.60.3.0/24"),
        HOST: IPv4Network("10.60.1.0/24"),
        IPv4Address("10.77.1.12"): IPv4Network("10.60.2.0/24"),
    }
    assert bird_config(RouterPlan(IPv4Address("10.77.0.1"), racks, hosts)) == (GOLDEN / "router.conf").read_text()


def test_a_router_that_knows_no_host_takes_nothing() -> None:
    assert "accept" not in bird_config(RouterPlan(IPv4Address("10.77.0.1"), (), {}))


def test_a_host_calls_its_router_and_announces_its_own_pods() -> None:
    plan = HostPlan(HOST, asn_of(HOST), IPv4Address("10.77.1.1"), (IPv4Network("10.60.1.0/24"),), PODS)
    assert host_bird_config(plan) == (GOLDEN / "host.conf").read_text()


def test_the_number_of_a_host_is_the_last_half_of_its_address_above_the_routers() -> None:
    assert asn_of(HOST) == 4_200_000_000 + 0x010B


def test_the_cluster_and_the_router_mean_the_same_number() -> None:
    assert ROUTER_AS == ROUTER_AS_OF_CLUSTER


def test_a_rack_with_a_dash_has_a_name_that_bird_takes() -> None:
    assert listener_of(Rack("a-1", IPv4Interface("10.77.1.1/24"))) == "rack_a_1"


def test_routes_are_read_with_their_further_ways() -> None:
    text = (
        "BIRD 2.0.12 ready.\nTable master4:\n"
        "10.60.2.0/24         unicast [rack_b_1 02:43:10.101] * (100) [AS4200000523i]\n\tvia 10.77.2.11 on br-b\n"
        "10.60.1.0/24         unicast [rack_a_1 02:43:10.101] * (100) [AS4200000267i]\n\tvia 10.77.1.11 on br-a\n"
        "                     unicast [rack_a_2 02:43:12.001] (100) [AS4200000268i]\n\tvia 10.77.1.12 on br-a\n"
        "10.60.9.0/24         unreachable [rack_a_2 02:43:12.001] * (100) [AS4200000268i]\n"
    )
    one, two = IPv4Network("10.60.1.0/24"), IPv4Network("10.60.2.0/24")
    assert parse_routes(text) == [
        Route(one, IPv4Address("10.77.1.11"), "rack_a_1"),
        Route(one, IPv4Address("10.77.1.12"), "rack_a_2", best=False),
        Route(two, IPv4Address("10.77.2.11"), "rack_b_1"),
    ]


def test_neighbours_are_read_and_listeners_are_not_among_them() -> None:
    text = (
        "Name       Proto      Table      State  Since         Info\n"
        "device1    Device     ---        up     02:43:10.101  \n\n"
        "rack_a     BGP        ---        start  02:43:10.101  Passive       \n"
        "  BGP state:          Passive\n    Neighbor range:   10.77.1.0/24\n    Local AS:         4200000000\n\n"
        "rack_a_1   BGP        ---        up     02:43:14.101  Established   \n"
        "  BGP state:          Established\n    Neighbor address: 10.77.1.11\n    Neighbor AS:      4200000267\n"
    )
    assert parse_neighbours(text) == [Neighbour(HOST, 4_200_000_267, "rack_a_1", "Established")]


def test_nothing_announced_is_no_route() -> None:
    assert parse_routes("BIRD 2.0.12 ready.\n") == []
    assert parse_neighbours("BIRD 2.0.12 ready.\n") == []
