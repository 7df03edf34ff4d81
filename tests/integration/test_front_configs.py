"""The Ignition front over a store: what is invalid is never served, what was served last is, and everybody can see it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from mayu_py import config
from mayu_py.core.hosts import State
from mayu_py.core.verbs import Override
from mayu_py.rehearsal.desk import RehearsalDesk
from mayu_py.rehearsal.http import HttpAnswer, HttpRehearsal, HttpRequest
from mayu_py.store.sqlite import SqliteStore

CONFIG = """\
networks:
  - {name: rack, interface: br0, address: 10.77.0.1, subnet: 10.77.0.0/24}
tftp: {root: tftp}
images:
  testbed: {directory: image, args: ["motd={{ values.motd }}", "ignition.config.url={{ ignition_url }}"]}
profiles:
  - {name: node, image: testbed, ignition: node.bu, values: {path: /etc/motd, motd: hello}}
hosts:
  - {name: node-1, serial: KC-1, macs: ["52:54:00:00:00:01"], address: 10.77.0.11, profile: node}
"""
BUTANE = """\
variant: fcos
version: 1.4.0
storage:
  files:
    - path: "{{ values.path }}"
      contents: {inline: "{{ values.motd }}"}
"""
ADDRESS = IPv4Address("10.77.0.11")
pytestmark = pytest.mark.integration


class Server:
    """One worker's front, over the state file in a folder."""

    def __init__(self, folder: Path) -> None:
        read = config.read(folder / "mayu.yaml")
        self.store = SqliteStore(folder / "mayu.db")
        self.desk = RehearsalDesk(read.settings, self.store)
        self.http = HttpRehearsal(self.desk, read.renderer)

    def get(self, target: str, **headers: str) -> HttpAnswer:
        return self.http.answer(HttpRequest("GET", target, ADDRESS, headers))

    def ignition(self, **headers: str) -> HttpAnswer:
        return self.get("/ignition?serial=KC-1", **headers)

    def override(self, key: str, value: Any) -> None:
        self.desk.carry_out(Override(key, value), "node-1", "test")

    def events(self, kind: str) -> list[Any]:
        self.desk._empty(self.store)
        return [dict(event.detail) for event in self.store.events(0, 1000) if event.kind == kind]

    def state(self) -> State | None:
        status = self.store.statuses().get("node-1")
        return status.state if status else None


@contextmanager
def started(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server
    finally:
        server.store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "node.bu").write_text(BUTANE)
    (tmp_path / "mayu.yaml").write_text(CONFIG)
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "image/vmlinuz", "image/initrd.img"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with started(folder) as found:
        yield found


def test_a_host_gets_its_config_and_is_installing(server: Server) -> None:
    answer = server.ignition()
    assert (answer.status, json.loads(answer.body)["storage"]["files"][0]["path"]) == (200, "/etc/motd")
    assert dict(answer.headers) == {
        "content-type": "application/json",
        "vary": "accept",
        "cache-control": "no-store",
        "content-length": str(len(answer.body)),
    }
    assert server.state() is State.INSTALLING
    assert server.store.last_served("node-1") == answer.body


def test_an_older_ignition_gets_its_spec(server: Server) -> None:
    answer = server.ignition(accept="application/vnd.coreos.ignition+json;version=3.0.0, */*;q=0.1")
    assert json.loads(answer.body)["ignition"]["version"] == "3.0.0"
    assert [event["translated"] for event in server.events("ignition")] == [True]
    # What is kept is the config as written: another client may read more.
    kept = server.store.last_served("node-1")
    assert kept is not None
    assert json.loads(kept)["ignition"]["version"] == "3.3.0"


def test_an_ignition_that_cannot_read_it_is_refused_for_good_and_its_host_has_failed(server: Server) -> None:
    answer = server.ignition(accept="application/vnd.coreos.ignition+json;version=2.4.0, */*;q=0.1")
    assert (answer.status, server.state()) == (406, State.FAILED)
    assert b"the client reads nothing of spec 3" in answer.body
    (event,) = server.events("unreadable")
    assert event["served"] is None
    assert server.store.last_served("node-1") is None


def test_what_became_invalid_is_not_served_but_what_was_served_last(server: Server) -> None:
    good = server.ignition()
    server.override("path", "not-absolute")
    again = [server.ignition() for _ in range(3)]
    assert [(answer.status, answer.body) for answer in again] == [(200, good.body)] * 3
    (event,) = server.events("invalid")
    assert event["served"] == server.events("ignition")[0]["sha256"]
    (problem,) = event["problems"]
    assert "node.bu:5: error: " in problem
    assert server.events("ignition")[-1]["last_good"] is True


def test_the_last_good_config_outlives_the_process(folder: Path) -> None:
    with started(folder) as before:
        good = before.ignition()
        before.override("path", "not-absolute")
    with started(folder) as after:
        assert after.ignition().body == good.body


def test_without_a_last_good_one_the_host_waits_and_is_not_installing(server: Server) -> None:
    server.override("path", "not-absolute")
    answer = server.ignition()
    assert (answer.status, dict(answer.headers)["retry-after"], server.state()) == (503, "2", None)
    assert answer.body.startswith(b"the config of node-1 is not valid, and there is no earlier one:\n")
    server.override("path", "/etc/mended")
    assert server.ignition().status == 200


def test_it_is_told_again_when_something_else_is_wrong(server: Server) -> None:
    for path in ("not-absolute", ["no", "text"]):
        server.override("path", path)
        server.ignition()
        server.ignition()
    assert len(server.events("invalid")) == 2


def test_arguments_that_do_not_render_are_told_on_the_console(server: Server) -> None:
    assert server.get("/script?serial=KC-1&platform=efi&chip=snp").status == 200
    server.override("motd", {"no": "text"})
    answer = server.get("/script?serial=KC-1&platform=efi&chip=snp")
    assert answer.status == 503
    assert answer.body.startswith(b"the kernel arguments of node-1 are not valid:\n")


def test_a_damaged_copy_is_not_served(server: Server) -> None:
    server.ignition()
    server.store._db.execute("UPDATE served SET config = x'00'")
    server.override("path", "not-absolute")
    assert server.ignition().status == 503
