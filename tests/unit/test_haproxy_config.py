from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from kubeception_sim.network.balancer import BackendStatus, parse_status
from kubeception_sim.network.haproxy import Backend, Health, Service, haproxy_config, server_options

GOLDEN = Path(__file__).parents[1] / "golden" / "network"
MASTERS = tuple(Backend(f"m{n}", IPv4Address(f"10.77.{n}.11"), 6443) for n in (1, 2))
API = Service("api", IPv4Address("10.77.0.1"), 6443, MASTERS)
PLAIN = Service("web", IPv4Address("10.77.0.1"), 80, (Backend("w1", IPv4Address("10.77.1.21"), 8080),), Health.TCP)


def test_each_service_is_a_listener_with_its_servers() -> None:
    assert haproxy_config((API, PLAIN), Path("/run/lab/haproxy.ctl")) == (GOLDEN / "haproxy.cfg").read_text()


def test_an_authority_judges_the_servers_in_health_checks() -> None:
    assert "check-ssl verify required ca-file /ca.pem " in server_options(replace(API, ca=Path("/ca.pem")))
    assert "check-ssl verify none " in server_options(API)


def test_the_status_lists_servers_alone() -> None:
    text = (
        "# pxname,svname,scur,status,check_status\n"
        "api,FRONTEND,3,OPEN,\n"
        "api,m1,2,UP,L7OK\n"
        "api,m2,0,DOWN 1/2,* L4CON\n"
        "api,m3,0,MAINT,\n"
        "api,BACKEND,3,UP,\n\n"
    )
    assert parse_status(text) == [
        BackendStatus("api", "m1", True, 2, "L7OK"),
        BackendStatus("api", "m2", False, 0, "L4CON"),
        BackendStatus("api", "m3", False, 0, ""),
    ]
