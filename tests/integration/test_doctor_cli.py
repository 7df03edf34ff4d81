"""The verb as people and programs call it, also where programs are missing and without privileges."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kubeception_sim.doctor import PARTS, Finding, Status, Verdict, examine, hardware, judge, tools
from kubeception_sim.doctor.accelerator import Attempt
from kubeception_sim.doctor.tools import Tool
from kubeception_sim.errors import MissingTool
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.run import line

PROJECT = Path(__file__).parents[2]


def called(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80"}
    argv = [sys.executable, "-m", "kubeception_sim", "doctor", *words]
    return subprocess.run(argv, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=120)


def document(ran: subprocess.CompletedProcess[str]) -> Any:
    assert ran.stderr == ""
    return json.loads(ran.stdout)


def test_json_has_findings_drivers_and_scenarios() -> None:
    ran = called("--json")
    told = document(ran)
    assert sorted(told) == ["drivers", "findings", "ok", "scenarios", "schema"]
    assert told["schema"] == 2
    keys = ["detail", "fix", "group", "key", "means", "needed", "parts", "status"]
    assert all(sorted(each) == keys for each in told["findings"])
    assert all(each["fix"] or each["status"] == "ok" for each in told["findings"])
    assert len({each["key"] for each in told["findings"]}) == len(told["findings"])
    assert [each["subject"] for each in told["drivers"]] == ["qemu", "namespace", "docker", "libvirt", "fake"]
    assert "performance/outer-cluster.yaml" in [each["subject"] for each in told["scenarios"]]
    works = {each["subject"]: each["status"] == "ok" for each in told["drivers"]}
    assert told["ok"] == (works["qemu"] and works["namespace"])
    assert ran.returncode == (0 if told["ok"] else 1)


def test_a_driver_is_told_of_alone() -> None:
    told = document(called("fake", "--json"))
    assert [each["subject"] for each in told["drivers"]] == ["fake"]
    assert told["scenarios"] == []
    assert all("fabric" in each["parts"] for each in told["findings"])


def test_a_scenario_is_told_of_alone() -> None:
    told = document(called("scenarios/performance/outer-cluster.yaml", "--json"))
    assert [each["subject"] for each in told["scenarios"]] == ["scenarios/performance/outer-cluster.yaml"]
    assert "haproxy" in [each["key"] for each in told["findings"]]


def test_what_is_neither_is_bad_input() -> None:
    ran = called("vmware")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert "vmware: neither a driver nor a file" in ran.stderr


def test_lines_fit_a_narrow_terminal() -> None:
    ran = called("namespace")
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "\ndrivers\n" in ran.stdout


def test_without_any_program_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "_SYSTEM_DIRS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("KUBECEPTION_RUN", str(tmp_path / "run"))
    findings = examine(tmp_path / "cache")
    found = {finding.key: finding for finding in findings}
    assert found["mmdebstrap"].status is Status.MISSING
    assert found["mmdebstrap"].fix == "apt-get install -y --no-install-recommends mmdebstrap"
    assert {found[tool.name].status for tool in tools.TOOLS} == {Status.MISSING}
    assert found["guest boots"].status is Status.MISSING
    assert found["bridge"].status is Status.UNTRIED
    assert {judge(driver, parts, findings).status for driver, parts in PARTS.items()} == {Status.MISSING}


def test_a_missing_program_is_named_with_its_package() -> None:
    tool = Tool("no-such-program", "some-package", frozenset(), "nothing")
    [finding] = tools.try_tools((tool,))
    assert (finding.status, finding.detail) == (Status.MISSING, "no-such-program: not installed")
    assert finding.fix == "apt-get install -y --no-install-recommends some-package"


def test_an_empty_file_is_not_firmware(tmp_path: Path) -> None:
    (tmp_path / "undionly.kpxe").touch()
    _, ipxe = tools.try_firmware(ipxe=(tmp_path / "undionly.kpxe",))
    assert (ipxe.status, ipxe.detail) == (Status.MISSING, f"{tmp_path}/undionly.kpxe: empty")


def guests(cache: Path) -> dict[str, Finding]:
    return {finding.key: finding for finding in hardware.try_guests(cache)}


def test_emulation_is_enough_and_the_lack_of_kvm_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = Verdict(Accelerator.TCG, (Attempt("kvm", False, 0.1, "it aborts"), Attempt("tcg", True, 2.3)))
    monkeypatch.setattr(hardware, "find_accelerator", lambda _: verdict)
    found = guests(tmp_path)
    assert (found["guest boots"].status, found["guest boots"].detail) == (Status.OK, "with tcg")
    assert (found["KVM"].status, found["KVM"].detail, found["KVM"].needed) == (Status.MISSING, "it aborts", False)
    assert found["nested KVM"].status is Status.UNTRIED


def test_without_qemu_a_guest_is_missing_and_the_rest_untried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: Path) -> Verdict:
        raise MissingTool("qemu-system-x86_64: not installed", hint="apt-get install qemu-system-x86")

    monkeypatch.setattr(hardware, "find_accelerator", absent)
    assert [each.status for each in guests(tmp_path).values()] == [Status.MISSING, Status.UNTRIED, Status.UNTRIED]


def test_too_little_room_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "CACHE_BYTES", 1 << 62)
    monkeypatch.setattr(hardware, "MEMORY_BYTES", 1 << 62)
    found = {finding.key: finding for finding in hardware.try_room(tmp_path)}
    assert found["disk for images"].status is Status.MISSING
    assert "MiB needed" in found["memory"].detail
    assert list(tmp_path.iterdir()) == []
