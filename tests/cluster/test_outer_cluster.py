"""The shipped scenarios of the outer cluster, each run as a person runs it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubeception_sim.artifacts.kubernetes import DEBIAN_VERSION
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.giantnetes.bringup import outer_image
from tests.rack import ROOT, Traces, kubeception

# The first of them builds Kubernetes where nobody has done it before.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

LABS = Path("/run/kubeception")


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = Traces.now(LABS)
    yield
    assert not Traces.now(LABS).since(before)


def run(scenario: Path, out: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """`kubeception run` and its report."""
    ran = subprocess.run(kubeception("run", scenario, "--out", out), capture_output=True, text=True, timeout=2300, check=False)
    return ran, json.loads((out / "report.json").read_text())


def test_a_cluster_of_three_machines_in_two_racks_serves_within_its_budget(tmp_path: Path) -> None:
    # Warm: what has to be made once is in the cache before the clock of the budget starts.
    outer_image(default_cache(), DEBIAN_VERSION, lambda what, done: None)
    ran, report = run(ROOT / "scenarios/performance/outer-cluster.yaml", tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert (report["verdict"], report["driver"], report["accelerator"]) == ("pass", "namespace", "none")
    assert {host["state"] for host in report["hosts"]} == {"running"}
    assert {check["outcome"] for check in report["checks"]} == {"passed"}
    assert len(report["checks"]) >= 9


def test_the_api_outlives_a_master_and_loses_no_acknowledged_write(tmp_path: Path) -> None:
    ran, report = run(ROOT / "scenarios/failover/outer-master.yaml", tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:]
    probes = {probe["name"]: probe for probe in report["probes"]}
    assert min(probe["attempts"] for probe in probes.values()) > 100
    (killed,) = [step for step in report["steps"] if step["do"] == "power-off"]
    # What the clients missed is the fault's work, and not the cluster's youth.
    assert all(gap["end"] > killed["start"] for probe in probes.values() for gap in probe["gaps"])


BROKEN = """\
schema: 1
name: broken
driver: namespace
outer: {pki: embedded}
machines:
  - {name: master-1, role: master, address: 10.77.0.11, memory: 3G, cpus: 2}
  - {name: worker-1, role: worker, address: 10.77.0.12, memory: 2G, cpus: 2}
steps:
  - {do: power-on, machines: [master-1]}
  - {do: await, state: running, within: 3m, machines: [master-1]}
  - {do: probe, name: api, kind: api}
  - {do: settle, probe: api, steady: 2s, within: 30s}
  - {do: power-off, machines: [master-1]}
  - {do: settle, probe: api, steady: 5s, within: 8s}
  - {do: cluster, within: 30s}
budgets:
  - {metric: run-to, step: cluster, limit: 60s}
  - {metric: outage, probe: api, limit: 5s}
"""


def test_budgets_are_missed_when_the_only_master_is_gone_and_a_worker_never_came(tmp_path: Path) -> None:
    """Also: a cluster on one switch, without racks and router, with the embedded authority."""
    scenario = tmp_path / "broken.yaml"
    scenario.write_text(BROKEN)
    ran, report = run(scenario, tmp_path / "out")
    assert ran.returncode == 1, ran.stdout[-6000:]
    late, outage = report["budgets"]
    assert (late["measured"], late["ok"]) == (None, False)
    assert outage["measured"] > 5
    assert not outage["ok"]
    assert [step["do"] for step in report["steps"] if not step["ok"]] == ["settle"]
