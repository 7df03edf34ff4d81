"""A cluster that stays, as a person works with it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeception_sim.artifacts.kubernetes import DEBIAN_VERSION
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.giantnetes.bringup import outer_image
from tests.labs import CLUSTER, Labs, alive, processes_of, until
from tests.rack import Traces

# The first of the tier builds Kubernetes where nobody has done it before.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[Labs]:
    outer_image(default_cache(), DEBIAN_VERSION, lambda what, done: None)
    made = Labs(tmp_path)
    with made.leaving_nothing():
        yield made


def test_a_cluster_stays_is_worked_with_and_mended(labs: Labs) -> None:
    scenario = labs.scenario("stays", CLUSTER)
    labs.run("up", scenario)
    (lab,) = labs.status(code=0)["labs"]
    assert [(node["name"], node["ready"], node["current"]) for node in lab["nodes"]] == [
        ("master-1", True, True),
        ("worker-1", True, True),
    ]
    assert all(backend["up"] for backend in lab["backends"])

    nodes = labs.run("kubectl", "get", "nodes", "-o", "name").stdout.split()
    assert nodes == ["node/master-1", "node/worker-1"]
    assert labs.run("shell", "worker-1", "--", "hostname").stdout == "worker-1\n"
    assert labs.run("shell", "worker-1", "--", "sh", "-c", "yes | head -1; exit 7", code=7).stderr == ""
    assert "certificate-authority-data" in labs.run("kubeconfig").stdout
    assert labs.run("logs", "worker-1").stdout

    kill_machine(labs, "worker-1")
    (lab,) = labs.status("stays", code=1)["labs"]
    assert "worker-1 is broken" in lab["problems"]
    assert "starting worker-1 (broken)" in labs.run("up", scenario).stdout
    labs.status(code=0)
    labs.run("down")
    assert labs.files() == []


def kill_machine(labs: Labs, machine: str) -> None:
    """The program that is the machine, with -9: all in its namespaces dies with it."""
    (pid, *_) = sorted(processes_of(labs.record("stays")["lab"], f"machines/{machine}/orders.json", labs.root)) or [0]
    assert pid, Traces.now(labs.root).processes
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), lambda: f"{pid} lives")
