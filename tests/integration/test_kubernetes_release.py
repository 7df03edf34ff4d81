"""Kubernetes' programs from a folder and from a server with the official layout: whole, verified, or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kubeception_sim.artifacts import kubernetes
from kubeception_sim.errors import BadInput, HarnessError

pytestmark = pytest.mark.integration

VERSION = "v1.30.1"
PROGRAMS = ("kubectl", "kubelet")
CONTENT = {name: (name * 5000).encode() for name in PROGRAMS}


@dataclass
class Server:
    """A release server. `breaks` counts the answers that end early; `wrong` are programs that were changed on the way.

    One that does no `ranges` answers each question with the whole.
    """

    url: str = ""
    breaks: int = 0
    ranges: bool = True
    checksum: str = ""
    wrong: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(f"{self.path} {self.headers.get('Range', '')}".strip())
            folder, _, name = self.path.rpartition("/")
            known = folder == f"/release/{VERSION}/bin/linux/amd64" and name.removesuffix(".sha256") in CONTENT
            if not known:
                self.send_error(404)
                return
            body = CONTENT[name.removesuffix(".sha256")]
            if name.endswith(".sha256"):
                body = (state.checksum or hashlib.sha256(body).hexdigest()).encode()
            elif name in state.wrong:
                body = body[:-1] + b"!"
            asked = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if "Range" in self.headers else 0
            start = asked if state.ranges else 0
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            if state.breaks and not name.endswith(".sha256"):
                state.breaks -= 1
                body = body[: start + (len(body) - start) // 2]
            self.wfile.write(body[start:])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def told() -> list[str]:
    return []


def ensure(cache: Path, told: list[str], version: str = VERSION) -> kubernetes.Programs:
    return kubernetes.ensure(cache, lambda what, done: told.append(what), version, PROGRAMS)


def test_programs_are_fetched_once_and_can_be_run(
    server: Server, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, server.url)
    found = ensure(tmp_path, told)
    assert {name: (found.directory / name).read_bytes() for name in PROGRAMS} == CONTENT
    assert all((found.directory / name).stat().st_mode & 0o111 for name in PROGRAMS)
    assert told == ["fetching kubectl", "fetching kubelet"]
    asked = len(server.asked)
    assert ensure(tmp_path, told) == found
    assert len(server.asked) == asked


def test_a_connection_that_breaks_is_taken_up_where_it_ended(
    server: Server, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, server.url)
    server.breaks = 2
    found = ensure(tmp_path, told)
    assert (found.directory / "kubectl").read_bytes() == CONTENT["kubectl"]
    half, whole = len(CONTENT["kubectl"]) // 2, len(CONTENT["kubectl"])
    assert [line.split("=")[1] for line in server.asked if "bytes=" in line] == [f"{half}-", f"{half + (whole - half) // 2}-"]


def test_a_server_without_ranges_is_asked_from_the_beginning(
    server: Server, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, server.url)
    server.breaks, server.ranges = 1, False
    assert (ensure(tmp_path, told).directory / "kubectl").read_bytes() == CONTENT["kubectl"]


def test_what_has_come_outlives_the_attempt(
    server: Server, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, server.url)
    server.breaks = 5
    with pytest.raises(HarnessError, match="kubectl: gave up after 5 tries: it ended early each time"):
        ensure(tmp_path, told)
    (partial,) = (tmp_path / "packages").rglob("kubectl")
    come = partial.stat().st_size
    assert 0 < come < len(CONTENT["kubectl"])
    server.asked.clear()
    ensure(tmp_path, told)
    assert f"bytes={come}-" in server.asked[1]
    assert not partial.parent.exists()


def test_a_program_that_was_whole_when_the_attempt_ended_is_not_fetched_again(
    server: Server, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, server.url)
    folder = tmp_path / "packages" / f"kubernetes-{VERSION}"
    folder.mkdir(parents=True)
    (folder / "kubectl").write_bytes(CONTENT["kubectl"])
    assert (ensure(tmp_path, told).directory / "kubectl").read_bytes() == CONTENT["kubectl"]
    assert told == ["fetching kubelet"]


def test_a_checksum_that_is_none_is_told(
    server: Server, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, server.url)
    server.checksum = "<html>please log in</html>"
    with pytest.raises(HarnessError, match=r"kubectl\.sha256: does not begin with a SHA-256 in hex"):
        ensure(tmp_path, told)


def test_a_program_that_is_not_what_its_checksum_says_is_not_kept(
    server: Server, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, server.url)
    server.wrong.add("kubelet")
    with pytest.raises(HarnessError, match="kubelet: sha256 is "):
        ensure(tmp_path, told)
    assert [path.name for path in (tmp_path / kubernetes.KIND).iterdir()] == ["lock"]
    assert [path.name for path in (tmp_path / "packages").rglob("kubelet")] == []
    server.wrong.clear()
    assert (ensure(tmp_path, told).directory / "kubelet").read_bytes() == CONTENT["kubelet"]


def test_a_version_that_is_not_there_and_a_server_that_never_ends_are_told(
    server: Server, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, server.url)
    with pytest.raises(HarnessError, match="404"):
        ensure(tmp_path, told, "v1.99.0")
    server.breaks = 100
    with pytest.raises(HarnessError, match="gave up after 5 tries"):
        ensure(tmp_path, told)


def test_a_folder_of_ones_own_is_used_as_it_is(tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\necho Kubernetes v1.29.7\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv(kubernetes.VARIABLE, str(tmp_path))
    found = kubernetes.ensure(tmp_path / "cache", lambda what, done: told.append(what), programs=PROGRAMS)
    assert (found.version, found.directory, told) == ("v1.29.7", tmp_path, [])
    (tmp_path / "kubelet").write_text("#!/bin/sh\n\necho Kubernetes v1.29.7\n")
    assert ensure(tmp_path / "cache", told, "v1.29.7").key != found.key
    assert not (tmp_path / "cache").exists()


def test_a_folder_with_another_version_than_the_wanted_is_told(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\necho Kubernetes v1.29.7\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv(kubernetes.VARIABLE, str(tmp_path))
    with pytest.raises(BadInput, match=r"holds Kubernetes v1\.29\.7, not v1\.30\.1"):
        ensure(tmp_path / "cache", told)


def test_a_folder_that_lacks_a_program_is_told(tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, str(tmp_path))
    with pytest.raises(BadInput, match="does not hold kubectl, kubelet"):
        ensure(tmp_path / "cache", told)


def test_another_version_than_debians_needs_another_source(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(kubernetes.VARIABLE, raising=False)
    with pytest.raises(BadInput, match=r"v1\.20\.2, not of v1\.30\.1"):
        ensure(tmp_path, told)
