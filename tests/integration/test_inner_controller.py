"""The controller of inner clusters against a real API server: it comes to what is wanted, wherever it is ended on the way."""

import secrets
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import httpx2
import pytest
from lightkube import KubeConfig

from kubeception_sim.agents.issue.record import fingerprint
from kubeception_sim.errors import HarnessError, KubeceptionError
from kubeception_sim.inner import addons, schema
from kubeception_sim.inner.allocation import NAMESPACE, machines
from kubeception_sim.inner.controller import upgrading
from kubeception_sim.inner.controller.__main__ import watch
from kubeception_sim.inner.controller.api import Api, Refused
from kubeception_sim.inner.controller.inside import NOTE, InsideApi
from kubeception_sim.inner.controller.leaving import FINALIZER, FORCE
from kubeception_sim.inner.controller.observed import CLUSTERS, LEASES
from kubeception_sim.inner.controller.passes import Passes
from kubeception_sim.inner.controller.reconcile import MOVING_SECONDS, SETTLED_SECONDS, Reconciler
from kubeception_sim.inner.doors import TOKEN_REFUSED, Held
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.lab import Lab
from tests.api_server import Kubernetes, serving
from tests.disks import sweeping
from tests.inner_doors import TOKEN_SECONDS, Memory

pytestmark = pytest.mark.timeout(240)

SECONDS = 60.0
BASE = "kubeception.local/base:1"
NODES = ("node-a", "node-b")


class Ended(KeyboardInterrupt):
    """The controller was killed."""


@dataclass
class Wire:
    """Every request to the API server goes through here: counted, and ended when it is told so."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    fatal: int = -1
    after: bool = False

    def writes(self) -> list[tuple[str, str]]:
        return [each for each in self.calls if each[0] != "GET"]

    def ask(self, request: httpx2.Request) -> None:
        self.calls.append((request.method, request.url.path))
        if not self.after and len(self.calls) - 1 == self.fatal:
            raise Ended

    def answer(self, response: httpx2.Response) -> None:
        if self.after and len(self.calls) - 1 == self.fatal:
            raise Ended


@dataclass
class Ground:
    """One cluster, the controller, and its doors. `late` is added to the clock."""

    kubernetes: Kubernetes
    api: Api
    name: str
    wire: Wire
    memory: Memory = field(default_factory=Memory)
    late: timedelta = timedelta()
    client: httpx2.Client = field(init=False)
    reconciler: Reconciler = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.kubernetes.client()
        self.client.event_hooks = {"request": [self.wire.ask], "response": [self.wire.answer]}
        self.start_again()

    def start_again(self) -> None:
        """Another controller: what it knows it has to find out."""
        self.reconciler = Reconciler(
            *(Api(self.client), self.memory.doors(), self.memory.inside, BASE),
            *(lambda: datetime.now(UTC) + self.late, self.memory.pods),
        )

    @property
    def namespace(self) -> str:
        return f"cluster-{self.name}"

    @property
    def path(self) -> str:
        return f"{CLUSTERS}/{self.name}"

    def create(self, **spec: Any) -> None:
        document = {"apiVersion": schema.API_VERSION, "kind": schema.KIND, "metadata": {"name": self.name}, "spec": spec}
        assert self.api.create(document)

    def change(self, **spec: Any) -> None:
        self.api.merge(self.path, {"spec": spec})

    def reconcile(self) -> float | None:
        self.wire.calls.clear()
        return self.reconciler.reconcile(self.name)

    def cluster(self) -> dict[str, Any]:
        found = self.api.get(self.path)
        assert found is not None
        return found

    def status(self) -> dict[str, Any]:
        return dict(self.cluster()["status"])

    def condition(self, about: str) -> tuple[str, str]:
        found = next(each for each in self.status()["conditions"] if each["type"] == about)
        return found["status"], found["reason"]

    def phases(self) -> dict[str, str]:
        return {vm["name"]: vm["phase"] for vm in self.status()["vms"]}

    def there(self, collection: str) -> set[str]:
        return {each["metadata"]["name"] for each in self.api.list(f"{collection}")}

    def deployments(self) -> dict[str, int]:
        found = self.api.list(f"/apis/apps/v1/namespaces/{self.namespace}/deployments")
        return {each["metadata"]["name"]: each["spec"]["replicas"] for each in found}

    def pods(self) -> dict[str, dict[str, Any]]:
        found = self.api.list(f"/api/v1/namespaces/{self.namespace}/pods")
        return {each["metadata"]["labels"]["kubeception.io/vm"]: each for each in found}

    def pod(self, vm: str) -> dict[str, Any]:
        """The pod of a machine, as soon as its deployment has made it."""
        until = time.monotonic() + SECONDS
        while vm not in (found := self.pods()):
            assert time.monotonic() < until, f"there is no pod of {vm}, but of {sorted(found)}"
            time.sleep(0.05)
        return found[vm]

    def token(self, vm: str) -> dict[str, Any] | None:
        return self.api.get(f"/api/v1/namespaces/{self.namespace}/secrets/{vm}-token")

    def events(self) -> set[tuple[str, str]]:
        found = self.api.list("/api/v1/namespaces/default/events")
        return {(each["type"], each["reason"]) for each in found if each["involvedObject"]["name"] == self.name}

    def tell(self, vm: str, status: Mapping[str, Any]) -> None:
        self.kubernetes.tell(self.api, self.namespace, self.pod(vm)["metadata"]["name"], status)

    def run(self, vm: str, *, ready: bool = True) -> None:
        """The machine runs, and inside it is a node."""
        address = f"10.60.1.{10 + len(self.memory.inside.names.get(self.name, {}))}"
        self.tell(vm, running(address))
        self.memory.inside.names.setdefault(self.name, {})[vm] = ready

    def bring_up(self, *vms: str) -> None:
        """All of it, to the end."""
        for vm in vms:
            self.reconcile()
            self.run(vm)
        self.reconcile()
        assert self.condition("Ready") == ("True", "Ready")


def running(address: str) -> dict[str, Any]:
    conditions = [{"type": each, "status": "True"} for each in ("Initialized", "Ready", "ContainersReady", "PodScheduled")]
    return {"phase": "Running", "podIP": address, "conditions": conditions, "initContainerStatuses": [step(0)]}


def step(code: int, when: datetime | None = None) -> dict[str, Any]:
    """What a kubelet says of a pki step that has ended."""
    time = (when or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    ended = {"exitCode": code, "finishedAt": time, "startedAt": time, "reason": "Error", "containerID": "x://1"}
    whole = {"name": "pki", "image": "x", "imageID": "x", "ready": code == 0, "restartCount": 0}
    return whole | {"state": {"terminated": ended}}


def eventually(what: Callable[[], object], expected: object, seconds: float = SECONDS) -> None:
    until = time.monotonic() + seconds
    while (seen := what()) != expected:
        assert time.monotonic() < until, f"after {seconds:g} s it is {seen!r}, not {expected!r}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    with Lab.create(tmp_path_factory.mktemp("controller")) as lab, serving(lab) as found, closing(found.client()) as client:
        api = Api(client)
        api.apply(schema.crd())
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        eventually(lambda: _is_served(api), True)
        for name in NODES:
            found.join(api, name)
        with sweeping(found):
            yield found


def _is_served(api: Api) -> bool:
    try:
        return api.list(CLUSTERS) == []
    except Refused:
        return False


@pytest.fixture
def api(kubernetes: Kubernetes) -> Iterator[Api]:
    with closing(kubernetes.client()) as client:
        yield Api(client)


Make = Callable[[Wire], Ground]


@pytest.fixture
def make(kubernetes: Kubernetes, api: Api) -> Iterator[Make]:
    """Clusters of names that nobody else has."""
    with ExitStack() as stack:

        def made(wire: Wire) -> Ground:
            ground = Ground(kubernetes, api, f"c{secrets.token_hex(3)}", wire)
            stack.enter_context(closing(ground.client))
            return ground

        yield made


@pytest.fixture
def ground(make: Make) -> Ground:
    return make(Wire())


# What the API server takes


def test_the_api_server_fills_in_what_is_not_said(ground: Ground) -> None:
    ground.create()
    assert ground.cluster()["spec"] == schema.completed(schema.SPEC, {})


@pytest.mark.parametrize(
    ("name", "spec", "said"),
    [
        ("a" * 12, {}, "metadata.name"),
        ("x-etcd", {}, "metadata.name"),
        ("Blue", {}, "metadata.name"),
        ("blue", {"masters": {"count": 2}}, "spec.masters.count"),
        ("blue", {"pools": [{"name": "w", "replicas": 61}]}, "spec.pools.replicas"),
        ("blue", {"pools": [{"name": "w"}, {"name": "w"}]}, "Duplicate value"),
        ("blue", {"masters": {"memory": "3GB"}}, "spec.masters.memory"),
    ],
)
def test_the_api_server_refuses_what_cannot_be(api: Api, name: str, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said) as caught:
        api.create({"apiVersion": schema.API_VERSION, "kind": schema.KIND, "metadata": {"name": name}, "spec": spec})
    assert caught.value.status == 422


# A cluster comes up


def test_a_cluster_comes_up_master_first(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    assert ground.deployments() == {"master-0": 1}
    assert ground.phases() == {"master-0": "Pending", "worker-0": "Waiting"}
    assert ground.status()["vni"] == ground.memory.network.vnis[ground.name] >= 100
    ground.run("master-0")
    ground.reconcile()
    assert ground.deployments() == {"master-0": 1, "worker-0": 1}
    assert ground.condition("ControlPlaneReady") == ("True", "Ready")
    assert ground.condition("Ready") == ("False", "Creating")
    ground.run("worker-0")
    ground.reconcile()
    assert (ground.status()["phase"], ground.status()["machines"]) == ("Running", "2/2")
    assert ground.condition("Ready") == ("True", "Ready")
    assert ("Normal", "Ready") in ground.events()


def test_three_masters_start_together(ground: Ground) -> None:
    """The members of an etcd wait for each other."""
    ground.create(masters={"count": 3})
    ground.reconcile()
    assert ground.deployments() == {"master-0": 1, "master-1": 1, "master-2": 1}
    for vm in ("master-0", "master-1"):
        ground.run(vm)
    ground.reconcile()
    assert "worker-0" not in ground.deployments()


def test_add_ons_are_applied_inside_once_the_cluster_is_ready(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    ground.run("master-0")
    ground.reconcile()
    assert ground.name not in ground.memory.inside.applied
    ground.run("worker-0")
    ground.reconcile()
    assert ground.condition("Ready") == ("True", "Ready")
    ground.reconcile()
    kinds = {each["kind"] for each in ground.memory.inside.applied[ground.name]}
    assert {"DaemonSet", "Deployment", "Service"} <= kinds


def test_a_node_that_is_not_ready_inside_is_no_ready_cluster(ground: Ground) -> None:
    ground.create()
    ground.bring_up("master-0", "worker-0")
    ground.memory.inside.names[ground.name]["worker-0"] = False
    ground.reconcile()
    assert ground.condition("WorkersReady") == ("False", "NodesNotReady")
    assert (ground.status()["phase"], ground.condition("Ready")) == ("Degraded", ("False", "Degraded"))
    assert ("Warning", "Degraded") in ground.events()


def test_a_settled_cluster_is_only_read(ground: Ground) -> None:
    ground.create()
    ground.bring_up("master-0", "worker-0")
    ground.reconcile()
    before = ground.cluster()["metadata"]["resourceVersion"]
    ground.reconcile()
    assert ground.wire.writes() == []
    assert ground.cluster()["metadata"]["resourceVersion"] == before


def test_what_somebody_else_changed_is_changed_back(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    path = f"/apis/networking.k8s.io/v1/namespaces/{ground.namespace}/networkpolicies"
    whole = ground.there(path)
    ground.api.merge(f"{path}/nothing", {"spec": {"policyTypes": ["Ingress"]}})
    machines = ground.api.get(f"{path}/machines")
    assert machines is not None
    ground.api.delete(f"{path}/machines", machines["metadata"]["uid"])
    ground.reconcile()
    assert ground.there(path) == whole
    nothing = ground.api.get(f"{path}/nothing")
    assert nothing is not None
    assert nothing["spec"]["policyTypes"] == ["Ingress", "Egress"]


# It changes


def test_a_worker_that_is_not_wanted_goes_and_its_number_is_free(ground: Ground) -> None:
    ground.create(pools=[{"name": "worker", "replicas": 2}])
    ground.reconcile()
    ground.run("master-0")
    ground.reconcile()
    for vm in ("worker-0", "worker-1"):
        ground.run(vm)
    ground.reconcile()
    ground.change(pools=[{"name": "worker", "replicas": 1}])
    ground.reconcile()
    eventually(lambda: "worker-1" in ground.pods(), False)
    ground.reconcile()
    assert ground.deployments() == {"master-0": 1, "worker-0": 1}
    assert "worker-1-values" not in ground.there(f"/api/v1/namespaces/{ground.namespace}/configmaps")
    assert ground.token("worker-1") is None
    ground.reconcile()
    assert f"{ground.name}.vm-3" not in ground.there(LEASES)
    assert ground.memory.inside.names[ground.name] == {"master-0": True, "worker-0": True}
    assert ground.memory.authorities.members[ground.name] == ("master-0", "worker-0")


def test_a_cluster_that_hibernates_keeps_its_numbers_and_wakes_master_first(ground: Ground) -> None:
    ground.create()
    ground.bring_up("master-0", "worker-0")
    vni = ground.status()["vni"]
    ground.change(hibernated=True)
    ground.reconcile()
    assert ground.deployments() == {"master-0": 0, "worker-0": 0}
    eventually(ground.pods, {})
    ground.reconcile()
    assert (ground.status()["phase"], ground.phases()) == ("Hibernated", {"master-0": "Stopped", "worker-0": "Stopped"})
    assert ground.status()["vni"] == vni
    ground.change(hibernated=False)
    ground.reconcile()
    assert ground.deployments() == {"master-0": 1, "worker-0": 0}
    ground.run("master-0")
    ground.reconcile()
    assert ground.deployments() == {"master-0": 1, "worker-0": 1}


def test_nothing_is_done_for_a_cluster_that_is_paused(ground: Ground) -> None:
    ground.create()
    ground.bring_up("master-0", "worker-0")
    ground.change(paused=True, pools=[{"name": "worker", "replicas": 3}])
    ground.reconcile()
    assert {path for _, path in ground.wire.writes() if "events" not in path} == {f"{ground.path}/status"}
    assert ground.deployments() == {"master-0": 1, "worker-0": 1}
    assert ground.condition("Progressing") == ("False", "Paused")
    assert ground.condition("Ready") == ("True", "Ready")
    ground.api.delete(ground.path, ground.cluster()["metadata"]["uid"])
    ground.reconcile()
    assert ground.deployments() == {"master-0": 1, "worker-0": 1}


def test_machines_that_are_to_be_different_start_anew_one_at_a_time(ground: Ground) -> None:
    ground.create(pools=[{"name": "worker", "replicas": 2}])
    ground.reconcile()
    ground.run("master-0")
    ground.reconcile()
    for vm in ("worker-0", "worker-1"):
        ground.run(vm)
    ground.reconcile()
    before = {vm: each["metadata"]["uid"] for vm, each in ground.pods().items()}
    ground.change(pools=[{"name": "worker", "replicas": 2, "memory": "4Gi"}])
    # A deployment says after a while that its pod is of the template of now; until then nobody has a turn.
    eventually(lambda: (ground.reconcile(), ground.pod("worker-0")["metadata"]["uid"] != before["worker-0"])[1], True)
    ground.reconcile()
    assert ground.pods()["worker-1"]["metadata"]["uid"] == before["worker-1"]
    ground.run("worker-0")
    eventually(lambda: (ground.reconcile(), ground.pod("worker-1")["metadata"]["uid"] != before["worker-1"])[1], True)
    assert ground.pods()["master-0"]["metadata"]["uid"] == before["master-0"]


def test_what_cannot_be_changed_is_said_and_not_done(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    ground.change(network={"pods": "10.90.0.0/16"})
    with pytest.raises(KubeceptionError, match="cannot be changed"):
        ground.reconcile()
    assert ground.condition("Progressing") == ("False", "Failed")


# Tokens


def test_every_start_of_a_machine_has_a_token_of_its_own(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    first = ground.pod("master-0")["metadata"]
    ground.reconcile()
    ground.reconcile()
    assert ground.memory.authorities.tokens == [(ground.name, "master-0")]
    ground.run("master-0")
    ground.reconcile()
    spent = ground.token("master-0")
    assert spent is not None
    assert "data" not in spent
    ground.api.delete(f"/api/v1/namespaces/{ground.namespace}/pods/{first['name']}", first["uid"])
    eventually(lambda: ground.pod("master-0")["metadata"]["uid"] != first["uid"], True)
    ground.reconcile()
    made = ground.token("master-0")
    assert made is not None
    assert made["metadata"]["annotations"]["kubeception.io/token-of"] == ground.pod("master-0")["metadata"]["uid"]
    assert ground.memory.authorities.tokens.count((ground.name, "master-0")) == 2


def test_a_token_that_somebody_else_had_is_an_alarm_and_not_made_anew(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    ground.pod("master-0")
    ground.reconcile()
    ground.tell("master-0", {"initContainerStatuses": [step(TOKEN_REFUSED, datetime.now(UTC) + timedelta(seconds=2))]})
    ground.reconcile()
    assert ground.condition("CertificatesReady") == ("False", "TokenRefused")
    assert ground.status()["phase"] == "Failed"
    assert ("Warning", "TokenRefused") in ground.events()
    ground.late = timedelta(hours=1)
    ground.reconcile()
    assert len(ground.memory.authorities.tokens) == 1


def test_a_token_that_waited_for_too_long_is_made_anew(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    ground.pod("master-0")
    ground.reconcile()
    ground.late = timedelta(seconds=TOKEN_SECONDS + 30)
    ground.tell("master-0", {"initContainerStatuses": [step(TOKEN_REFUSED, datetime.now(UTC) + ground.late)]})
    ground.late += timedelta(seconds=5)
    ground.reconcile()
    ground.reconcile()
    assert len(ground.memory.authorities.tokens) == 2
    assert ground.condition("CertificatesReady") == ("True", "Ready")


# Certificates that become new


def says(ground: Ground, vm: str, held: Held) -> None:
    ground.memory.pods.says[IPv4Address(ground.pod(vm)["status"]["podIP"])] = held


def told(ground: Ground) -> dict[str, str]:
    return {vm["name"]: vm.get("rotation", "") for vm in ground.status()["vms"]}


def now() -> int:
    return int(datetime.now(UTC).timestamp())


def wrapped(ground: Ground, vm: str) -> str:
    """The token that a machine's Secret has, for the rotation that it names; empty without one."""
    data = (ground.token(vm) or {}).get("data", {})
    return ":".join(b64decode(data[key]).decode() for key in ("rotation", "wrapped") if key in data)


@pytest.fixture
def running_cluster(ground: Ground) -> Ground:
    ground.create(os="testbed-1")
    ground.bring_up("master-0", "worker-0")
    for vm in ("master-0", "worker-0"):
        says(ground, vm, Held("", now(), now() + 3000))
    ground.reconcile()
    assert ground.condition("Progressing") == ("False", "Done")
    return ground


def test_certificates_become_new_one_machine_after_the_other(running_cluster: Ground) -> None:
    ground = running_cluster
    before = {vm: each["metadata"]["uid"] for vm, each in ground.pods().items()}
    ground.change(rotation="spring")
    assert ground.reconcile() == MOVING_SECONDS
    assert (wrapped(ground, "master-0"), wrapped(ground, "worker-0")) == ("spring:wrapped-1", "")
    assert ground.pod("master-0")["metadata"]["annotations"]["kubeception.io/rotation"].startswith("spring@")
    assert ground.condition("Progressing") == ("True", "Rotating")
    assert ground.condition("Ready") == ("True", "Ready"), "it serves all the time"
    ground.reconcile()
    assert len(ground.memory.authorities.tokens) == 1, "one token is enough"
    says(ground, "master-0", Held("spring", now(), now() + 3000))
    ground.reconcile()
    assert (wrapped(ground, "master-0"), wrapped(ground, "worker-0")) == ("", "spring:wrapped-2")
    says(ground, "worker-0", Held("spring", now(), now() + 3000))
    assert ground.reconcile() == SETTLED_SECONDS
    assert told(ground) == {"master-0": "spring", "worker-0": "spring"}
    assert ground.condition("Progressing") == ("False", "Done")
    assert {vm: each["metadata"]["uid"] for vm, each in ground.pods().items()} == before, "nobody was started anew"


def test_a_controller_that_is_ended_goes_on_with_the_machine_whose_turn_it_was(running_cluster: Ground) -> None:
    ground = running_cluster
    ground.change(rotation="spring")
    ground.reconcile()
    ground.start_again()
    ground.reconcile()
    assert (wrapped(ground, "master-0"), wrapped(ground, "worker-0")) == ("spring:wrapped-1", "")
    says(ground, "master-0", Held("spring", now(), now() + 3000))
    ground.start_again()
    ground.reconcile()
    assert wrapped(ground, "worker-0") == "spring:wrapped-2"


def test_certificates_are_renewed_before_they_end(running_cluster: Ground) -> None:
    ground = running_cluster
    ground.late = timedelta(seconds=1800)
    ground.reconcile()
    assert len(ground.memory.authorities.tokens) == 0
    ground.late = timedelta(seconds=2100)
    ground.reconcile()
    assert ground.memory.authorities.tokens == [(ground.name, "master-0")]


def test_a_token_for_new_certificates_that_was_stolen_is_an_alarm(running_cluster: Ground) -> None:
    ground = running_cluster
    ground.change(rotation="spring")
    ground.reconcile()
    mark = fingerprint("wrapped-1")
    says(ground, "master-0", Held("", now(), now() + 3000, refused=now(), wrapper=mark, why="somebody else has had it"))
    ground.reconcile()
    assert ground.condition("CertificatesReady") == ("False", "TokenRefused")
    ground.reconcile()
    assert len(ground.memory.authorities.tokens) == 1, "no other is made"
    assert wrapped(ground, "worker-0") == ""


def test_one_that_was_refused_before_is_no_alarm_for_the_token_of_now(running_cluster: Ground) -> None:
    ground = running_cluster
    says(ground, "master-0", Held("", now(), now() + 3000, refused=now() + 5, wrapper=fingerprint("another")))
    ground.change(rotation="spring")
    ground.reconcile()
    ground.reconcile()
    assert ground.condition("CertificatesReady") == ("True", "Ready")


def test_when_each_machine_gets_its_certificates_end_is_told(running_cluster: Ground) -> None:
    for vm in running_cluster.status()["vms"]:
        until = datetime.strptime(vm["certificatesUntil"], "%Y-%m-%dT%H:%M:%S%z")
        assert until.timestamp() == pytest.approx(now() + 3000, abs=60)


# Upgrades


def test_machines_are_replaced_by_those_of_another_system_masters_first(running_cluster: Ground) -> None:
    ground = running_cluster
    before = {vm: each["metadata"]["uid"] for vm, each in ground.pods().items()}
    ground.change(os="testbed-2")
    assert ground.reconcile() == MOVING_SECONDS
    assert ground.condition("Progressing") == ("True", "Upgrading")
    eventually(lambda: (ground.reconcile(), ground.pod("master-0")["metadata"]["uid"] != before["master-0"])[1], True)
    assert ground.pods()["worker-0"]["metadata"]["uid"] == before["worker-0"], "one at a time"
    ground.memory.inside.busy.add("worker-0")
    ground.run("master-0")
    eventually(lambda: (ground.reconcile(), ground.memory.inside.closed)[1], {"worker-0"})
    ground.start_again()
    ground.reconcile()
    assert ground.pods()["worker-0"]["metadata"]["uid"] == before["worker-0"], "its pods have not left yet"
    ground.memory.inside.busy.clear()
    eventually(lambda: (ground.reconcile(), ground.pod("worker-0")["metadata"]["uid"] != before["worker-0"])[1], True)
    ground.run("worker-0")
    eventually(lambda: (ground.reconcile(), ground.condition("Progressing"))[1], ("False", "Done"))
    assert ground.memory.inside.closed == set(), "pods may come again"
    kernels = {container_of(each)["KUBECEPTION_INITRD"] for each in ground.pods().values()}
    assert kernels == {f"/var/lib/kubeception/images/{'b' * 64}/initrd.zst"}


def container_of(pod: Mapping[str, Any]) -> dict[str, str]:
    vm = next(each for each in pod["spec"]["containers"] if each["name"] == "vm")
    return {each["name"]: each.get("value", "") for each in vm["env"]}


def test_a_system_that_nobody_serves_is_said_and_not_done(ground: Ground) -> None:
    ground.create(os="testbed-9")
    with pytest.raises(KubeceptionError, match=r"spec.os: there is no image 'testbed-9' of v1.20.2, but testbed-1, testbed-2"):
        ground.reconcile()
    assert ground.deployments() == {}


def pod_on(ground: Ground, node: str, name: str, **metadata: Any) -> None:
    eventually(lambda: ground.api.get("/api/v1/namespaces/default/serviceaccounts/default") is not None, True)
    container = {"name": "one", "image": "kubeception.local/pause:3.2"}
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [container]} | {
        "automountServiceAccountToken": False
    }
    known = {"name": name, "namespace": "default", **metadata}
    assert ground.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": known, "spec": spec})


def daemon_set(ground: Ground) -> dict[str, str]:
    """One that is there, as an owner: what belongs to none is collected."""
    labels = {"of": ground.name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "one", "image": "kubeception.local/pause:3.2"}]}}
    known = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": ground.name, "namespace": "default"}}
    assert ground.api.create(known | {"spec": {"selector": {"matchLabels": labels}, "template": template}})
    made = ground.api.get(f"/apis/apps/v1/namespaces/default/daemonsets/{ground.name}")
    assert made
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": ground.name, "uid": made["metadata"]["uid"]}


def test_a_node_is_closed_its_pods_leave_and_it_is_opened_again(ground: Ground) -> None:
    node, api = f"worker-{ground.name}", ground.api
    path = f"/api/v1/nodes/{node}"
    assert api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    owner = daemon_set(ground)
    pod_on(ground, node, f"{ground.name}-goes")
    pod_on(ground, node, f"{ground.name}-stays", ownerReferences=[owner])
    try:
        moment = datetime.now(UTC)
        assert not upgrading.drained(api, node, moment)
        eventually(lambda: upgrading.drained(api, node, moment), True)
        there = {each["metadata"]["name"] for each in api.list("/api/v1/pods", fields={"spec.nodeName": node})}
        assert there == {f"{ground.name}-stays"}
        assert (api.get(path) or {})["spec"]["unschedulable"] is True
        upgrading.admit(api, {"another"})
        assert (api.get(path) or {})["spec"]["unschedulable"] is True
        upgrading.admit(api, {node})
        found = api.get(path)
        assert found
        assert "unschedulable" not in found["spec"]
        assert upgrading.DRAINED not in {**found["metadata"].get("labels", {}), **found["metadata"].get("annotations", {})}
    finally:
        api.delete(path, (api.get(path) or {})["metadata"]["uid"])


def test_a_node_that_a_person_has_closed_stays_closed(ground: Ground) -> None:
    node, api = f"worker-{ground.name}", ground.api
    path = f"/api/v1/nodes/{node}"
    assert api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "spec": {"unschedulable": True}})
    try:
        upgrading.admit(api, {node})
        assert upgrading.drained(api, node, datetime.now(UTC))
        upgrading.admit(api, {node})
        assert (api.get(path) or {})["spec"]["unschedulable"] is True
        assert upgrading.DRAINED not in (api.get(path) or {})["metadata"].get("labels", {})
    finally:
        api.delete(path, (api.get(path) or {})["metadata"]["uid"])


def test_pods_that_do_not_leave_have_five_minutes(ground: Ground) -> None:
    node, api, moment = f"worker-{ground.name}", ground.api, datetime.now(UTC)
    assert api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    mark = {"finalizers": ["kubeception.io/test"]}
    pod_on(ground, node, f"{ground.name}-hangs", **mark)
    path = f"/api/v1/namespaces/default/pods/{ground.name}-hangs"
    try:
        assert not upgrading.drained(api, node, moment)
        assert not upgrading.drained(api, node, moment + timedelta(seconds=upgrading.DRAIN_SECONDS - 1))
        assert upgrading.drained(api, node, moment + timedelta(seconds=upgrading.DRAIN_SECONDS + 1))
    finally:
        api.merge(path, {"metadata": {"finalizers": None}})
        api.delete(f"/api/v1/nodes/{node}", (api.get(f"/api/v1/nodes/{node}") or {})["metadata"]["uid"])


# Doors that are shut


@pytest.mark.parametrize(("door", "about"), [("network", "NetworkReady"), ("authorities", "CertificatesReady")])
def test_a_door_that_is_shut_is_told_and_tried_again(ground: Ground, door: str, about: str) -> None:
    ground.create()
    shut = getattr(ground.memory, door)
    shut.shut = "nobody answers at 10.77.0.1"
    with pytest.raises(HarnessError, match="nobody answers"):
        ground.reconcile()
    assert ground.condition(about) == ("False", "Failed")
    assert ("Warning", "Failed") in ground.events()
    shut.shut = ""
    ground.reconcile()
    assert ground.condition(about) == ("True", "Ready")


def test_a_cluster_that_runs_stays_ready_while_nobody_certifies(ground: Ground) -> None:
    ground.create()
    ground.bring_up("master-0", "worker-0")
    ground.memory.authorities.shut = "sealed"
    with pytest.raises(HarnessError):
        ground.reconcile()
    assert (ground.condition("Ready"), ground.condition("CertificatesReady")) == (("True", "Ready"), ("False", "Failed"))


def test_an_api_inside_that_does_not_answer_is_told(ground: Ground) -> None:
    ground.create()
    ground.bring_up("master-0", "worker-0")
    ground.memory.inside.shut = "connection refused"
    ground.reconcile()
    assert ground.condition("ControlPlaneReady") == ("False", "ApiAway")


def test_somebody_elses_namespace_is_left_alone(ground: Ground) -> None:
    ground.create()
    ground.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ground.namespace}})
    with pytest.raises(HarnessError, match="not of this cluster"):
        ground.reconcile()
    assert ground.deployments() == {}
    ground.api.delete(ground.path, ground.cluster()["metadata"]["uid"])
    ground.reconcile()
    assert ground.api.get(ground.path) is None
    found = ground.api.get(f"/api/v1/namespaces/{ground.namespace}")
    assert found is not None
    assert "deletionTimestamp" not in found["metadata"]


# It goes


def gone(ground: Ground) -> bool:
    return ground.reconcile() is None


def test_nothing_is_left_of_a_cluster(ground: Ground) -> None:
    ground.create()
    ground.bring_up("master-0", "worker-0")
    ground.api.delete(ground.path, ground.cluster()["metadata"]["uid"])
    eventually(lambda: gone(ground), True)
    assert ground.api.get(ground.path) is None
    assert ground.api.get(f"/api/v1/namespaces/{ground.namespace}") is None
    assert [each for each in ground.api.list(LEASES) if each["spec"]["holderIdentity"].startswith(ground.name)] == []
    assert ground.name not in ground.memory.network.vnis
    assert ground.name not in ground.memory.authorities.members


def test_a_door_that_is_gone_for_good_can_be_left_out(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    ground.memory.authorities.shut = "no route to host"
    ground.api.delete(ground.path, ground.cluster()["metadata"]["uid"])
    # The machines and the disks go first.
    eventually(lambda: "no route to host" in trouble(ground), True)
    assert ground.condition("Progressing") == ("False", "Failed")
    ground.api.merge(ground.path, {"metadata": {"annotations": {FORCE: "true"}}})
    assert ground.reconcile() is None
    assert ground.api.get(ground.path) is None
    assert ("Warning", "ForceClean") in ground.events()


def trouble(ground: Ground) -> str:
    """Why a pass failed; empty if it did not."""
    try:
        ground.reconcile()
    except HarnessError as error:
        return error.message
    return ""


def test_a_cluster_that_was_never_touched_goes_at_once(ground: Ground) -> None:
    ground.create()
    ground.api.delete(ground.path, ground.cluster()["metadata"]["uid"])
    assert ground.reconcile() is None
    assert ground.api.get(ground.path) is None


# It is killed


def until_done(ground: Ground, step: Callable[[], bool]) -> bool:
    """A life of the controller that ends at a call, or does not. Whether it came to its end."""
    try:
        return step()
    except Ended:
        return False
    finally:
        ground.wire.fatal = -1


def settled(ground: Ground) -> dict[str, object]:
    """What there is when its master has a pod, and that has a token."""
    ground.reconcile()
    ground.pod("master-0")
    ground.reconcile()
    return state(ground)


def state(ground: Ground) -> dict[str, object]:
    """What there is, but for what is different in every cluster."""
    kinds = ("configmaps", "secrets", "services", "serviceaccounts")
    there = {kind: ground.there(f"/api/v1/namespaces/{ground.namespace}/{kind}") for kind in kinds}
    there["secrets"] = {each for each in there["secrets"] if "default-token" not in each and "vm-token" not in each}
    claims = [each["metadata"]["name"] for each in ground.api.list(LEASES)]
    mine = [each for each in claims if each.startswith(ground.name)]
    vnis = [each for each in ground.api.list(LEASES) if (each["spec"]["holderIdentity"]).split("/")[0] == ground.name]
    return {
        **there,
        "deployments": ground.deployments(),
        "numbers": sorted(name.rpartition(".")[2] for name in mine),
        "held": len(vnis),
    }


@pytest.mark.parametrize("after", [False, True], ids=["before it is asked", "before it is answered"])
def test_killed_at_any_call_it_comes_to_the_same(make: Make, api: Api, after: bool) -> None:
    """The first pass of a cluster is ended at each of its calls; the next life comes to what an undisturbed one came to."""
    whole = make(Wire())
    whole.create()
    whole.reconcile()
    calls = len(whole.wire.calls)
    expected = settled(whole)
    assert calls > 20
    for number in range(calls):
        ground = make(Wire(fatal=number, after=after))
        ground.create()
        assert not until_done(ground, partial(gone, ground))
        assert settled(ground) == expected, f"ended at call {number}"
        api.delete(ground.path, ground.cluster()["metadata"]["uid"])


@pytest.mark.parametrize("after", [False, True], ids=["before it is asked", "before it is answered"])
def test_killed_while_a_cluster_goes_nothing_is_left(make: Make, api: Api, after: bool) -> None:
    """Each life is ended at a later call than the one before, until one comes to its end."""
    ground = make(Wire(after=after))
    ground.create()
    ground.reconcile()
    api.delete(ground.path, ground.cluster()["metadata"]["uid"])
    eventually(lambda: _is_empty(ground), True)
    number = 0
    while True:
        ground.wire.calls.clear()
        ground.wire.fatal = number
        if until_done(ground, lambda: ground.reconciler.reconcile(ground.name) is None):
            break
        number += 1
    assert number > 1
    assert ground.api.get(ground.path) is None
    assert [each for each in api.list(LEASES) if each["spec"]["holderIdentity"].startswith(ground.name)] == []
    assert (ground.memory.network.vnis, ground.memory.authorities.members) == ({}, {})


def _is_empty(ground: Ground) -> bool:
    """The namespace is gone; what comes after is not begun."""
    if (found := ground.api.get(f"/api/v1/namespaces/{ground.namespace}")) is None:
        return True
    if "deletionTimestamp" not in found["metadata"]:
        ground.reconcile()
    return False


def test_two_controllers_at_once_give_one_number_to_each(make: Make, api: Api) -> None:
    """Numbers are claimed where the second is refused; whatever is claimed twice by one holder is given up but for the lowest."""
    grounds = [make(Wire()) for _ in range(6)]
    for ground in grounds:
        ground.create()
    lives = [ground.reconciler for ground in grounds for _ in range(2)]
    names = [ground.name for ground in grounds for _ in range(2)]
    together(lives, names)
    for ground in grounds:
        ground.reconcile()
    assert len({ground.status()["vni"] for ground in grounds}) == len(grounds)
    held = [each["spec"]["holderIdentity"] for each in api.list(LEASES)]
    assert len(held) == len(set(held))


def together(lives: list[Reconciler], names: list[str]) -> None:
    with ThreadPoolExecutor(len(lives)) as workers:
        for future in [workers.submit(life.reconcile, name) for life, name in zip(lives, names, strict=True)]:
            future.exception()


def test_the_finalizer_is_there_before_anything_else_is(ground: Ground) -> None:
    ground.create()
    ground.reconcile()
    assert ground.wire.writes()[0] == ("PATCH", ground.path)
    assert FINALIZER in ground.cluster()["metadata"]["finalizers"]


# The API inside


@pytest.fixture
def inside(kubernetes: Kubernetes) -> Iterator[InsideApi]:
    found = InsideApi(lambda _: kubernetes.administrator, "k8s.example", port=kubernetes.port)
    yield found
    for name in ("blue", "red"):
        found.drop(name)


LOOPBACK = IPv4Address("127.0.0.1")
BLUE, RED = Cluster("blue", uid="blue"), Cluster("red", uid="red")


def test_an_inner_cluster_is_furnished_by_its_administrator(inside: InsideApi, api: Api) -> None:
    """The API server stands for one of a cluster `blue`: it is certified for that name, and asked by its address."""
    assert api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-9"}})
    others = dict.fromkeys(NODES, True)
    assert inside.nodes(BLUE, LOOPBACK) == others | {"worker-9": False}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "x"}
    api.merge("/api/v1/nodes/worker-9/status", {"status": {"conditions": [ready]}})
    assert inside.nodes(BLUE, LOOPBACK) == others | {"worker-9": True}
    inside.forget(BLUE, LOOPBACK, "worker-9")
    inside.forget(BLUE, LOOPBACK, "worker-9")
    assert inside.nodes(BLUE, LOOPBACK) == others
    objects = addons.objects(BLUE, machines(BLUE, {"master-0": 1, "worker-0": 2}), BASE)
    inside.apply(BLUE, LOOPBACK, objects)
    note = api.get(f"/api/v1/namespaces/kube-system/configmaps/{NOTE}")
    assert all(api.get(api.path(each)) for each in objects)
    inside.apply(BLUE, LOOPBACK, objects)
    assert api.get(f"/api/v1/namespaces/kube-system/configmaps/{NOTE}") == note


def test_who_is_certified_for_another_cluster_is_not_believed(inside: InsideApi) -> None:
    with pytest.raises(HarnessError, match=r"not valid for 'api\.red\.k8s\.example'"):
        inside.nodes(RED, LOOPBACK)


# The program: kopf watches, and passes follow


@contextmanager
def watching(kubernetes: Kubernetes, passes: Passes) -> Iterator[None]:
    """The controller's own loop, in threads, for the length of a block."""
    config = KubeConfig.from_dict(kubernetes.kubeconfig()).get()
    assert config is not None
    stop = threading.Event()
    threads = [threading.Thread(target=passes.run), threading.Thread(target=watch, args=(passes, lambda: config, stop))]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        passes.stop()
        for thread in threads:
            thread.join()


def test_the_program_hears_of_everything_by_itself(kubernetes: Kubernetes, ground: Ground) -> None:
    """From the file of a person to Ready, and to nothing: nobody calls `reconcile` but what kopf saw."""
    passes = Passes(ground.reconciler.reconcile)
    with watching(kubernetes, passes):
        ground.create()
        ground.pod("master-0")
        eventually(lambda: ground.token("master-0") is not None, True)
        ground.run("master-0")
        ground.pod("worker-0")
        ground.run("worker-0")
        eventually(lambda: (ground.status()["phase"], ground.condition("Ready")), ("Running", ("True", "Ready")))
        finalizers = ground.cluster()["metadata"]["finalizers"]
        assert finalizers == [FINALIZER]
        assert "annotations" not in ground.cluster()["metadata"]
        ground.change(hibernated=True)
        eventually(ground.deployments, {"master-0": 0, "worker-0": 0})
        ground.api.delete(ground.path, ground.cluster()["metadata"]["uid"])
        eventually(lambda: ground.api.get(ground.path), None)
    assert passes.sick == ""
    assert passes.metrics()["kubeception_passes_total"] > 5
