"""The admin face as it is served: TLS and client certificates, event streams, files, and clients that behave badly."""

import http.client
import json
import multiprocessing
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from mayu_py import config
from mayu_py.core.verbs import Label
from mayu_py.services.desk import Desk
from mayu_py.services.http import server, stream
from mayu_py.store import Happened, Stamp
from mayu_py.store.sqlite import SqliteStore
from tests.integration.http_face import folder, tokens

DEADLINE = 15.0
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Running:
    """An admin worker in a process of its own."""

    port: int
    settings: config.Config
    folder: Path
    stop: int  # a byte has it finish
    ca: trustme.CA | None = None

    def context(self, client: str | None = None) -> ssl.SSLContext | None:
        """What a client with a certificate for that name needs; None without TLS."""
        if self.ca is None:
            return None
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if client is not None:
            self.ca.issue_cert(common_name=client).configure_cert(context)
        return context

    def connect(self, client: str | None = None) -> http.client.HTTPConnection:
        context = self.context(client)
        if context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        return http.client.HTTPSConnection("localhost", self.port, timeout=DEADLINE, context=context)

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, client: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; header names have `_` for `-`."""
        with closing(self.connect(client)) as connection:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            with connection.getresponse() as answer:
                return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    @contextmanager
    def follow(self, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """An event stream."""
        with closing(self.connect()) as connection:
            told = {"Accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
            connection.request("GET", "/v1/events", headers=told)
            with connection.getresponse() as answer:
                yield answer

    def raw(self, data: bytes, seconds: float = 0.5) -> bytes:
        """What comes back for plain bytes, as far as it comes at once."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as plain:
            plain.settimeout(seconds)
            try:
                plain.sendall(data)
                return plain.recv(65536)
            except OSError:
                return b""

    def label(self, key: str) -> None:
        """Something that happens, written by another process."""
        with Desk("other", self.settings.settings, lambda: SqliteStore(self.settings.settings.state)) as desk:
            desk.carry_out(Label(key, "1"), "node-1", "test")


@contextmanager
def running(path: Path, more: str = "", ca: trustme.CA | None = None) -> Iterator[Running]:
    """An admin worker as the supervisor starts it, on a free port."""
    found = config.read(folder(path, more))
    with ExitStack() as stack:
        listener = stack.enter_context(server.listen("127.0.0.1", 0))
        ready_read, ready_write = os.pipe()
        stop_read, stop_write = os.pipe()

        def ready() -> None:
            os.write(ready_write, b"r")

        def run() -> None:
            os.close(stop_write)
            server.serve_admin(
                lambda: Desk("admin-1", found.settings, lambda: SqliteStore(found.settings.state)),
                listener,
                found.settings.admin.tls,
                found,
                stop_read,
                ready,
            )

        process = _fork.Process(target=run)
        process.start()
        assert os.read(ready_read, 1) == b"r"
        try:
            yield Running(listener.getsockname()[1], found, path, stop_write, ca)
        finally:
            os.close(stop_write)
            process.join(DEADLINE)
            assert process.exitcode is not None
            for fd in (ready_read, ready_write, stop_read):
                os.close(fd)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "big").write_bytes(bytes(range(256)) * 4096)
    (tmp_path / "files" / "an odd n\u00e4me").write_bytes(b"odd")
    (tmp_path / "files" / "out").symlink_to(tmp_path / "mayu.yaml")
    with running(tmp_path, "admin: {files: files}\n") as found:
        yield found


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Running]:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = ca.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "admin.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "admin.crt")
    tls = {"certificate": "admin.crt", "key": "admin.key", "client_ca": "ca.pem", "certificates": {"ann": "operate"}}
    with running(tmp_path, tokens(tls=tls), ca) as found:
        yield found


def test_a_token_and_a_certificate_come_in_over_tls_and_nothing_else_does(secured: Running) -> None:
    assert secured.ask("GET", "/healthz")[0] == 200
    assert secured.ask("GET", "/v1/hosts")[0] == 401
    assert secured.ask("GET", "/v1/hosts", Authorization="Bearer token-of-reader")[0] == 200
    assert secured.ask("PATCH", "/v1/hosts/node-1", b"{}", Authorization="Bearer token-of-reader")[0] == 403
    patch = b'{"facts": {"cabinet": "3"}}'
    assert secured.ask("PATCH", "/v1/hosts/node-1", patch, client="ann", Content_Type="application/json")[0] == 200
    assert secured.ask("GET", "/v1/hosts", client="bob")[0] == 403
    assert secured.raw(b"GET /v1/hosts HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
    events = json.loads(secured.ask("GET", "/v1/events", client="ann")[2])
    assert [event["detail"] for event in events] == [{"by": "certificate ann", "cabinet": "3"}]


def test_a_certificate_of_another_authority_does_not_come_in(secured: Running) -> None:
    stranger = trustme.CA()
    context = secured.context()
    assert context is not None
    stranger.issue_cert(common_name="ann").configure_cert(context)
    connection = http.client.HTTPSConnection("localhost", secured.port, timeout=DEADLINE, context=context)
    with closing(connection), pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        answered(connection)


def answered(connection: http.client.HTTPConnection) -> int:
    # With TLS 1.3 a client learns only with its first read that it is not welcome.
    connection.request("GET", "/v1/hosts")
    return connection.getresponse().status


def served_serial(running: Running) -> str:
    """The serial number of the certificate that a new connection is shown."""
    context = running.context()
    assert context is not None
    with (
        socket.create_connection(("127.0.0.1", running.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        certificate = tls.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def test_a_renewed_certificate_is_used_at_once_and_open_connections_go_on(secured: Running) -> None:
    assert secured.ca is not None
    old = served_serial(secured)
    with closing(secured.connect()) as before:
        before.request("GET", "/healthz")
        assert before.getresponse().read() == b"ok\n"
        renewed = secured.ca.issue_cert("localhost", "127.0.0.1")
        renewed.private_key_pem.write_to_path(secured.folder / "admin.key")
        renewed.cert_chain_pems[0].write_to_path(secured.folder / "admin.crt")
        assert served_serial(secured) != old
        before.request("GET", "/healthz")
        assert before.getresponse().read() == b"ok\n"


def test_the_listener_behind_the_door_takes_nothing_from_others(secured: Running) -> None:
    found = [
        int(fields[1].rpartition(":")[2], 16)
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[3] == "0A" and fields[1].startswith("0100007F") and int(fields[1].rpartition(":")[2], 16) != secured.port
    ]
    answered = 0
    for port in found:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
            try:
                connection.request("GET", "/v1/hosts", headers={"Authorization": "Bearer token-of-boss"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                continue  # Somebody else's listener.
        if b"who are you?" in body:
            answered += 1
            assert answer.status == 401
    assert answered == 1


def test_events_stream_as_they_are_written_and_resume(plain: Running) -> None:
    plain.label("first")
    with plain.follow() as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        assert blocks(answer, 2)[1]["data"]["detail"] == {"by": "test", "first": "1"}
        plain.label("second")
        (second,) = blocks(answer, 1)
    assert (second["id"], second["event"], second["data"]["detail"]) == ("2", "label", {"by": "test", "second": "1"})
    with plain.follow(Last_Event_ID="1") as answer:
        assert [block.get("id") for block in blocks(answer, 2)] == [None, "2"]


def blocks(answer: http.client.HTTPResponse, count: int) -> list[dict[str, Any]]:
    """The next blocks of an event stream."""
    found: list[dict[str, Any]] = []
    block: dict[str, Any] = {}
    while len(found) < count:
        line = answer.readline().decode().rstrip("\n")
        if not line:
            found.append(block)
            block = {}
            continue
        key, _, value = line.partition(": ")
        block[key] = json.loads(value) if key == "data" else value
    return found


def test_streams_are_bounded_and_starve_nobody(plain: Running) -> None:
    with ExitStack() as stack:
        for _ in range(stream.STREAMS):
            assert stack.enter_context(plain.follow()).status == 200
        status, headers, _ = plain.ask("GET", "/v1/events", Accept="text/event-stream")
        assert (status, headers["retry-after"]) == (503, "5")
        began = time.monotonic()
        for _ in range(20):
            assert plain.ask("GET", "/v1/hosts")[0] == 200
        assert time.monotonic() - began < 5
    deadline = time.monotonic() + DEADLINE
    while not follows(plain):
        assert time.monotonic() < deadline, "streams of clients that have gone are never given back"


def follows(plain: Running) -> bool:
    with plain.follow() as answer:
        return answer.status == 200


def test_a_client_that_reads_nothing_costs_a_bounded_amount(plain: Running) -> None:
    with closing(SqliteStore(plain.settings.settings.state)) as store:
        for _ in range(5):
            store.record([(Happened("long", {"text": "x" * 3000}), Stamp.now())] * stream.BATCH)
    with plain.follow() as answer:
        received = len(answer.read())
    assert stream.MOST_BYTES <= received < stream.MOST_BYTES + stream.BATCH * 4000


def test_a_worker_with_open_streams_stops_soon(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with running(tmp_path) as found:
            answer = stack.enter_context(found.follow())
            assert blocks(answer, 1) == [{"retry": "1000"}]
            began = time.monotonic()
        assert time.monotonic() - began < 2.5


def test_a_worker_that_is_to_finish_ends_its_streams(plain: Running) -> None:
    with plain.follow() as answer:
        assert blocks(answer, 1) == [{"retry": "1000"}]
        os.write(plain.stop, b"f")
        assert answer.read() == b""


def test_files_are_served_in_parts_from_below_their_folder_only(plain: Running) -> None:
    content = (plain.folder / "files" / "big").read_bytes()
    assert plain.ask("GET", "/fileserver/big")[2] == content
    status, headers, part = plain.ask("GET", "/fileserver/big", Range="bytes=1000-1999")
    assert (status, part) == (206, content[1000:2000])
    assert headers["content-range"] == f"bytes 1000-1999/{len(content)}"
    status, headers, nothing = plain.ask("HEAD", "/fileserver/big")
    assert (status, headers["content-length"], nothing) == (200, str(len(content)), b"")
    assert plain.ask("GET", "/fileserver/an%20odd%20n%C3%A4me")[::2] == (200, b"odd")
    for path in ("out", "../mayu.yaml", "%2e%2e/mayu.yaml", "..%2fmayu.yaml", "", ".", "/etc/passwd", "%00", "big/"):
        assert plain.ask("GET", f"/fileserver/{path}")[0] in (404, 308), path


def test_web_pages_cannot_have_a_browser_act_for_them(plain: Running) -> None:
    assert plain.ask("POST", "/v1/hosts/node-2/reinstall")[0] == 200
    assert plain.ask("POST", "/v1/hosts/node-2/reinstall", Origin="http://evil.example")[0] == 401
    assert plain.ask("GET", "/v1/hosts", Host="rebound.example:4080")[0] == 401
    assert plain.ask("GET", "/v1/hosts", Host="[::1")[0] == 401


def test_bodies_and_headers_have_their_limits(plain: Running) -> None:
    json_type = {"Content_Type": "application/json"}
    status, headers, body = plain.ask("PATCH", "/v1/hosts/node-1", b" " * 65_535 + b"{}", **json_type)
    assert (status, headers["content-type"]) == (413, "application/problem+json")
    assert json.loads(body)["detail"] == "a body of 65536 bytes is the most"
    assert plain.ask("PATCH", "/v1/hosts/node-1", b" " * 65_534 + b"{}", **json_type)[0] == 200
    head = b"GET /v1/hosts HTTP/1.1\r\nHost: localhost\r\n"
    assert plain.raw(head + b"X: y\r\n" * 5000 + b"\r\n").split(b" ")[1:2] in ([b"431"], [])
    assert plain.raw(head + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n").split(b" ")[1:2] in ([b"431"], [])
    assert plain.ask("GET", "/healthz")[0] == 200


ODD = [
    b"",
    b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /v1/hosts/%ff%fe%00 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    b"GET /v1/hosts?state=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: \xd9\xa1\r\n\r\n",
    b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: 999999999999999999\r\n\r\n",
    b"PATCH /v1/hosts/node-1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"PATCH /v1/hosts/node-1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"PATCH /v1/hosts/node-1 HTTP/1.1\r\nHost: localhost\r\nIf-Match: \xff\r\nContent-Type: \xff\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /fileserver/big HTTP/1.1\r\nHost: localhost\r\nRange: bytes=" + b"0-1," * 500 + b"\r\n\r\n",
    b"PUT /admin/host/%00/override HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nnull",
    b"PUT /admin/mayu_config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n\xff\xfe",
    b"BREW /pot HTCPCP/1.0\r\n\r\n",
]


def test_odd_requests_are_no_internal_error(plain: Running) -> None:
    for raw in ODD:
        assert not plain.raw(raw).startswith(b"HTTP/1.1 500"), raw
    assert plain.ask("GET", "/healthz")[0] == 200
    counters = json.loads(plain.ask("GET", "/v1/counters")[2])
    assert [row for row in counters if row["name"] == "http.error"] == []


def test_a_hundred_slow_clients_hold_up_nobody(plain: Running) -> None:
    with ExitStack() as stack:
        for n in range(100):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", plain.port)))
            begun = b"PATCH /v1/hosts/node-1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            slow.sendall(begun + (b"Content-Length: 100\r\n\r\n{" if n % 2 else b""))
        for _ in range(10):
            assert plain.ask("GET", "/v1/hosts")[0] == 200
