"""The balancer before two HTTPS servers, and a client that asks ten times a second."""

import shutil
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import trustme

from kubeception_sim.errors import BadInput, DeadlineExceeded, HarnessError
from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric
from kubeception_sim.network.balancer import Balancer
from kubeception_sim.network.haproxy import Backend, Health, Service
from kubeception_sim.run import Process, spawn

pytestmark = pytest.mark.skipif(
    shutil.which("haproxy", path="/usr/sbin:/usr/bin") is None, reason="no haproxy in /usr/sbin: apt-get install haproxy"
)

SERVER = Path(__file__).with_name("api_server.py")
HERE = IPv4Address("10.77.0.1")
PORTS = {"m1": 7001, "m2": 7002, "m3": 7003}
UP_SECONDS = 10.0


@dataclass
class Api:
    """Servers, the balancer before them, and what a client of it sees."""

    lab: Lab
    fabric: Fabric
    authority: trustme.CA = field(default_factory=trustme.CA)

    @property
    def ca(self) -> Path:
        path = self.lab.directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return path

    def serve(self, stack: ExitStack, name: str) -> Process:
        pem = self.lab.directory / f"{name}.pem"
        self.authority.issue_cert(str(HERE)).private_key_and_cert_chain_pem.write_to_path(str(pem))
        argv = (sys.executable, SERVER, name, str(PORTS[name]), pem)
        log = self.lab.directory / f"{name}.log"
        return stack.enter_context(spawn(argv, log=log, env=self.lab.env, namespace=self.fabric.namespace, grace=1))

    def ask(self) -> str:
        """The name of the server that answers; empty when none does within a second."""
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            with self.fabric.socket() as plain:
                plain.settimeout(1)
                plain.connect((str(HERE), 6443))
                with context.wrap_socket(plain, server_hostname=str(HERE)) as tls:
                    tls.sendall(b"GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n")
                    return b"".join(iter(lambda: tls.recv(4096), b"")).decode().rpartition("\r\n")[2]
        except OSError:
            return ""


@pytest.fixture
def api(lab: Lab, fabric: Fabric) -> Api:
    return Api(lab, fabric)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def service(*names: str) -> Service:
    return Service("api", HERE, 6443, tuple(Backend(name, HERE, PORTS[name]) for name in names))


def status(balancer: Balancer) -> dict[str, bool]:
    return {each.name: each.up for each in balancer.backends()}


def settled(balancer: Balancer, **wanted: bool) -> None:
    """Wait until the balancer sees the servers as they are."""
    deadline = time.monotonic() + UP_SECONDS
    while status(balancer) != wanted:
        assert time.monotonic() < deadline, f"{balancer.backends()}, not {wanted}"
        time.sleep(0.05)


def test_both_servers_are_used(api: Api, stack: ExitStack) -> None:
    for name in ("m1", "m2"):
        api.serve(stack, name)
    balancer = stack.enter_context(Balancer.start(api.lab, api.fabric, (replace(service("m1", "m2"), ca=api.ca),)))
    settled(balancer, m1=True, m2=True)
    assert {api.ask() for _ in range(8)} == {"m1", "m2"}


def test_a_server_that_dies_is_missed_for_two_seconds_at_most_and_used_again(api: Api, stack: ExitStack) -> None:
    first = api.serve(stack, "m1")
    api.serve(stack, "m2")
    balancer = stack.enter_context(Balancer.start(api.lab, api.fabric, (service("m1", "m2"),)))
    settled(balancer, m1=True, m2=True)
    first.kill()
    killed, last_failure = time.monotonic(), 0.0
    while (now := time.monotonic()) < killed + 3:
        if not api.ask():
            last_failure = time.monotonic() - killed
        time.sleep(max(0.0, now + 0.1 - time.monotonic()))
    assert last_failure <= 2.0
    settled(balancer, m1=False, m2=True)
    api.serve(stack, "m1")
    settled(balancer, m1=True, m2=True)
    assert "m1" in {api.ask() for _ in range(8)}


def test_a_connection_to_a_server_that_goes_down_is_ended(api: Api, stack: ExitStack) -> None:
    """Its client, a watch say, connects anew at once, and does not wait for a server that is no more."""
    only = api.serve(stack, "m1")
    balancer = stack.enter_context(Balancer.start(api.lab, api.fabric, (service("m1"),)))
    settled(balancer, m1=True)
    balancer.await_up("api", within=UP_SECONDS)
    with api.fabric.socket() as watch:
        watch.settimeout(5)
        watch.connect((str(HERE), 6443))
        only.kill()
        assert watch.recv(1) == b""


def test_a_drained_server_gets_no_new_connections_and_keeps_the_old_until_it_is_admitted(api: Api, stack: ExitStack) -> None:
    api.serve(stack, "m1")
    balancer = stack.enter_context(Balancer.start(api.lab, api.fabric, (service("m1", "m2"),)))
    settled(balancer, m1=True, m2=False)
    with pytest.raises(DeadlineExceeded, match="m2"):
        balancer.admit("api", "m2", within=0.5)
    with api.fabric.socket() as watch:
        watch.settimeout(0.5)
        watch.connect((str(HERE), 6443))
        api.serve(stack, "m2")
        settled(balancer, m1=True, m2=True)
        began = time.monotonic()
        balancer.drain("api", "m1", grace=0.5)
        assert time.monotonic() - began >= 0.5, "the watch has not ended"
        assert {api.ask() for _ in range(8)} == {"m2"}
        with pytest.raises(TimeoutError):
            watch.recv(1)
    with pytest.raises(BadInput, match="no server api/m3"):
        balancer.drain("api", "m3", grace=0)
    balancer.admit("api", "m1", within=UP_SECONDS)
    assert {api.ask() for _ in range(8)} == {"m1", "m2"}


def test_a_server_that_is_not_ready_gets_no_connections(api: Api, stack: ExitStack) -> None:
    for name in ("m1", "m2"):
        api.serve(stack, name)
    balancer = stack.enter_context(Balancer.start(api.lab, api.fabric, (service("m1", "m2"),)))
    settled(balancer, m1=True, m2=True)
    unready = api.lab.directory / "m1.pem.unready"
    unready.touch()
    settled(balancer, m1=False, m2=True)
    assert {api.ask() for _ in range(4)} == {"m2"}
    unready.unlink()
    settled(balancer, m1=True, m2=True)


def test_a_certificate_of_another_authority_keeps_a_server_out(api: Api, stack: ExitStack) -> None:
    api.serve(stack, "m1")
    other = api.lab.directory / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    balancer = stack.enter_context(Balancer.start(api.lab, api.fabric, (replace(service("m1"), ca=other),)))
    settled(balancer, m1=False)
    with pytest.raises(DeadlineExceeded, match=r"L6RSP"):
        balancer.await_up("api", within=1)


def test_servers_come_and_go_while_connections_stay(api: Api, stack: ExitStack) -> None:
    for name in PORTS:
        api.serve(stack, name)
    balancer = stack.enter_context(Balancer.start(api.lab, api.fabric, (service("m1"),)))
    settled(balancer, m1=True)
    with api.fabric.socket() as watch:
        watch.settimeout(5)
        watch.connect((str(HERE), 6443))
        balancer.add("api", Backend("m2", HERE, PORTS["m2"]))
        settled(balancer, m1=True, m2=True)
        balancer.add("api", Backend("m3", HERE, PORTS["m3"]))
        balancer.remove("api", "m2", grace=1)
        settled(balancer, m1=True, m3=True)
        context = ssl.create_default_context(cafile=str(api.ca))
        with context.wrap_socket(watch, server_hostname=str(HERE)) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n")
            assert tls.recv(4096).startswith(b"HTTP/1.1 200")
    assert {api.ask() for _ in range(8)} == {"m1", "m3"}


def test_what_is_not_there_is_neither_added_to_nor_removed(api: Api, stack: ExitStack) -> None:
    balancer = stack.enter_context(Balancer.start(api.lab, api.fabric, (service("m1"),)))
    with pytest.raises(BadInput, match="no service 'web'"):
        balancer.add("web", Backend("m1", HERE, 1))
    with pytest.raises(BadInput, match="takes no server api/m1"):
        balancer.add("api", Backend("m1", HERE, 1))
    with pytest.raises(BadInput, match="no server api/m9"):
        balancer.remove("api", "m9", grace=0)


def test_a_plain_service_is_checked_by_connecting(api: Api, stack: ExitStack) -> None:
    plain = stack.enter_context(api.fabric.socket())
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    plain.bind((str(HERE), PORTS["m1"]))
    plain.listen()
    balancer = stack.enter_context(Balancer.start(api.lab, api.fabric, (replace(service("m1", "m2"), health=Health.TCP),)))
    settled(balancer, m1=True, m2=False)


def test_an_address_that_is_taken_is_an_error_with_the_log(api: Api, stack: ExitStack) -> None:
    taken = stack.enter_context(api.fabric.socket())
    taken.bind((str(HERE), 6443))
    taken.listen()
    with pytest.raises(HarnessError, match=r"(?s)the balancer ended with 1.*cannot bind socket"):
        stack.enter_context(Balancer.start(api.lab, api.fabric, (service("m1"),)))
