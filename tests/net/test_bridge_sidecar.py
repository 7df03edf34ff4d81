"""The sidecars of pods with a real etcd on the pod network: leases come, end and come back, and the network follows."""

import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import trustme

from kubeception_sim.agents.bridge.etcd import Account, Away, Etcd
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.inner.store import MAKE, NetworkEtcd, server_flags
from kubeception_sim.lab import Lab
from kubeception_sim.run import require, run, spawn
from kubeception_sim.run.lasting import Process
from tests.net.bridge_ground import FABRIC, PODS, SUBNET, Ground, ground, place
from tests.net.policy_ground import inside

TTL, DEADLINE = 3, 30.0
URL = f"https://{FABRIC}:2379"
RED1, RED2 = place("red1"), place("red2")


def eventually(what: Callable[[], object], expected: object, seconds: float = DEADLINE) -> None:
    until = time.monotonic() + seconds
    while (seen := what()) != expected:
        assert time.monotonic() < until, f"after {seconds:g} s it is {seen!r}, not {expected!r}"
        time.sleep(0.1)


@dataclass
class Site:
    """Pods, and a store at the fabric's address."""

    pods: Ground
    folder: Path
    sidecars: dict[str, ExitStack] = field(default_factory=dict)

    @property
    def lab(self) -> Lab:
        return self.pods.lab

    @contextmanager
    def store(self) -> Iterator[None]:
        """etcd, with the clusters in it."""
        fabric, folder = self.pods.pod("fabric"), self.folder
        environment = {"DATA": str(folder), "SECRET": str(folder), "CLIENT_PORT": "2381", "PEER_PORT": "2380"}
        made = self.lab.env | environment | {"TOKEN": secrets.token_hex(8)}
        run(["sh", "-c", MAKE], namespace=fabric, env=made, timeout=30)
        urls = {"client": URL, "peer": "http://127.0.0.1:2380", "metrics": "http://127.0.0.1:2382"}
        flags = server_flags(str(folder), str(folder), **urls)
        log = self.lab.directory / "etcd.log"
        with spawn(flags, namespace=fabric, log=log, env=self.lab.env) as process:
            eventually(lambda: self._answers(process, log), True)
            yield

    def _answers(self, process: Process, log: Path) -> bool:
        assert process.poll() is None, log.read_text()
        password = (self.folder / "password").read_text()
        networks = NetworkEtcd(IPv4Address(FABRIC), self.folder / "ca.crt", password)
        with suppress(Away), inside(self.pods.pod("fabric")):
            Etcd(Account(URL, self.folder / "ca.crt", "root", password)).authenticate()
            found = networks.ensure(Cluster("red", uid="1"), 100)
            (self.folder / "user").write_text(found.user)
            (self.folder / "red").mkdir(exist_ok=True)
            for name, content in (("user", found.user), ("password", found.password), ("ca.crt", found.ca)):
                (self.folder / "red" / name).write_text(content)
            return True
        return False

    def start(self, name: str) -> Process:
        """The sidecar of a pod, as its container starts it."""
        where, stack = place(name), ExitStack()
        variables = {
            "KUBECEPTION_CLUSTER": where.cluster,
            "KUBECEPTION_ROLE": "master",
            "KUBECEPTION_VNI": str(where.vni),
            "KUBECEPTION_INDEX": str(where.index),
            "KUBECEPTION_SUBNET": str(SUBNET),
            "KUBECEPTION_PODS": str(PODS),
            "POD_IP": str(where.pod),
            "NETWORK_ETCD": URL,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        module = ["-m", "kubeception_sim.agents.bridge", "run", "--secret", str(self.folder / "red"), "--ttl", str(TTL)]
        started: AbstractContextManager[Process] = spawn(
            [sys.executable, *module],
            namespace=self.pods.pod(name),
            log=self.lab.directory / f"{name}.log",
            env=self.lab.env | variables,
            # The machine's cable stays plugged in: at the end, the sidecar would wait for it.
            grace=0.1,
        )
        self.sidecars[name] = stack
        return self.pods.stack.enter_context(stack).enter_context(started)

    def ask(self, name: str, page: str) -> tuple[int, str]:
        """A page of a pod, as the kubelet asks for it: status and text; 0 when nobody answers."""
        with inside(self.pods.pod("fabric")):
            try:
                with urllib.request.urlopen(f"http://{place(name).pod}:9081{page}", timeout=5) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as refused:
                return refused.code, refused.read().decode()
            except OSError as error:
                return 0, str(error)

    def peers(self, name: str) -> object:
        """What a sidecar says of its peers."""
        status, text = self.ask(name, "/peers")
        return json.loads(text) if status == 200 else text

    def ready(self, name: str) -> int:
        return self.ask(name, "/readyz")[0]

    def entries(self, name: str) -> set[str]:
        """The pods to which a VXLAN device floods."""
        text = run(["bridge", "-json", "fdb", "show", "dev", place(name).vxlan], namespace=self.pods.pod(name), timeout=10).stdout
        return {each["dst"] for each in json.loads(text) if "dst" in each}

    def reaches(self) -> bool:
        """Whether the machine of red1 reaches that of red2."""
        return self.pods.pings(self.pods.vm("red1"), str(RED2.machine))


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    require("etcd", "etcd-server")
    require("etcdctl", "etcd-client")
    folder, authority = lab.subdirectory("store"), trustme.CA()
    issued = authority.issue_cert(FABRIC)
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
    issued.private_key_pem.write_to_path(str(folder / "tls.key"))
    (folder / "password").write_text(secrets.token_hex(16))
    with ground(lab) as pods:
        for name in ("red1", "red2"):
            pods.join(name, (name,))
        yield Site(pods, folder)


def peer(name: str) -> dict[str, object]:
    """As /peers has it."""
    return {"index": place(name).index, "pod": str(place(name).pod)}


def test_a_peer_whose_sidecar_dies_is_dropped_and_comes_back(site: Site) -> None:
    with site.store():
        site.start("red1")
        eventually(lambda: site.ready("red1"), 200)
        assert site.peers("red1") == []
        assert not site.reaches()
        second = site.start("red2")
        eventually(lambda: site.peers("red1"), [peer("red2")])
        eventually(lambda: site.peers("red2"), [peer("red1")])
        eventually(site.reaches, True)
        second.kill()
        eventually(lambda: site.peers("red1"), [])
        eventually(lambda: site.entries("red1"), set())
        assert not site.reaches()
        assert site.ask("red1", "/healthz") == (200, "ok\n"), "that a peer is gone is not its fault"
        site.start("red2")
        eventually(site.reaches, True)


def test_the_network_outlives_the_store_and_the_sidecar_without_it(site: Site) -> None:
    with site.store():
        first = site.start("red1")
        site.start("red2")
        eventually(lambda: site.peers("red1"), [peer("red2")])
        eventually(site.reaches, True)
    eventually(lambda: site.ready("red1"), 503)
    assert f"etcd at {FABRIC}:2379" in site.ask("red1", "/readyz")[1]
    assert site.ask("red1", "/healthz")[0] == 200
    first.kill()
    site.start("red1")
    eventually(lambda: site.ask("red1", "/healthz"), (200, "ok\n"))
    assert site.peers("red1") == [peer("red2")]
    assert site.entries("red1") == {str(RED2.pod)}
    assert site.reaches()
    with site.store():
        eventually(lambda: site.ready("red1"), 200)
        eventually(lambda: site.peers("red1"), [peer("red2")])
        eventually(site.reaches, True)


def test_a_link_that_is_taken_away_is_made_again_and_counted(site: Site) -> None:
    with site.store():
        site.start("red1")
        site.start("red2")
        eventually(site.reaches, True)
        site.pods.ip(site.pods.pod("red1"), "link delete dev flannel.100")
        eventually(site.reaches, True)
        status, text = site.ask("red1", "/metrics")
        assert status == 200
        found = dict(line.rsplit(" ", 1) for line in text.splitlines())
        assert float(found["kubeception_bridge_changes_total"]) >= 2
        assert found["kubeception_bridge_peers"] == "1"


def test_a_cable_that_cannot_be_made_again_is_why_a_pod_is_not_healthy(site: Site) -> None:
    with site.store():
        site.start("red1")
        eventually(lambda: site.ready("red1"), 200)
        # The pod's own link has another address: nothing can be built on it.
        pod = site.pods.pod("red1")
        site.pods.ip(pod, "address add 10.60.0.99/24 dev eth0", f"address delete {RED1.pod}/24 dev eth0")
        log = site.lab.directory / "red1.log"
        eventually(lambda: f"no link has the pod's address {RED1.pod}" in log.read_text(), True)
        site.pods.ip(pod, f"address add {RED1.pod}/24 dev eth0")
        eventually(lambda: site.ask("red1", "/healthz"), (200, "ok\n"))
