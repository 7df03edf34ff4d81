"""One topology, a master and a worker, on every driver but the namespaces: from power-on towards a cluster.

Containers go all the way. Emulated machines stop at two Ready nodes: their add-ons, which are tested elsewhere, would take
minutes more. libvirt's QEMU is as slow as ours and does the same, so that its machines stop in the operating system.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeception_sim.artifacts.kubernetes import DEBIAN_VERSION
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.errors import MissingTool
from kubeception_sim.giantnetes.bringup import outer_image
from kubeception_sim.machines.libvirt_daemon import libvirtd
from tests.docker_host import docker_host
from tests.rack import ROOT, Traces, kubeception

# The first of the tier builds Kubernetes where nobody has done it before.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

LABS = Path("/run/kubeception")
SCENARIO = ROOT / "scenarios/performance/bare-metal.yaml"
RUN_SECONDS = 900
TOPOLOGY = ["master-1", "worker-1"]
EMULATED = {"dhcp", "tftp", "ipxe", "http", "ignition", "switch-root"}


@dataclass(frozen=True)
class Boots:
    """What `kubeception run` reported of a driver: `stages` are seconds since power-on, by machine."""

    report: dict[str, Any]
    stages: dict[str, dict[str, float]]


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = Traces.now(LABS)
    yield
    assert not Traces.now(LABS).since(before)


def ran(scenario: Path, out: Path, driver: str, **environment: str) -> Boots:
    """A run on that driver that has met its budgets. What has to be made once is made before its clock starts."""
    outer_image(default_cache(), DEBIAN_VERSION, lambda what, done: None)
    words = kubeception("run", scenario, "--driver", driver, "--out", out)
    done = subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    assert (report["verdict"], report["driver"]) == ("pass", driver)
    assert [host["name"] for host in report["hosts"]] == TOPOLOGY
    return Boots(report, {host["name"]: host["stages"] for host in report["hosts"]})


def forms_a_cluster(boots: Boots, stages: set[str]) -> None:
    """Both nodes Ready, in their time, with a waterfall from power-on to there."""
    assert {host["state"] for host in boots.report["hosts"]} == {"running"}
    for reached in boots.stages.values():
        assert stages <= set(reached)
        assert max(reached, key=reached.__getitem__) == "running"
    assert [(budget["ok"], budget["measured"] is not None) for budget in boots.report["budgets"]] == [(True, True)] * 2


def shortened(folder: Path, **changes: list[dict[str, Any]]) -> Path:
    """The scenario with other steps or budgets."""
    scenario = {**yaml.safe_load(SCENARIO.read_text()), **changes}
    written = folder / SCENARIO.name
    written.write_text(yaml.safe_dump(scenario))
    return written


def test_emulated_machines_boot_from_their_firmware_and_form_a_cluster(tmp_path: Path) -> None:
    until_ready = [step for step in yaml.safe_load(SCENARIO.read_text())["steps"] if step["do"] != "cluster"]
    boots = ran(shortened(tmp_path, steps=until_ready), tmp_path / "out", "qemu")
    forms_a_cluster(boots, EMULATED)
    assert boots.report["accelerator"] in ("tcg", "kvm")


def test_containers_of_docker_form_a_cluster(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    # A short name: the paths of an engine's sockets may have 107 characters.
    engine = tmp_path_factory.mktemp("e")
    try:
        with docker_host(engine) as host:
            forms_a_cluster(ran(SCENARIO, tmp_path / "out", "docker", DOCKER_HOST=host), {"http", "ignition", "switch-root"})
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")


def test_machines_of_libvirt_boot_from_their_firmware_into_the_operating_system(tmp_path: Path) -> None:
    try:
        libvirtd()
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    until_booted = [{"do": "power-on"}, {"do": "await", "stage": "switch-root", "within": "4m"}]
    boots = ran(shortened(tmp_path, steps=until_booted, budgets=[]), tmp_path / "out", "libvirt")
    for reached in boots.stages.values():
        assert set(reached) >= EMULATED
