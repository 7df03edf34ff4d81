"""The twelve defects of the original Mayu, each as a test that its behaviour would fail.

The numbers are those of docs/mayu.md, section "What Mayu did otherwise". Defects of the wire that need real clients have a test
here of the decision and another one in the net tier.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from mayu_py import config
from mayu_py.core.boot import decide
from mayu_py.core.enrolment import Newcomer
from mayu_py.core.exchange import DhcpKind, DhcpRequest, Lease
from mayu_py.core.hosts import Host, Identity, Mac
from mayu_py.core.networks import AddressRange, Network
from mayu_py.core.settings import UnknownHosts
from mayu_py.core.snapshot import Snapshot
from mayu_py.core.verbs import Delete, Override, Pin
from mayu_py.errors import RangeExhausted, StoreError
from mayu_py.rehearsal.desk import RehearsalDesk
from mayu_py.rehearsal.http import HttpAnswer, HttpRehearsal, HttpRequest
from mayu_py.services.desk import Desk
from mayu_py.services.dhcp_replies import Replies
from mayu_py.store.sqlite import SqliteStore
from mayu_py.wire.dhcp4 import Message, Op, Option
from tests.integration.http_face import faces, folder, tokens

LOOPBACK = IPv4Address("127.0.0.1")
pytestmark = pytest.mark.integration


class Boot:
    """The boot face over the state file of a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read = config.read(folder(path))
        self.store = SqliteStore(self.read.settings.state)
        self.desk = RehearsalDesk(self.read.settings, self.store)
        self.http = HttpRehearsal(self.desk, self.read.renderer)

    def get(self, target: str, source: IPv4Address = LOOPBACK) -> HttpAnswer:
        return self.http.answer(HttpRequest("GET", target, source))

    def word(self, serial: str) -> str:
        """What the host's config has in /etc/word."""
        answer = self.get(f"/ignition?serial={serial}")
        assert answer.status == 200, answer.body
        source: str = json.loads(answer.body)["storage"]["files"][0]["contents"]["source"]
        return source.removeprefix("data:,")


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    made = Boot(tmp_path)
    yield made
    made.store.close()


def newcomer(number: int, network: Network) -> Newcomer:
    return Newcomer(Identity(mac=Mac(f"52:54:00:00:02:{number:02x}"), serial=f"KC-2{number}"), network)


def test_1_a_range_ends_where_the_config_says(boot: Boot) -> None:
    (network,) = boot.read.settings.networks
    results = boot.desk.enrol([newcomer(number, network) for number in range(12)])
    addresses = [str(result.address) for result in results if isinstance(result, Host)]
    assert addresses == [f"127.0.1.{last}" for last in range(1, 10)]
    refused = [result for result in results if isinstance(result, RangeExhausted)]
    assert len(refused) == 3
    assert "the range of network rack" in refused[0].message


def test_2_what_is_overridden_for_one_host_is_not_seen_by_another(boot: Boot) -> None:
    boot.desk.carry_out(Override("word", "mine"), "node-1", "test")
    assert (boot.word("KC-1"), boot.word("KC-2")) == ("mine", "plain")


def test_3_an_answer_is_whole_or_an_error_with_its_status(boot: Boot) -> None:
    boot.desk.carry_out(Override("word", {"no": "text"}), "node-1", "test")
    answer = boot.get("/ignition?serial=KC-1")
    assert answer.status == 503
    with pytest.raises(json.JSONDecodeError):  # The reason as text, and no part of a config before it.
        json.loads(answer.body)
    assert not answer.body.startswith(b"{")
    assert boot.word("KC-2") == "plain"


def test_4_a_host_that_cannot_be_made_or_read_stops_nobody_else(boot: Boot) -> None:
    (network,) = boot.read.settings.networks
    boot.desk.enrol([newcomer(number, network) for number in range(12)])
    assert boot.get("/ignition?serial=KC-211").status == 503
    assert boot.word("KC-2") == "plain"
    with sqlite3.connect(boot.read.settings.state) as db:
        db.execute("UPDATE enrolled SET record = '{' WHERE name = (SELECT min(name) FROM enrolled)")
    with closing(SqliteStore(boot.read.settings.state)) as store, pytest.raises(StoreError, match=r"mayu\.db"):
        store.inventory()


def test_5_no_serial_leaves_the_state_file_and_no_request_leaves_a_descriptor(boot: Boot, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.rglob("*"))
    for serial in ("../../escaped", "..%2f..%2fescaped", "a%00b", "%2fetc%2fpasswd"):
        assert boot.get(f"/ignition?serial={serial}").status == 503
        # 308: to the path without the doubled slash; 503: a host of that serial may yet come.
        assert boot.get(f"/images/{serial}/vmlinuz").status in (308, 404, 503)
    boot.word("KC-1")
    open_before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        boot.word("KC-1")
        boot.get("/script?serial=KC-2&platform=efi")
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["/images", "/images/", "/images/os", "/images/os/", "/images/os/gone", "/images/KC-1/gone"])
def test_6_a_short_path_or_a_missing_image_is_not_found(boot: Boot, path: str) -> None:
    assert boot.get(path).status == 404


def test_7_a_config_that_ignition_would_refuse_is_not_served(boot: Boot, tmp_path: Path) -> None:
    boot.word("KC-1")
    (tmp_path / "node.bu").write_text("variant: fcos\nversion: 1.4.0\nstorage: {files: [{path: relative}]}\n")
    _, problems = config.check(tmp_path / "mayu.yaml")
    assert any("path not absolute" in problem.message for problem in problems)


def test_8_nobody_without_credentials_changes_or_sees_a_host(tmp_path: Path) -> None:
    with faces(tmp_path, tokens()) as face:
        for method, path in (("PUT", "/admin/host/KC-1/set_state"), ("GET", "/admin/hosts"), ("DELETE", "/v1/hosts/node-1")):
            assert face.ask(method, path, local=False).status_code == 401
            assert face.ask(method, path, local=False, token="nobody").status_code == 401
        assert face.ask("DELETE", "/v1/hosts/node-1", local=False, token="reader").status_code == 403


def test_9_each_packet_decides_its_firmware_and_a_lease_is_no_minute(boot: Boot) -> None:
    settings = replace(boot.read.settings, boot=replace(boot.read.settings.boot, uefi_arm64="arm64.efi"))
    snapshot = Snapshot.of(settings, boot.desk.snapshot().hosts.values())
    files: dict[int, Any] = {}
    for arch in (0, 7, 11):
        request = DhcpRequest(DhcpKind.DISCOVER, Identity(mac=Mac("52:54:00:00:00:01")), arch, netboot=True, interface="lo")
        lease = decide(request, snapshot).reply
        assert isinstance(lease, Lease)
        files[arch] = lease.boot_file
        reply = Replies(settings).lease(Message(Op.BOOTREQUEST, 1, bytes(6)), lease)
        assert int.from_bytes(reply.options[Option.LEASE_TIME], "big") == 3600
    assert files == {0: "undionly.kpxe", 7: "snponly.efi", 11: "arm64.efi"}


def test_10_a_host_is_pinned_and_deleted_by_a_verb_and_its_place_is_free_again(boot: Boot) -> None:
    (network,) = boot.read.settings.networks
    (host,) = boot.desk.enrol([newcomer(1, network)])
    assert isinstance(host, Host)
    pinned = boot.desk.carry_out(Pin("disk"), host.name, "test")
    assert pinned is not None
    assert pinned.profile == "disk"
    boot.desk.carry_out(Delete(), host.name, "test")
    (again,) = boot.desk.enrol([newcomer(2, network)])
    assert isinstance(again, Host)
    assert (again.address, again.profile) == (host.address, "node")


def test_11_etcd_discovers_its_members_without_an_etcd(boot: Boot) -> None:
    made = boot.http.answer(HttpRequest("PUT", "/etcd/new?size=3", LOOPBACK))
    token = made.body.decode().strip().rpartition("/")[2]
    size = json.loads(boot.get(f"/etcd/{token}/_config/size").body)
    assert size["node"]["value"] == "3"


def test_12_extra_addresses_keep_their_owners_over_a_restart_whatever_their_digits(tmp_path: Path) -> None:
    read = config.read(folder(tmp_path))
    extra = Network(
        "storage",
        IPv4Network("10.9.0.0/24"),
        range=AddressRange(IPv4Address("10.9.0.8"), IPv4Address("10.9.0.12")),
        extra=True,
    )
    settings = replace(read.settings, networks=(*read.settings.networks, extra), unknown_hosts=UnknownHosts.ENROL)
    with Desk("dhcp", settings, lambda: SqliteStore(settings.state)) as desk:
        hosts = desk.enrol([newcomer(number, settings.networks[0]) for number in range(5)])
    before = {host.name: str(host.addresses["storage"]) for host in hosts if isinstance(host, Host)}
    assert list(before.values()) == [f"10.9.0.{last}" for last in range(8, 13)]
    with Desk("dhcp", settings, lambda: SqliteStore(settings.state)) as desk:
        after = {name: str(host.addresses["storage"]) for name, host in desk.snapshot().hosts.items() if host.addresses}
        (refused,) = desk.enrol([newcomer(9, settings.networks[0])])
    assert after == before
    assert isinstance(refused, RangeExhausted)
    assert "network storage" in refused.message
