"""A real HAProxy behind the agent: who gets where, what a reload costs, and what a bad configuration does."""

import base64
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from kubeception_sim.agents.edge import config, ingress
from kubeception_sim.agents.edge.config import MASTER_PORT, WORKER_PORT
from kubeception_sim.agents.edge.gates import Gate, Server
from kubeception_sim.agents.edge.ingress import Wanted
from kubeception_sim.agents.edge.proxy import Proxy, Refused

DOMAIN = "clusters.example"
CLIENT = "192.0.2.77"


class Web(ThreadingHTTPServer):
    """Answers with its name, and whom it was told of; over TLS with a certificate."""

    daemon_threads = True

    def __init__(self, name: str, address: tuple[str, int] = ("127.0.0.1", 0), tls: trustme.LeafCert | None = None) -> None:
        self.name = name
        super().__init__(address, _Handler)
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.configure_cert(context)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Health checks end in the middle of a handshake."""


class _Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        said = f"{self.server.name} {self.headers.get('X-Forwarded-For')} {self.headers.get('X-Forwarded-Proto')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def connected(port: int) -> socket.socket:
    """As the balancer connects, which tells who the client is."""
    found = socket.create_connection(("127.0.0.1", port), timeout=10)
    found.sendall(f"PROXY TCP4 {CLIENT} 10.77.0.2 40000 80\r\n".encode())
    return found


def asked(port: int, host: str, path: str = "/", trust: ssl.SSLContext | None = None) -> tuple[int, str]:
    """Status and body. Raises OSError, which is ssl.SSLError's kind too."""
    with connected(port) as raw, trust.wrap_socket(raw, server_hostname=host) if trust else raw as found:
        found.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        said = b"".join(iter(lambda: found.recv(65536), b""))
    head, _, body = said.partition(b"\r\n\r\n")
    if not head:
        raise ConnectionError("closed without an answer")
    return int(head.split()[1]), body.decode()


def inside(proxy: Proxy, port: int, tls: trustme.LeafCert | None = None, **webs: Web) -> Wanted:
    """An entrance of Ingresses: NAME.blue.clusters.example for each server."""
    ingresses, services, endpoints = [], [], []
    for name, web in webs.items():
        meta = {"namespace": "default", "name": name}
        path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 80}}}}
        rule = {"host": f"{name}.blue.{DOMAIN}", "http": {"paths": [path]}}
        ingresses.append({"metadata": meta, "spec": {"rules": [rule], "tls": [{"secretName": "tls"}] if tls else []}})
        services.append({"metadata": meta, "spec": {"ports": [{"name": "web", "port": 80}]}})
        subset = {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"name": "web", "port": web.server_port}]}
        endpoints.append({"metadata": meta, "subsets": [subset]})
    wanted = ingress.render(ingresses, services, endpoints, [_secret(tls)] if tls else [], folder=str(proxy.folder), port=port)
    assert not wanted.problems
    return wanted


def _secret(tls: trustme.LeafCert) -> dict[str, Any]:
    chain = b"".join(each.bytes() for each in tls.cert_chain_pems)
    data = {"tls.crt": base64.b64encode(chain).decode(), "tls.key": base64.b64encode(tls.private_key_pem.bytes()).decode()}
    return {"metadata": {"namespace": "default", "name": "tls"}, "data": data}


def test_a_client_comes_by_name_through_both_levels_and_is_known_to_the_end(
    tmp_path: Path, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    """The outer level at free ports; the inner one is what it sends the connections of workers to."""
    leaf = authority.issue_cert(f"hello.blue.{DOMAIN}")
    api = authority.issue_cert(f"api.blue.{DOMAIN}", f"api.red.{DOMAIN}")
    ports = free_port(), free_port(), free_port()
    hello = Web("hello")
    Web("blue's API", ("127.88.0.1", MASTER_PORT), api)
    Web("red's API", ("127.88.0.2", MASTER_PORT), api)
    blue = Gate("blue", (Server("master-0", "127.88.0.1"),), (Server("worker-0", "127.0.0.1"),))
    red = Gate("red", (Server("master-0", "127.88.0.2"),))
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    with Proxy(tmp_path / "in") as inner, Proxy(tmp_path / "out") as outer:
        inner.apply(inside(inner, WORKER_PORT, leaf, hello=hello))
        outer.apply(Wanted(config.render([blue, red], DOMAIN, str(outer.folder), ports)))
        until(lambda: asked(ports[1], f"hello.blue.{DOMAIN}")[0] == 200)
        assert asked(ports[1], f"hello.blue.{DOMAIN}:80") == (200, f"hello {CLIENT} None")
        assert asked(ports[2], f"hello.blue.{DOMAIN}", trust=trust) == (200, f"hello {CLIENT} https")
        assert asked(ports[0], f"api.blue.{DOMAIN}", trust=trust)[1].startswith("blue's API")
        assert asked(ports[0], f"api.red.{DOMAIN}", trust=trust)[1].startswith("red's API")
        # Nobody is what it is not: names without an owner, names of others on the wrong port, and what is no TLS.
        assert asked(ports[1], f"hello.green.{DOMAIN}")[0] == 404
        assert asked(ports[1], f"other.blue.{DOMAIN}")[0] == 404
        assert asked(ports[1], f"xblue.{DOMAIN}")[0] == 404
        for port, host in ((ports[0], f"api.green.{DOMAIN}"), (ports[0], f"hello.blue.{DOMAIN}"), (ports[2], f"x.red.{DOMAIN}")):
            with pytest.raises(OSError):  # noqa: PT011
                asked(port, host, trust=trust)
        with pytest.raises(OSError):  # noqa: PT011
            asked(ports[0], f"api.blue.{DOMAIN}")


def until(what: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def until_said(connection: socket.socket, text: bytes) -> bool:
    said = b""
    while text not in said and (chunk := connection.recv(65536)):
        said += chunk
    return text in said


def test_a_name_without_a_certificate_is_closed_and_a_bad_pair_keeps_nobody_else_out(
    proxy: Proxy, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    port = free_port()
    wanted = inside(proxy, port, authority.issue_cert(f"hello.blue.{DOMAIN}"), hello=Web("hello"))
    (problem,) = proxy.apply(Wanted(wanted.text, {**wanted.certificates, "bad.pem": b"no certificate"}))
    assert problem.startswith("bad.pem: ")
    assert asked(port, f"hello.blue.{DOMAIN}", trust=trust)[0] == 200
    with pytest.raises(ssl.SSLError):
        asked(port, f"other.blue.{DOMAIN}", trust=trust)


def test_a_reload_costs_no_request_and_keeps_open_connections(proxy: Proxy) -> None:
    port, one, two = free_port(), Web("one"), Web("two")
    proxy.apply(inside(proxy, port, one=one))
    failed: list[str] = []
    counted = 0
    stop = threading.Event()

    def clients() -> None:
        nonlocal counted
        while not stop.is_set():
            try:
                status, _ = asked(port, f"one.blue.{DOMAIN}")
                counted += 1
            except OSError as error:
                failed.append(str(error))
            else:
                failed.extend([str(status)] if status != 200 else [])

    threads = [threading.Thread(target=clients) for _ in range(4)]
    for each in threads:
        each.start()
    with connected(port) as lasting:
        lasting.sendall(f"GET / HTTP/1.1\r\nHost: one.blue.{DOMAIN}\r\n\r\n".encode())
        assert until_said(lasting, CLIENT.encode())
        for number in range(6):
            proxy.apply(inside(proxy, port, one=one) if number % 2 else inside(proxy, port, one=one, two=two))
        lasting.sendall(f"GET / HTTP/1.1\r\nHost: one.blue.{DOMAIN}\r\nConnection: close\r\n\r\n".encode())
        assert until_said(lasting, CLIENT.encode())
    stop.set()
    for each in threads:
        each.join()
    assert proxy.reloads == 6
    assert counted > 50
    assert failed == []


def test_what_haproxy_does_not_take_replaces_nothing(proxy: Proxy) -> None:
    port = free_port()
    wanted = inside(proxy, port, hello=Web("hello"))
    proxy.apply(wanted)
    with pytest.raises(Refused, match="unknown keyword"):
        proxy.apply(Wanted(wanted.text + "nonsense\n"))
    assert asked(port, f"hello.blue.{DOMAIN}")[0] == 200
    assert (proxy.reloads, proxy.problem) == (0, "")


def test_the_same_again_is_no_reload(proxy: Proxy) -> None:
    wanted = inside(proxy, free_port(), hello=Web("hello"))
    proxy.apply(wanted)
    proxy.apply(wanted)
    assert proxy.reloads == 0
