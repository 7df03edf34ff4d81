"""The agent as a program on a node, with the real nft, and an API that it reaches on the node's loopback."""

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kubeception_sim.agents.policy import kernel
from kubeception_sim.lab import Lab
from kubeception_sim.run import Process, run, spawn
from tests.kube_api import KubeApi
from tests.net.policy_ground import Ground, ground, inside
from tests.policy_cases import EMPTY, address_of, policy

PODS, NAMESPACES, POLICIES = "/api/v1/pods", "/api/v1/namespaces", "/apis/networking.k8s.io/v1/networkpolicies"
XA, XC, XB = address_of("x", "a"), address_of("x", "c"), address_of("x", "b")
PROGRAM = [sys.executable, "-m", "kubeception_sim.agents.policy"]
PORT = 9797
SECONDS = 20.0


@pytest.fixture
def nodes(lab: Lab) -> Iterator[Ground]:
    with ground(lab) as made:
        yield made


@pytest.fixture
def api(nodes: Ground) -> Iterator[KubeApi]:
    with inside(nodes.node("n1")):
        made = KubeApi(PODS, NAMESPACES, POLICIES)
    with closing(made):
        made.put(PODS, *EMPTY.pods)
        made.put(NAMESPACES, *EMPTY.namespaces)
        yield made


@pytest.fixture
def environment(lab: Lab, api: KubeApi, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "kubeconfig").write_text(api.kubeconfig())
    here = os.fspath(Path(__file__).parents[2])
    return {**lab.env, "KUBECONFIG": str(tmp_path / "kubeconfig"), "PYTHONPATH": here, "NODE_NAME": "n1"}


@pytest.fixture
def agent(nodes: Ground, environment: dict[str, str], tmp_path: Path) -> Iterator[Process]:
    with spawn(PROGRAM, log=tmp_path / "agent.log", env=environment, namespace=nodes.node("n1")) as process:
        yield process


def get(nodes: Ground, page: str) -> tuple[int, str]:
    """A page of the agent; 0 while there is none."""
    try:
        with inside(nodes.node("n1")), urllib.request.urlopen(f"http://127.0.0.1:{PORT}{page}", timeout=3) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def eventually(process: Process, look: Callable[[], object], expected: object) -> None:
    deadline = time.monotonic() + SECONDS
    while (last := look()) != expected:
        assert time.monotonic() < deadline, f"{last!r}, not {expected!r}\n{process.tail()}"
        time.sleep(0.05)


def test_policies_are_enforced_from_the_moment_it_is_ready(nodes: Ground, api: KubeApi, agent: Process) -> None:
    api.put(POLICIES, policy("deny", ingress=[]))
    eventually(agent, lambda: get(nodes, "/readyz"), (200, "ok\n"))
    eventually(agent, lambda: nodes.pings(XC, XA), False)
    allow = policy("allow", ingress=[{"from": [{"podSelector": {"matchLabels": {"pod": "b"}}}]}])
    api.put(POLICIES, allow)
    eventually(agent, lambda: nodes.pings(XB, XA), True)
    assert not nodes.pings(XC, XA)
    assert 'kubeception_policy_isolated{direction="ingress"} 2' in get(nodes, "/metrics")[1].splitlines()
    assert "kubeception_policy_enforced 1" in get(nodes, "/metrics")[1].splitlines()


def test_the_rules_stay_when_it_ends_and_go_when_they_are_removed(
    nodes: Ground, api: KubeApi, agent: Process, environment: dict[str, str]
) -> None:
    api.put(POLICIES, policy("deny", ingress=[]))
    eventually(agent, lambda: nodes.pings(XC, XA), False)
    agent.terminate()
    assert agent.wait(SECONDS) == 0
    assert not nodes.pings(XC, XA)
    run([*PROGRAM, "--remove"], env=environment, namespace=nodes.node("n1"), timeout=SECONDS)
    assert nodes.pings(XC, XA)


def test_it_is_not_ready_where_the_bridge_hides_traffic(nodes: Ground, api: KubeApi, agent: Process) -> None:
    eventually(agent, lambda: get(nodes, "/readyz"), (200, "ok\n"))
    nodes.sysctl("n1", "net.bridge.bridge-nf-call-iptables=0")
    problem = "net.bridge.bridge-nf-call-iptables is 0, not 1: traffic within the node is not judged\n"
    eventually(agent, lambda: get(nodes, "/readyz"), (503, problem))


def test_a_firewall_that_is_flushed_gets_its_rules_back(nodes: Ground, api: KubeApi, agent: Process) -> None:
    api.put(POLICIES, policy("deny", ingress=[]))
    eventually(agent, lambda: nodes.pings(XC, XA), False)
    nodes.nft("n1", "flush ruleset\n")
    eventually(agent, lambda: nodes.pings(XC, XA), False)
    with inside(nodes.node("n1")):
        assert kernel.present()


def test_it_cannot_start_without_an_api_to_ask(environment: dict[str, str], nodes: Ground) -> None:
    without = {**environment, "KUBECONFIG": "/nowhere"}
    done = run(PROGRAM, env=without, namespace=nodes.node("n1"), timeout=SECONDS, check=False)
    assert done.code == 1
    assert "cannot start" in done.stderr
