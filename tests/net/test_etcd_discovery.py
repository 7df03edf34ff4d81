"""Real etcd 3.4 members form a cluster through mayu's discovery, each in a network namespace of its own."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.net.lan import PORT, SERVER, Config, Lan, StartMayu

FORM_SECONDS = 40.0
URL = f"http://{SERVER}:{PORT}"

pytestmark = pytest.mark.skipif(
    not (shutil.which("etcd") and shutil.which("etcdctl")), reason="no etcd in PATH: apt-get install etcd-server etcd-client"
)


@dataclass
class Member:
    """An etcd process in a namespace with an address of its own."""

    name: str
    where: str
    address: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def client_url(self) -> str:
        return f"http://{self.address}:2379"

    def said(self) -> str:
        return self.log.read_text(errors="replace")


Join = Callable[..., Member]


@pytest.fixture
def join(lan: Lan, tmp_path: Path) -> Iterator[Join]:
    running: list[Member] = []

    def run(number: int, discovery: str, *more: str, again: Member | None = None) -> Member:
        address = f"10.78.0.{number + 20}"
        where = again.where if again else lan.client(address=address)
        name, log = f"node-{number}", tmp_path / f"etcd-{number}.log"
        argv = [
            "ip", "netns", "exec", where, "etcd", "--name", name, "--data-dir", str(tmp_path / f"etcd-{number}"),
            "--initial-advertise-peer-urls", f"http://{address}:2380", "--listen-peer-urls", f"http://{address}:2380",
            "--advertise-client-urls", f"http://{address}:2379", "--listen-client-urls", f"http://{address}:2379",
            "--discovery", discovery, "--enable-v2", "--heartbeat-interval", "300", "--election-timeout", "3000", *more,
        ]  # fmt: skip
        with log.open("ab") as output:
            process = subprocess.Popen(argv, stdout=output, stderr=output)
        running.append(Member(name, where, address, process, log))
        return running[-1]

    yield run
    for member in running:
        member.process.send_signal(signal.SIGKILL)
        member.process.wait(15)


def etcdctl(lan: Lan, member: Member, *words: str) -> subprocess.CompletedProcess[str]:
    argv = ("env", "ETCDCTL_API=3", "etcdctl", "--endpoints", member.client_url, "--command-timeout", "5s", *words)
    return lan.run(member.where, *argv, check=False)


def until(what: str, is_so: Callable[[], bool], *members: Member) -> None:
    end = time.monotonic() + FORM_SECONDS
    while not is_so():
        said = "\n".join(f"--- {member.name}\n{member.said()[-3000:]}" for member in members)
        assert time.monotonic() < end, f"after {FORM_SECONDS} s not {what}\n{said}"
        time.sleep(0.2)  # The pace of asking; etcd tells nobody when it has formed.


def make(lan: Lan, size: int) -> str:
    return lan.run(lan.server, "curl", "-sSf", "-X", "PUT", f"{URL}/etcd/new?size={size}").stdout


def registered(lan: Lan, discovery: str) -> list[str]:
    """The members' values, in the order in which they came."""
    listed: Any = json.loads(lan.run(lan.server, "curl", "-sSf", discovery).stdout)
    return [node["value"] for node in listed["node"].get("nodes", ())]


@pytest.fixture
def discovery(lan: Lan, config: Config, start_mayu: StartMayu) -> str:
    start_mayu()
    return make(lan, 3)


def formed(lan: Lan, join: Join, discovery: str) -> list[Member]:
    members = [join(1, discovery), join(2, discovery)]
    # Two of three wait for the third, with a watch each.
    until("two are registered", lambda: len(registered(lan, discovery)) == 2, *members)
    assert etcdctl(lan, members[0], "endpoint", "health").returncode != 0
    members.append(join(3, discovery))
    until("healthy", lambda: all(etcdctl(lan, m, "endpoint", "health").returncode == 0 for m in members), *members)
    return members


def test_three_members_form_a_cluster_that_keeps_what_it_is_told(lan: Lan, join: Join, discovery: str) -> None:
    members = formed(lan, join, discovery)
    assert sorted(registered(lan, discovery)) == [f"node-{n}=http://10.78.0.{n + 20}:2380" for n in (1, 2, 3)]
    assert etcdctl(lan, members[0], "put", "greeting", "hello").stdout == "OK\n"
    assert [etcdctl(lan, member, "get", "greeting", "--print-value-only").stdout for member in members] == ["hello\n"] * 3
    listed = json.loads(etcdctl(lan, members[2], "member", "list", "-w", "json").stdout)
    assert sorted(member["name"] for member in listed["members"]) == ["node-1", "node-2", "node-3"]
    events = [event for event in lan.get("/v1/events") if event["kind"] == "etcd"]
    assert len(events) == 3


def test_a_fourth_is_refused_or_becomes_a_proxy(lan: Lan, join: Join, discovery: str) -> None:
    members = formed(lan, join, discovery)
    refused = join(4, discovery, "--discovery-fallback", "exit")
    assert refused.process.wait(FORM_SECONDS) != 0
    assert "discovery: cluster is full" in refused.said()
    assert len(registered(lan, discovery)) == 3
    keys = ("/v2/keys/greeting", "-d", "value=hello")
    lan.run(members[0].where, "curl", "-sSf", "-X", "PUT", members[0].client_url + keys[0], *keys[1:])
    proxy = join(5, discovery, "--discovery-fallback", "proxy")

    def serves() -> bool:
        ran = lan.run(proxy.where, "curl", "-sS", f"{proxy.client_url}/v2/keys/greeting", check=False)
        return '"value":"hello"' in ran.stdout

    until("the proxy serves what the cluster keeps", serves, proxy)
    assert proxy.process.poll() is None


def test_a_member_that_waits_is_not_lost_with_the_server(lan: Lan, join: Join, config: Config, start_mayu: StartMayu) -> None:
    mayu = start_mayu()
    discovery = make(lan, 2)
    first = join(1, discovery)
    until("registered", lambda: len(registered(lan, discovery)) == 1, first)
    assert mayu.stop() == 0
    start_mayu()
    assert registered(lan, discovery) == ["node-1=http://10.78.0.21:2380"]
    second = join(2, discovery)
    until("healthy", lambda: all(etcdctl(lan, m, "endpoint", "health").returncode == 0 for m in (first, second)), first, second)


def test_a_member_that_is_registered_already_is_told_so(lan: Lan, join: Join, discovery: str, tmp_path: Path) -> None:
    first = join(1, discovery)
    until("registered", lambda: len(registered(lan, discovery)) == 1, first)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait(15)
    shutil.rmtree(tmp_path / "etcd-1")
    again = join(1, discovery, again=first)
    assert again.process.wait(FORM_SECONDS) != 0
    assert "has previously registered with discovery service token" in again.said()
