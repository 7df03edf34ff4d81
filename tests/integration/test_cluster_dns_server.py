"""Cluster DNS as a program on loopback: dig asks it, and the API it follows is a small real server."""

import os
import shutil
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import dnslib
import pytest

from kubeception_sim.agents.dns.server import Server, listen
from kubeception_sim.agents.dns.upstream import Upstream
from kubeception_sim.agents.dns.zone import records
from kubeception_sim.run import Process, run, spawn
from tests.kube_api import KubeApi

SERVICES, PODS = "/api/v1/services", "/api/v1/pods"
SLICES = "/apis/discovery.k8s.io/v1beta1/endpointslices"
SECONDS = 15.0
WEB = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"clusterIP": "10.61.0.9", "ports": [{"name": "https", "port": 443}]},
}
MANY = {"metadata": {"name": "many", "namespace": "shop"}, "spec": {"clusterIP": "None"}}
AWAY = {"metadata": {"name": "away", "namespace": "shop"}, "spec": {"type": "ExternalName", "externalName": "www.example.com"}}
SLICE = {
    "metadata": {"name": "many-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "many"}},
    "endpoints": [{"addresses": [f"10.60.1.{number}"]} for number in range(1, 101)],
    "ports": [],
}


class Dns:
    """The running program."""

    def __init__(self, process: Process, port: int, health: int) -> None:
        self.process, self.port, self.health = process, port, health

    def dig(self, *arguments: str) -> list[str]:
        """The lines of `dig +short`."""
        base = ["dig", "@127.0.0.1", "-p", str(self.port), "+tries=1", "+timeout=3", "+short"]
        return run([*base, *arguments], timeout=10, check=False).stdout.split("\n")[:-1]

    def get(self, page: str) -> tuple[int, str]:
        """A page of the health server; 0 while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}{page}", timeout=3) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> None:
        """Wait until it is."""
        self._until(lambda: self.get("/readyz")[0], 200)

    def says(self, name: str, *expected: str) -> None:
        """Wait until a name has these addresses."""
        self._until(lambda: self.dig(name), [*expected])

    def _until(self, look: Any, expected: object) -> None:
        deadline = time.monotonic() + SECONDS
        while (last := look()) != expected:
            assert time.monotonic() < deadline, f"{last!r}, not {expected!r}\n{self.process.tail()}"
            time.sleep(0.02)


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with closing(KubeApi(SERVICES, SLICES, PODS)) as api:
        yield api


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A name server of others, which knows one address for every name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))

        def serve() -> None:
            while len((received := udp.recvfrom(4096))[0]) > 1:
                question = dnslib.DNSRecord.parse(received[0])
                reply = question.reply()
                reply.add_answer(dnslib.RR(question.q.qname, dnslib.QTYPE.A, ttl=60, rdata=dnslib.A("192.0.2.53")))
                udp.sendto(bytes(reply.pack()), received[1])

        thread = threading.Thread(target=serve)
        thread.start()
        yield Upstream(("127.0.0.1",), udp.getsockname()[1])
        udp.sendto(b"", udp.getsockname())
        thread.join()


@pytest.fixture
def forwarding(upstream: Upstream) -> Iterator[int]:
    """The server in this process, with a zone, in front of others. Its port."""
    udp, tcp = listen("127.0.0.1", 0)
    port = udp.getsockname()[1]
    server = Server(udp, tcp, upstream)
    server.zone = records([AWAY], [], [], "cluster.local")
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield port
    server.stop()
    thread.join()


@pytest.fixture
def start(api: KubeApi, tmp_path: Path) -> Iterator[Any]:
    if shutil.which("dig") is None:
        pytest.skip("dig is not installed: apt-get install bind9-dnsutils")
    (tmp_path / "kubeconfig").write_text(api.kubeconfig())
    with ExitStack() as stack:

        def program(resolv_conf: str = "") -> Dns:
            (tmp_path / "resolv.conf").write_text(resolv_conf)
            port, health = free_port(), free_port()
            argv = [sys.executable, "-m", "kubeception_sim.agents.dns", "--address=127.0.0.1"]
            argv += [f"--port={port}", f"--health={health}", f"--upstream={tmp_path / 'resolv.conf'}"]
            env = {"KUBECONFIG": str(tmp_path / "kubeconfig"), "PYTHONPATH": os.fspath(Path(__file__).parents[2])}
            return Dns(stack.enter_context(spawn(argv, log=tmp_path / "dns.log", env=env)), port, health)

        yield program


def free_port() -> int:
    udp, tcp = listen("127.0.0.1", 0)
    with udp, tcp:
        port = udp.getsockname()[1]
    assert isinstance(port, int)
    return port


def test_it_answers_over_udp_and_tcp_once_it_is_ready(api: KubeApi, start: Any) -> None:
    api.put(SERVICES, WEB, MANY)
    api.put(SLICES, SLICE)
    dns = start()
    dns.ready()
    assert dns.dig("web.shop.svc.cluster.local") == ["10.61.0.9"]
    assert dns.dig("+tcp", "web.shop.svc.cluster.local") == ["10.61.0.9"]
    assert dns.dig("_https._tcp.web.shop.svc.cluster.local", "SRV") == ["0 100 443 web.shop.svc.cluster.local."]
    assert dns.dig("-x", "10.61.0.9") == ["web.shop.svc.cluster.local."]
    # 100 addresses are too many for a datagram: dig comes back over TCP.
    assert len(dns.dig("many.shop.svc.cluster.local")) == 100
    assert dns.dig("example.com") == []


def test_it_follows_changes_and_forgotten_history(api: KubeApi, start: Any) -> None:
    dns = start()
    dns.ready()
    api.put(SERVICES, WEB)
    dns.says("web.shop.svc.cluster.local", "10.61.0.9")
    api.forget()
    api.put(SERVICES, {**WEB, "spec": {"clusterIP": "10.61.0.10"}})
    dns.says("web.shop.svc.cluster.local", "10.61.0.10")
    api.delete(SERVICES, WEB)
    dns.says("web.shop.svc.cluster.local")


def test_it_keeps_serving_when_the_api_goes_and_follows_it_when_it_is_back(api: KubeApi, start: Any) -> None:
    api.put(SERVICES, WEB)
    dns = start()
    dns.ready()
    api.close()
    assert dns.dig("web.shop.svc.cluster.local") == ["10.61.0.9"]
    assert dns.get("/readyz")[0] == 200
    with closing(KubeApi(SERVICES, SLICES, PODS, port=api.port)) as back:
        back.put(SERVICES, {**WEB, "spec": {"clusterIP": "10.61.0.11"}})
        dns.says("web.shop.svc.cluster.local", "10.61.0.11")


def test_it_is_not_ready_before_it_has_listed_everything(api: KubeApi, start: Any) -> None:
    api.close()
    dns = start()
    dns._until(lambda: dns.get("/healthz")[0], 200)
    status, text = dns.get("/readyz")
    assert (status, "services" in text) == (503, True)
    assert "SERVFAIL" in run(["dig", "@127.0.0.1", "-p", str(dns.port), "web.shop.svc.cluster.local"], timeout=10).stdout


def test_malformed_packets_do_not_end_it(api: KubeApi, start: Any) -> None:
    api.put(SERVICES, WEB)
    dns = start()
    dns.ready()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for number in range(300):
            udp.sendto(os.urandom(number % 60), ("127.0.0.1", dns.port))
            udp.sendto(b"\x12\x34\x01\0\0\1\0\0\0\0\0\1" + os.urandom(number % 40), ("127.0.0.1", dns.port))
    with socket.create_connection(("127.0.0.1", dns.port)) as tcp:
        tcp.sendall(b"\0\5hello\xff\xff")
    assert dns.dig("web.shop.svc.cluster.local") == ["10.61.0.9"]
    assert 'kind="internal errors"' not in dns.get("/metrics")[1]


def test_it_ends_when_it_is_told_to(api: KubeApi, start: Any) -> None:
    dns = start()
    dns.ready()
    dns.process.terminate()
    assert dns.process.wait(SECONDS) == 0


def test_names_of_others_are_asked_elsewhere_and_aliases_brought_to_their_end(forwarding: int) -> None:
    base = ["dig", "@127.0.0.1", "-p", str(forwarding), "+tries=1", "+short"]
    assert run([*base, "www.example.org"], timeout=10).stdout.split() == ["192.0.2.53"]
    assert run([*base, "+noedns", "www.example.org"], timeout=10).stdout.split() == ["192.0.2.53"]
    assert run([*base, "away.shop.svc.cluster.local"], timeout=10).stdout.split() == ["www.example.com.", "192.0.2.53"]
    assert run([*base, "none.shop.svc.cluster.local"], timeout=10).stdout.split() == []
