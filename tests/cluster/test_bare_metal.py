"""One topology, a master and a worker, as every driver but the namespaces' own plays it: from power-on to a cluster."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubeception_sim.artifacts.kubernetes import DEBIAN_VERSION
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.errors import MissingTool
from kubeception_sim.giantnetes.bringup import outer_image
from tests.docker_host import docker_host
from tests.rack import ROOT, Traces, kubeception

# The first of the tier builds Kubernetes where nobody has done it before.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

LABS = Path("/run/kubeception")
SCENARIO = ROOT / "scenarios/performance/bare-metal.yaml"
FROM_FIRMWARE = {"dhcp", "tftp", "http", "ignition", "switch-root", "running"}
FROM_HTTP = {"http", "ignition", "switch-root", "running"}


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = Traces.now(LABS)
    yield
    assert not Traces.now(LABS).since(before)


def comes_up(out: Path, driver: str, stages: set[str], **environment: str) -> dict[str, Any]:
    """The report of a run on that driver, which met its budget on every machine and shows how."""
    # Warm: what has to be made once is in the cache before the clock starts.
    outer_image(default_cache(), DEBIAN_VERSION, lambda what, done: None)
    words = kubeception("run", SCENARIO, "--driver", driver, "--out", out)
    ran = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, timeout=1200, check=False)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    assert (report["verdict"], report["driver"]) == ("pass", driver)
    assert [(host["name"], host["state"]) for host in report["hosts"]] == [("master-1", "running"), ("worker-1", "running")]
    for host in report["hosts"]:
        assert stages <= set(host["stages"]), host
        assert max(host["stages"], key=host["stages"].get) == "running", host
    assert [budget["ok"] for budget in report["budgets"]] == [True, True]
    return report


def test_emulated_machines_boot_from_their_firmware_and_form_a_cluster(tmp_path: Path) -> None:
    report = comes_up(tmp_path, "qemu", FROM_FIRMWARE)
    assert report["accelerator"] in ("tcg", "kvm")


def test_containers_of_docker_form_a_cluster(tmp_path: Path) -> None:
    try:
        with docker_host(tmp_path / "engine") as host:
            comes_up(tmp_path / "out", "docker", FROM_HTTP, DOCKER_HOST=host)
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
