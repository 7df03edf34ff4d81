"""The shipped scenarios of inner clusters, run as a person runs them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubeception_sim.artifacts.kubernetes import DEBIAN_VERSION
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.giantnetes.bringup import outer_image
from kubeception_sim.scenario.clustering import guest_images
from tests.rack import ROOT, Traces, kubeception

# The first of the tier builds Kubernetes where nobody has done it before.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

LABS = Path("/run/kubeception")


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = Traces.now(LABS)
    yield
    assert not Traces.now(LABS).since(before)


def run(scenario: str, out: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """`kubeception run` and its report. Warm: what has to be made once is in the cache before the scenario's clocks start."""
    outer_image(default_cache(), DEBIAN_VERSION, lambda what, done: None, clusters=True)
    guest_images(DEBIAN_VERSION, ("testbed-1",), lambda what, done: None)
    words = kubeception("run", ROOT / "scenarios" / scenario, "--out", out)
    ran = subprocess.run(words, capture_output=True, text=True, timeout=1500, check=False)
    return ran, json.loads((out / "report.json").read_text())


def test_nothing_is_left_of_clusters_whose_controller_is_killed(tmp_path: Path) -> None:
    ran, report = run("isolation/garbage.yaml", tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert [step["do"] for step in report["steps"]].count("kill-controller") == 3
    assert report["steps"][-1]["do"] == "traces-compare"


def test_a_resource_becomes_a_cluster_in_machines_in_pods(tmp_path: Path) -> None:
    ran, report = run("performance/inner-cluster.yaml", tmp_path)
    # How fast it is depends on who else is at work on this computer: a missed budget is reported, and is no failure of this test.
    assert not report.get("error"), ran.stdout[-6000:] + ran.stderr[-2000:]
    assert all(step["ok"] for step in report["steps"]), ran.stdout[-6000:]
    (ready,) = report["budgets"]
    assert ready["measured"] is not None
    assert ran.returncode == (0 if ready["ok"] else 1)
    assert report["verdict"] == ("pass" if ready["ok"] else "fail")
    assert report["accelerator"] in ("tcg", "kvm")
    assert {check["outcome"] for check in report["checks"]} == {"passed"}
    assert len(report["checks"]) >= 23
    assert [each["cluster"] for each in report["creations"]] == ["customera"]
    assert [step["do"] for step in report["steps"]][-3:] == ["cluster-create", "cluster-ready", "check"]
