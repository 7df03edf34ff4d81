"""The shipped scenarios, run as a user runs them: real firmware, real images, real kills."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.rack import ROOT, Traces, kubeception

LABS = Path("/run/kubeception")
STAGES = ["dhcp", "tftp", "ipxe", "http", "ignition", "switch-root", "running"]


def run(scenario: str, out: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    argv = kubeception("run", ROOT / "scenarios" / scenario, "--out", out)
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=590, check=False)
    return ran, json.loads((out / "report.json").read_text())


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Any:
    before = Traces.now(LABS)
    yield
    assert not Traces.now(LABS).since(before)


def test_a_rack_of_both_firmwares_boots_and_is_checked(tmp_path: Path) -> None:
    ran, report = run("performance/rack-boot.yaml", tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert (report["verdict"], report["accelerator"] in ("kvm", "tcg")) == ("pass", True)
    assert sorted(host["firmware"] for host in report["hosts"]) == ["bios", "bios", "uefi"]
    for host in report["hosts"]:
        assert host["state"] == "running"
        # The order is that of the clock: every stage was really seen, one after the other.
        assert sorted(host["stages"], key=lambda stage: (host["stages"][stage], STAGES.index(stage))) == STAGES
    checks = {(check["host"], check["name"]) for check in report["checks"] if check["outcome"] == "passed"}
    assert len(checks) == len(report["checks"]) == 3 * 8
    assert {"rack-1", "rack-2", "rack-3"} == {host for host, _ in checks}
    page = (tmp_path / "report.html").read_text()
    assert all(host in page for host in ("rack-1", "rack-2", "rack-3"))


def test_every_worker_is_killed_while_a_rack_boots_and_every_host_arrives(tmp_path: Path) -> None:
    ran, report = run("failover/mayu-workers.yaml", tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert {host["state"] for host in report["hosts"]} == {"running"}
    assert sum(step["do"] == "kill-worker" for step in report["steps"]) == 5
    log = (tmp_path / "logs" / "mayu.log").read_text()
    for worker in ("dhcp", "tftp", "http-1", "http-2"):
        assert f"{worker} died after" in log
