"""The agent of network policies follows a small real API: what reaches the kernel, when, and what it says of itself."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from kubeception_sim.agents.policy.follow import Follower
from kubeception_sim.agents.policy.kernel import Refused
from kubeception_sim.agents.policy.ruleset import Ruleset
from tests.kube_api import KubeApi
from tests.policy_cases import EMPTY, address_of, policy

PODS, NAMESPACES, POLICIES = "/api/v1/pods", "/api/v1/namespaces", "/apis/networking.k8s.io/v1/networkpolicies"
MIRRORS = ("pods", "namespaces", "policies")
SECONDS = 15.0
DENY = policy("deny", ingress=[])


class MemoryTable:
    """Takes rulesets as the kernel does, and can be in the kernel's bad moods."""

    def __init__(self) -> None:
        self.applied: list[Ruleset] = []
        self.held: list[Ruleset] = []
        self.refusing = self.removed = False
        self.complaint = ""

    def apply(self, ruleset: Ruleset) -> None:
        if self.refusing:
            raise Refused("nft ended with 1: no room")
        self.applied.append(ruleset)
        self.held = [*self.held[-1:], ruleset]
        self.removed = False

    def tidy(self) -> None:
        self.held = self.held[-1:]

    def present(self) -> bool:
        return bool(self.applied) and not self.removed

    def problem(self) -> str:
        return self.complaint

    @property
    def isolated(self) -> set[str]:
        return {str(each) for each in self.applied[-1].isolated} if self.applied else set()


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with closing(KubeApi(PODS, NAMESPACES, POLICIES)) as api:
        api.put(PODS, *EMPTY.pods)
        api.put(NAMESPACES, *EMPTY.namespaces)
        yield api


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def follower(api: KubeApi, table: MemoryTable) -> Iterator[Follower]:
    with following(api, table) as follower:
        yield follower


@contextmanager
def following(api: KubeApi, table: MemoryTable) -> Iterator[Follower]:
    others = set(threading.enumerate())
    with closing(api.client()) as client:
        follower = Follower(client, "n1", table, resync=0.1)
        thread = threading.Thread(target=follower.run)
        thread.start()
        try:
            yield follower
        finally:
            follower.stop()
            thread.join()
            # Watches hear that they are to stop when their server ends them.
            api.close()
            for mirror in {each for each in threading.enumerate() if each.name in MIRRORS} - others:
                mirror.join(SECONDS)


def eventually(look: Callable[[], object], expected: object) -> None:
    deadline = time.monotonic() + SECONDS
    while (last := look()) != expected:
        assert time.monotonic() < deadline, f"{last!r}, not {expected!r}"
        time.sleep(0.01)


HERE = {address_of("x", "a"), address_of("x", "c")}


def test_it_is_ready_when_the_rules_of_all_that_there_is_are_in_the_kernel(api: KubeApi, table: MemoryTable) -> None:
    api.put(POLICIES, DENY)
    table.refusing = True
    with following(api, table) as follower:
        eventually(lambda: follower.problem, "Refused: nft ended with 1: no room")
        assert follower.failures > 0
        table.refusing = False
        eventually(lambda: follower.problem, "")
        assert table.isolated == HERE


def test_nothing_is_written_before_all_is_known() -> None:
    """Else a restart would open what is shut."""
    table = MemoryTable()
    with closing(KubeApi(PODS, NAMESPACES)) as api:
        api.put(PODS, *EMPTY.pods)
        with following(api, table) as follower:
            eventually(lambda: follower.problem.partition(": ")[0], "policies")
            eventually(lambda: api.lists >= 2, True)
            assert table.applied == []


def test_a_policy_is_followed(api: KubeApi, table: MemoryTable, follower: Follower) -> None:
    eventually(lambda: len(table.applied), 1)
    assert table.isolated == set()
    api.put(POLICIES, DENY)
    eventually(lambda: table.isolated, HERE)
    api.delete(POLICIES, DENY)
    eventually(lambda: table.isolated, set())
    assert follower.applies == 3


def test_labels_of_namespaces_are_followed(api: KubeApi, table: MemoryTable, follower: Follower) -> None:
    api.put(POLICIES, policy(ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"new": "yes"}}}]}]))
    eventually(lambda: {gate for each in table.applied[-1:] for gate in each.ingress.values()}, {frozenset()})
    api.put(NAMESPACES, {"metadata": {"name": "y", "labels": {"new": "yes"}}})
    eventually(lambda: {len(gate) for gate in table.applied[-1].ingress.values()}, {1})
    assert follower.problem == ""


def test_what_was_in_force_before_is_given_up(api: KubeApi, table: MemoryTable, follower: Follower) -> None:
    """One generation stays beside the new one for the packets that are on their way through it, and for no longer."""
    eventually(lambda: len(table.applied), 1)
    api.put(POLICIES, policy("closed", ingress=[]))
    eventually(lambda: len(table.applied), 2)
    eventually(lambda: table.held, table.applied[-1:])


def test_what_changes_no_rule_is_not_written(api: KubeApi, table: MemoryTable, follower: Follower) -> None:
    api.put(POLICIES, DENY)
    eventually(lambda: table.isolated, HERE)
    before = follower.applies
    api.put(PODS, {**EMPTY.pods[0], "status": {**EMPTY.pods[0]["status"], "hostIP": "10.77.1.11"}})
    api.put(PODS, {"metadata": {"namespace": "y", "name": "new"}, "spec": {"nodeName": "n2"}, "status": {"podIP": "10.60.2.99"}})
    api.put(POLICIES, policy("again", ingress=[]))
    api.put(PODS, {"metadata": {"namespace": "x", "name": "new"}, "spec": {"nodeName": "n1"}, "status": {"podIP": "10.60.1.99"}})
    eventually(lambda: table.isolated, {*HERE, "10.60.1.99"})
    assert follower.applies == before + 1


def test_a_crowd_of_changes_is_written_at_once(api: KubeApi, table: MemoryTable, follower: Follower) -> None:
    api.put(POLICIES, DENY)
    eventually(lambda: table.isolated, HERE)
    before = follower.applies
    crowd = [
        {"metadata": {"namespace": "x", "name": f"p{n}"}, "spec": {"nodeName": "n1"}, "status": {"podIP": f"10.60.1.{n}"}}
        for n in range(100, 200)
    ]
    api.put(PODS, *crowd)
    eventually(lambda: len(table.isolated), 102)
    assert follower.applies - before < 10


def test_a_history_that_is_gone_is_listed_again(api: KubeApi, table: MemoryTable, follower: Follower) -> None:
    eventually(lambda: follower.problem, "")
    lists = api.lists
    api.forget()
    eventually(lambda: api.lists >= lists + 3, True)
    api.put(POLICIES, DENY)
    eventually(lambda: table.isolated, HERE)


def test_the_rules_stay_while_the_api_is_away_and_follow_when_it_is_back(table: MemoryTable) -> None:
    with ExitStack() as stack:
        with closing(KubeApi(PODS, NAMESPACES, POLICIES)) as api:
            api.put(PODS, *EMPTY.pods)
            api.put(POLICIES, DENY)
            follower = stack.enter_context(following(api, table))
            eventually(lambda: table.isolated, HERE)
        eventually(lambda: follower.api_lost, True)
        assert follower.problem == ""
        assert table.isolated == HERE
        with closing(KubeApi(PODS, NAMESPACES, POLICIES, port=api.port)) as back:
            back.put(PODS, *EMPTY.pods)
            eventually(lambda: table.isolated, set())
            eventually(lambda: follower.api_lost, False)
            follower.stop()


def test_a_table_that_somebody_removed_comes_back(table: MemoryTable, follower: Follower) -> None:
    eventually(lambda: follower.applies, 1)
    table.removed = True
    eventually(lambda: follower.applies, 2)


def test_a_policy_that_cannot_be_understood_leaves_the_rules_of_before_and_is_named(
    api: KubeApi, table: MemoryTable, follower: Follower
) -> None:
    api.put(POLICIES, DENY)
    eventually(lambda: table.isolated, HERE)
    like = {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}
    api.put(POLICIES, {"metadata": {"namespace": "x", "name": "odd"}, "spec": like})
    eventually(lambda: follower.problem, "ValueError: 'Like' is not a valid Operator")
    assert table.isolated == HERE


def test_it_is_not_ready_where_it_cannot_see_the_traffic_within_the_node(table: MemoryTable, follower: Follower) -> None:
    eventually(lambda: follower.problem, "")
    table.complaint = "net.bridge.bridge-nf-call-iptables is 0, not 1"
    assert follower.problem == table.complaint
