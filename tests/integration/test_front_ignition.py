"""The real Ignition fetches from the front: it says itself which spec it reads, and takes what it is given."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from ignition.stages import EngineFailed, EngineMissing, apply
from mayu_py import config
from mayu_py.rehearsal.desk import RehearsalDesk
from mayu_py.rehearsal.http import HttpRehearsal, HttpRequest
from mayu_py.store.sqlite import MemoryStore

CONFIG = """\
networks: [{name: rack, interface: br0, address: 10.77.0.1, subnet: 10.77.0.0/24}]
tftp: {root: tftp}
images: {testbed: {directory: image}}
profiles: [{name: node, image: testbed, ignition: node.bu, network_files: networkd}]
hosts: [{name: node-1, serial: KC-1, macs: ["52:54:00:00:00:01"], address: 10.77.0.11, profile: node}]
"""
# Spec 3.4, which Debian's Ignition 2.14 does not read.
BUTANE = """\
variant: flatcar
version: 1.1.0
storage:
  files:
    - {path: /etc/motd, mode: 0644, contents: {inline: "{{ host.name }} runs"}}
"""
# The key `discard` came with spec 3.4.
LUKS = "  luks: [{name: data, device: /dev/sdb, discard: true, key_file: {inline: a-long-passphrase}}]\n"
pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mayu.yaml").write_text(CONFIG)
    (tmp_path / "root").mkdir(mode=0o755)
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "image/vmlinuz", "image/initrd.img"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    return tmp_path


class Rack(ThreadingHTTPServer):
    """Hands requests from the loopback to the front, as if the host had sent them."""

    def __init__(self, folder: Path) -> None:
        read = config.read(folder / "mayu.yaml")
        self.store = MemoryStore()
        self.http = HttpRehearsal(RehearsalDesk(read.settings, self.store), read.renderer)
        self.statuses: list[int] = []
        self.accepted: list[str | None] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def ignition(self) -> bytes:
        """A config that says no more than where the host's own is."""
        source = f"http://127.0.0.1:{self.server_port}/ignition?serial=KC-1"
        return json.dumps({"ignition": {"version": "3.3.0", "config": {"replace": {"source": source}}}}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Rack

    def do_GET(self) -> None:
        headers = dict(self.headers.items())
        answer = self.server.http.answer(HttpRequest("GET", self.path, IPv4Address("10.77.0.11"), headers))
        self.server.statuses.append(answer.status)
        self.server.accepted.append(self.headers.get("accept"))
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nowhere."""


@pytest.fixture
def rack(folder: Path, request: pytest.FixtureRequest) -> Iterator[Rack]:
    (folder / "node.bu").write_text(BUTANE + request.param)
    with Rack(folder) as rack:
        serving = threading.Thread(target=rack.serve_forever)
        serving.start()
        try:
            yield rack
        finally:
            rack.shutdown()
            serving.join()


@pytest.mark.parametrize("rack", [""], indirect=True)
def test_ignition_2_14_gets_a_config_of_spec_3_4_in_spec_3_3(rack: Rack, folder: Path) -> None:
    try:
        apply(rack.ignition(), folder / "root")
    except EngineMissing as missing:
        pytest.skip(f"{missing}")
    assert set(rack.accepted) == {"application/vnd.coreos.ignition+json;version=3.3.0, */*;q=0.1"}
    assert (folder / "root/etc/motd").read_text() == "node-1 runs"
    assert "10.77.0.11/24" in (folder / "root/etc/systemd/network/10-boot.network").read_text()
    kept = rack.store.last_served("node-1")
    assert kept is not None
    assert json.loads(kept)["ignition"]["version"] == "3.4.0"


@pytest.mark.parametrize("rack", [LUKS], indirect=True)
def test_ignition_2_14_gives_up_at_once_on_a_key_that_spec_3_3_has_not(rack: Rack, folder: Path) -> None:
    try:
        with pytest.raises(EngineFailed):
            apply(rack.ignition(), folder / "root", timeout=30)
    except EngineMissing as missing:
        pytest.skip(f"{missing}")
    assert set(rack.statuses) == {406}
    assert not (folder / "root/etc/motd").exists()
