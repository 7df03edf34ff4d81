"""Probes against a real HTTPS server: what they count, when they call it steady, and that a lost write is found."""

import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic

import pytest
import trustme

from kubeception_sim.checks import probes
from kubeception_sim.checks.handshakes import Entrance, HandshakeProbe
from kubeception_sim.checks.probes import ApiProbe, Attempt, WritesProbe, gaps
from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.door import Door
from kubeception_sim.model.results import Gap

pytestmark = pytest.mark.integration

LOOPBACK = "127.0.0.1"


@dataclass
class Api:
    """An API server as far as a probe sees it. `well` decides whether it answers; objects are kept until somebody loses one."""

    port: int = 0
    well: threading.Event = field(default_factory=threading.Event)
    prompt: threading.Event = field(default_factory=threading.Event)  # while it is not set, questions wait
    objects: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def api(authority: trustme.CA) -> Iterator[Api]:
    state = Api()
    state.well.set()
    state.prompt.set()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, code: int, body: bytes = b"") -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            state.prompt.wait()
            if not state.well.is_set():
                self._answer(500)
            elif self.path == "/readyz":
                self._answer(200, b"ok")
            else:
                items = [{"metadata": {"name": name}} for name in state.objects]
                self._answer(200, json.dumps({"items": items}).encode())

        def do_POST(self) -> None:
            wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if state.well.is_set():
                state.objects[wanted["metadata"]["name"]] = wanted["metadata"]["labels"]["kubeception/probe"]
            self._answer(201 if state.well.is_set() else 503)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(LOOPBACK).configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield state
        state.prompt.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def door(api: Api, authority: trustme.CA, tmp_path: Path) -> Door:
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    return Door(lambda: socket.socket(socket.AF_INET), LOOPBACK, api.port, ca)


def test_a_server_that_is_well_is_steady(door: Door) -> None:
    with ApiProbe("api", door, 0.01, monotonic) as probe:
        assert probe.steady(0.2, monotonic() + 20)
        seen = probe.result()
    assert (seen.failures, seen.gaps, seen.outage, seen.problem) == (0, (), 0.0, "")
    assert seen.attempts > 2


def test_success_from_before_the_question_is_not_steadiness_after_it(door: Door) -> None:
    with ApiProbe("api", door, 0.01, monotonic) as probe:
        assert probe.steady(0.3, monotonic() + 20)
        asked = monotonic()
        assert probe.steady(0.3, monotonic() + 20)
        assert monotonic() - asked >= 0.3


def test_an_attempt_that_hangs_is_no_success(door: Door, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "ANSWER_SECONDS", 0.2)
    with ApiProbe("api", door, 0.01, monotonic) as probe:
        assert probe.steady(0.1, monotonic() + 20)
        api.prompt.clear()
        # Its last success is younger than what is asked for; nothing has failed yet, since a second has to pass for that.
        assert not probe.steady(0.5, monotonic() + 0.8)
        assert re.fullmatch(r"no answer for [\d.]+ s|.*timed out.*", probe.trouble())
        api.prompt.set()
        assert probe.steady(0.2, monotonic() + 20)


def test_an_outage_is_as_long_as_the_client_saw_it(door: Door, api: Api) -> None:
    with ApiProbe("api", door, 0.01, monotonic) as probe:
        assert probe.steady(0.1, monotonic() + 20)
        began = monotonic()
        api.well.clear()
        assert not probe.steady(0.2, monotonic() + 0.5)
        api.well.set()
        ended = monotonic()
        assert probe.steady(0.2, monotonic() + 20)
        seen = probe.result()
    assert seen.failures > 0
    assert seen.problem == "GET /readyz: 500"
    (gap,) = seen.gaps
    # From the last success before it to the first after it: not shorter than the outage, but for what was under way.
    assert gap.seconds > ended - began - 0.2
    assert gap.end > ended


def test_an_authority_that_is_not_ours_is_no_success(door: Door, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(door.ca)
    with ApiProbe("api", door, 0.01, monotonic) as probe:
        assert not probe.steady(0.05, monotonic() + 0.3)
    assert probe.result().failures == probe.result().attempts > 0
    assert "certificate verify failed" in probe.result().problem


def test_nobody_at_the_door_is_no_success(door: Door, tmp_path: Path) -> None:
    with socket.socket() as claimed:
        claimed.bind((LOOPBACK, 0))  # bound, not listening
        silent = Door(door.connect, LOOPBACK, claimed.getsockname()[1], door.ca)
        with ApiProbe("api", silent, 0.01, monotonic) as probe:
            assert not probe.steady(0.05, monotonic() + 0.2)
    assert "refused" in probe.result().problem


def test_every_acknowledged_write_is_asked_for_in_the_end(door: Door, api: Api) -> None:
    with ExitStack() as stack:
        probe = WritesProbe("writes", door, 0.01, monotonic)
        stack.enter_context(probe)
        assert probe.steady(0.1, monotonic() + 20)
        assert probe.verify() == ""
        assert set(api.objects.values()) == {"writes"}
        lost = next(iter(api.objects))
        del api.objects[lost]
        assert lost in probe.verify()


def test_who_does_not_answer_is_asked_for_the_writes_again(door: Door, api: Api) -> None:
    with WritesProbe("writes", door, 0.01, monotonic) as probe:
        assert probe.steady(0.1, monotonic() + 20)
        api.well.clear()
        with pytest.raises(HTTPException, match="500"):
            probe.verify()
        with pytest.raises(HTTPException, match="500"):
            probe.verify(monotonic() + 0.2)
        back = threading.Timer(0.3, api.well.set)
        back.start()
        assert probe.verify(monotonic() + 20) == ""
        back.join()


def test_an_answer_that_writes_are_lost_is_final(door: Door, api: Api) -> None:
    with WritesProbe("writes", door, 0.01, monotonic) as probe:
        assert probe.steady(0.1, monotonic() + 20)
    lost = next(iter(api.objects))
    del api.objects[lost]
    asked = monotonic()
    assert lost in probe.verify(asked + 20)
    assert monotonic() - asked < 10


def test_what_was_not_acknowledged_may_be_missing(door: Door, api: Api) -> None:
    api.well.clear()
    with WritesProbe("writes", door, 0.01, monotonic) as probe:
        assert not probe.steady(0.05, monotonic() + 0.2)
        api.well.set()
        assert probe.steady(0.1, monotonic() + 20)
        assert probe.verify() == ""
    assert probe.result().failures > 0


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([], ()),
        ([(1, True), (2, True)], ()),
        ([(1, True), (2, False), (3, False), (4, True), (5, True)], (Gap(1, 4),)),
        ([(1, False), (2, True)], (Gap(1, 2),)),
        ([(1, True), (2, False)], (Gap(1, 10),)),
        ([(1, True), (2, False), (3, True), (4, False), (5, True)], (Gap(1, 3), Gap(3, 5))),
    ],
    ids=["nothing", "no failure", "one", "at the beginning", "until now", "two"],
)
def test_a_gap_is_between_two_successes(attempts: list[tuple[float, bool]], expected: tuple[Gap, ...]) -> None:
    assert gaps([Attempt(at, at, "" if good else "broken") for at, good in attempts], now=10) == expected


@pytest.fixture
def entrance(api: Api, authority: trustme.CA, tmp_path: Path) -> Entrance:
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    return Entrance(Door(lambda: socket.socket(), LOOPBACK, api.port, tmp_path / "ca.crt"), LOOPBACK)


def test_a_handshake_counts_and_tells_which_certificate_was_shown(api: Api, entrance: Entrance) -> None:
    with HandshakeProbe("shakes", entrance, 0.01, monotonic) as probe:
        assert probe.steady(0.2, monotonic() + 20)
    assert (probe.result().failures, probe.serials) == (0, {entrance.serial()})
    seen = probe.result().attempts
    probe.end()
    assert probe.result().attempts == seen


def test_a_certificate_of_another_name_or_of_another_authority_is_a_failure(api: Api, entrance: Entrance, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.crt")
    stranger = replace(entrance, door=replace(entrance.door, ca=tmp_path / "other.crt"))
    for wrong in (stranger, replace(entrance, name="api.blue.k8s.example")):
        with HandshakeProbe("shakes", wrong, 0.01, monotonic) as probe:
            assert not probe.steady(0.1, monotonic() + 1)
        assert probe.result().failures == probe.result().attempts
        assert "certificate verify failed" in probe.result().problem
        with pytest.raises(HarnessError, match="no handshake with"):
            wrong.serial()


def test_an_answer_that_is_none_is_a_failure_after_a_good_handshake(api: Api, entrance: Entrance) -> None:
    api.well.clear()
    with HandshakeProbe("shakes", entrance, 0.01, monotonic) as probe:
        assert not probe.steady(0.1, monotonic() + 1)
    assert probe.result().problem == "GET /readyz: 500"
