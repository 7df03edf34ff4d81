"""Leases in a real etcd, made as it is made in its pod: they end with who keeps them, and clusters do not see each other's."""

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import trustme

from kubeception_sim.agents.bridge import flannel
from kubeception_sim.agents.bridge.etcd import Account, Away, Etcd, Refused
from kubeception_sim.agents.bridge.flannel import Peer
from kubeception_sim.agents.bridge.leases import Leases, follow
from kubeception_sim.agents.bridge.place import Place
from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.doors import Store
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.inner.store import MAKE, NetworkEtcd, server_flags
from kubeception_sim.lab import Lab
from kubeception_sim.run import require, run, spawn

SECONDS = 20.0
TTL = 2
SUBNET = IPv4Network("172.23.0.0/24")
RED, BLUE = Cluster("red", uid="1"), Cluster("blue", uid="2")


def place(cluster: Cluster, index: int) -> Place:
    vni = {"red": 100, "blue": 200}[cluster.name]
    return Place(cluster.name, vni, index, SUBNET, None, 6443, IPv4Address(f"10.60.0.{vni // 10 + index}"))


@dataclass(frozen=True)
class Site:
    """The store: its root, and where it is for clients."""

    folder: Path
    port: int
    ca: Path
    password: str
    networks: NetworkEtcd

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def account(self, store: Store) -> Account:
        return Account(self.url, self.ca, store.user, store.password)

    def root(self) -> Etcd:
        return Etcd(Account(self.url, self.ca, "root", self.password))

    def leases(self, cluster: Cluster, index: int) -> Leases:
        found = place(cluster, index)
        return Leases(found, Etcd(self.account(self.networks.ensure(cluster, found.vni))), ttl=TTL)


def eventually(what: Callable[[], object], expected: object, seconds: float = SECONDS) -> None:
    until = time.monotonic() + seconds
    while (seen := what()) != expected:
        assert time.monotonic() < until, f"after {seconds:g} s it is {seen!r}"
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def serving(lab: Lab, folder: Path, ports: list[int]) -> Iterator[None]:
    """The store on its data, which is made first if it is not there."""
    inside, peer, metrics, client = ports
    environment = {"DATA": str(folder), "SECRET": str(folder), "CLIENT_PORT": str(inside), "PEER_PORT": str(peer)}
    run(["sh", "-c", MAKE], env=lab.env | environment | {"TOKEN": secrets.token_hex(8)}, timeout=30)
    urls = {"client": f"https://127.0.0.1:{client}", "peer": f"http://127.0.0.1:{peer}"}
    flags = server_flags(str(folder), str(folder), metrics=f"http://127.0.0.1:{metrics}", **urls)
    with spawn(flags, log=lab.directory / "etcd.log", env=lab.env) as process:
        account = Account(urls["client"], folder / "ca.crt", "root", (folder / "password").read_text())
        until = time.monotonic() + SECONDS
        while True:
            with suppress(Away):
                Etcd(account).authenticate()
                break
            assert process.poll() is None, (lab.directory / "etcd.log").read_text()
            assert time.monotonic() < until, (lab.directory / "etcd.log").read_text()
            time.sleep(0.05)
        yield


@pytest.fixture
def ports() -> list[int]:
    return free_ports(4)


@pytest.fixture
def folder(lab: Lab) -> Path:
    require("etcd", "etcd-server")
    require("etcdctl", "etcd-client")
    found, authority = lab.subdirectory("store"), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(found / "ca.crt"))
    issued.cert_chain_pems[0].write_to_path(str(found / "tls.crt"))
    issued.private_key_pem.write_to_path(str(found / "tls.key"))
    (found / "password").write_text(secrets.token_hex(16))
    return found


@pytest.fixture
def site(lab: Lab, folder: Path, ports: list[int]) -> Iterator[Site]:
    password, ca = (folder / "password").read_text(), folder / "ca.crt"
    networks = NetworkEtcd(IPv4Address("10.61.0.9"), ca, password, url=f"https://127.0.0.1:{ports[-1]}")
    with serving(lab, folder, ports):
        yield Site(folder, ports[-1], ca, password, networks)


def test_a_pod_tells_its_peers_what_flanneld_would(site: Site) -> None:
    site.leases(RED, 1).keep()
    found = site.root().range("/coreos.com/network/red/").values
    assert {key: json.loads(value) for key, value in found.items()} == {
        "/coreos.com/network/red/config": {
            "Network": "172.23.0.0/24",
            "SubnetLen": 30,
            "Backend": {"Type": "vxlan", "VNI": 100, "Port": 8472},
        },
        "/coreos.com/network/red/subnets/172.23.0.4-30": {
            "PublicIP": "10.60.0.11",
            "PublicIPv6": None,
            "BackendType": "vxlan",
            "BackendData": {"VNI": 100, "VtepMAC": "0e:00:00:64:00:01"},
        },
    }


def test_machines_of_a_cluster_see_each_other_and_not_themselves(site: Site) -> None:
    one, two, other = site.leases(RED, 1), site.leases(RED, 2), site.leases(BLUE, 1)
    for each in (one, two, other):
        each.keep()
    assert one.keep() == (Peer(2, IPv4Address("10.60.0.12")),)
    assert two.keep() == (Peer(1, IPv4Address("10.60.0.11")),)
    assert other.keep() == ()


def test_a_lease_ends_with_who_keeps_it_and_comes_back_with_them(site: Site) -> None:
    one, two = site.leases(RED, 1), site.leases(RED, 2)
    two.keep()
    eventually(lambda: len(one.keep()), 1)
    eventually(one.keep, ())
    two.keep()
    assert len(one.keep()) == 1


def test_a_lease_that_is_given_up_is_gone_at_once(site: Site) -> None:
    one, two = site.leases(RED, 1), site.leases(RED, 2)
    two.keep()
    two.end()
    assert one.keep() == ()


def test_the_pod_that_comes_last_has_the_machines_number(site: Site) -> None:
    store = site.account(site.networks.ensure(RED, 100))
    before, watching = site.leases(RED, 1), site.leases(RED, 2)
    before.keep()
    after = Leases(replace(place(RED, 1), pod=IPv4Address("10.60.0.99")), Etcd(store), ttl=TTL)
    after.keep()
    before.keep()
    assert "was taken by another pod" in before.problem
    assert watching.keep() == (Peer(1, IPv4Address("10.60.0.99")),)


def test_who_follows_hears_of_a_lease_that_comes_and_of_one_that_goes(site: Site) -> None:
    account, changed, stop = site.account(site.networks.ensure(RED, 100)), threading.Event(), threading.Event()
    thread = threading.Thread(target=follow, args=("red", account, changed, stop), daemon=True)
    thread.start()
    assert changed.wait(SECONDS), "a watch begins with a look"
    changed.clear()
    one = site.leases(RED, 1)
    one.keep()
    assert changed.wait(SECONDS)
    changed.clear()
    one.end()
    assert changed.wait(SECONDS)
    stop.set()


def test_a_cluster_neither_reads_nor_writes_what_is_anothers(site: Site) -> None:
    site.leases(BLUE, 1).keep()
    red = Etcd(site.account(site.networks.ensure(RED, 100)))
    blues = flannel.lease_key("blue", place(BLUE, 1).block)
    attempts: dict[str, Callable[[], object]] = {
        "read": lambda: red.range(flannel.prefix("blue")),
        "write": lambda: red.put(blues, "{}"),
        "delete": lambda: red.delete(flannel.leases_prefix("blue")),
        "read all": lambda: red.range("/"),
        "watch": lambda: next(red.watch(flannel.leases_prefix("blue"))),
        "users": lambda: red.ask("auth/user/list", {}),
        "own config": lambda: red.put(flannel.config_key("red"), "{}"),
    }
    for name, attempt in attempts.items():
        with pytest.raises((Refused, Away)) as refused:
            attempt()
        assert "permission denied" in str(refused.value), name
    assert red.get(flannel.config_key("red"))
    assert site.root().get(blues), "it is there, had it been allowed"


def test_nobody_comes_in_without_a_password(site: Site) -> None:
    with pytest.raises(Refused, match="authentication failed"):
        Etcd(Account(site.url, site.ca, "root", "guess")).range("/")


def test_a_server_that_our_authority_does_not_certify_is_told_nothing(site: Site, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.crt"))
    with pytest.raises(Away, match="CERTIFICATE_VERIFY_FAILED"):
        Etcd(Account(site.url, tmp_path / "other.crt", "root", site.password)).authenticate()


def test_a_cluster_is_ensured_again_without_a_change(site: Site) -> None:
    first = site.networks.ensure(RED, 100)
    revision = site.root().range("/").revision
    assert site.networks.ensure(RED, 100) == first
    assert site.root().range("/").revision == revision


def test_what_somebody_changed_is_as_it_was_after_the_next_ensure(site: Site) -> None:
    store, root = site.networks.ensure(RED, 100), site.root()
    root.ask("auth/role/grant", {"name": store.user, "perm": {"permType": "READ", "key": "QQ=="}})
    root.ask("auth/user/changepw", {"name": store.user, "password": "other"})
    root.delete("/coreos.com/network/red/")
    assert site.networks.ensure(RED, 100) == store
    assert len(root.ask("auth/role/get", {"role": store.user})["perm"]) == 2
    assert Etcd(site.account(store)).get(flannel.config_key("red"))


def test_a_later_cluster_of_the_same_name_has_another_password(site: Site) -> None:
    before, after = site.networks.ensure(RED, 100), site.networks.ensure(replace(RED, uid="9"), 101)
    assert before.password != after.password
    with pytest.raises(Refused, match="authentication failed"):
        Etcd(site.account(before)).authenticate()


def test_nothing_of_a_dropped_cluster_is_left_and_all_of_the_other(site: Site) -> None:
    store = site.networks.ensure(RED, 100)
    for each in (site.leases(RED, 1), site.leases(BLUE, 1)):
        each.keep()
    for _ in range(2):
        site.networks.drop("red")
    assert not site.root().range(flannel.prefix("red")).values
    assert len(site.root().range(flannel.prefix("blue")).values) == 2
    with pytest.raises(Refused):
        Etcd(site.account(store)).authenticate()


def test_another_store_in_the_place_of_the_first_is_seen_as_such(lab: Lab, folder: Path, ports: list[int]) -> None:
    password = (folder / "password").read_text()
    networks = NetworkEtcd(IPv4Address("10.61.0.9"), folder / "ca.crt", password, url=f"https://127.0.0.1:{ports[-1]}")
    with serving(lab, folder, ports):
        one = Site(folder, ports[-1], folder / "ca.crt", password, networks).leases(RED, 1)
        one.keep()
        assert not one.is_new_store
    with pytest.raises(Away):
        one.keep()
    with serving(lab, folder, ports):
        one.keep()
        assert not one.is_new_store, "the same data are the same store"
    run(["rm", "-r", str(folder / "store")], timeout=10)
    with serving(lab, folder, ports):
        with pytest.raises((Refused, Away)):
            one.keep()
        with pytest.raises(Refused, match="authentication failed"):
            one.keep()
        networks.ensure(RED, 100)
        one.keep()
        assert one.is_new_store


def test_a_store_that_does_not_answer_is_a_harness_error_with_a_hint(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    networks = NetworkEtcd(IPv4Address("10.61.0.9"), tmp_path / "ca.crt", "x", url="https://127.0.0.1:1")
    with pytest.raises(HarnessError, match="red") as error:
        networks.ensure(RED, 100)
    assert "kubectl" in error.value.hint
