import json
import os
import sys
from pathlib import Path

import pytest

from kubeception_sim.doctor import Finding, Verdict, can_run, examine, host
from kubeception_sim.doctor.accelerator import Attempt
from kubeception_sim.doctor.host import Tool
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.run import run

PROJECT = Path(__file__).parents[2]
EMULATED = Verdict(Accelerator.TCG, (Attempt("kvm", False, 0.1, "it aborts"), Attempt("tcg", True, 2.3)))


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Booting guests has its own tests."""
    monkeypatch.setattr(host, "find_accelerator", lambda _: EMULATED)


def found(cache: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(cache)}


def test_namespaces_bridges_and_taps_are_tried_and_taken_away(tmp_path: Path) -> None:
    before = {path.name for path in Path("/run/netns").glob("kc-*-doctor")}
    findings = found(tmp_path)
    for what in ("network namespace", "bridge in it", "tap device in it"):
        assert findings[what] == Finding(what, True, "")
    assert {path.name for path in Path("/run/netns").glob("kc-*-doctor")} <= before


def test_without_the_capability_the_finding_says_how_to_get_it() -> None:
    code = (
        "import json; from kubeception_sim.doctor import host;"
        "print(json.dumps([[f.what, f.ok, f.fix, f.detail] for f in host._network()]))"
    )
    powerless = ["setpriv", "--bounding-set=-all", sys.executable, "-c", code]
    done = run(powerless, timeout=30, env={"PYTHONPATH": os.fspath(PROJECT)})
    [[what, ok, fix, detail]] = json.loads(done.stdout)
    assert (what, ok, fix) == ("network namespace", False, "run as root: sudo kubeception doctor")
    assert "Operation not permitted" in detail


def test_what_is_missing_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "TOOLS", (Tool("no-such-program", "some-package"),))
    monkeypatch.setattr(host, "IPXE_FILES", (tmp_path / "undionly.kpxe",))
    monkeypatch.setattr(host, "CACHE_BYTES", 1 << 62)
    monkeypatch.setattr(host, "MEMORY_BYTES", 1 << 62)
    findings = found(tmp_path)
    assert findings["no-such-program"] == Finding(
        "no-such-program",
        False,
        "no-such-program: not installed",
        "apt-get install -y --no-install-recommends some-package",
    )
    assert findings["iPXE boot files"] == Finding(
        "iPXE boot files",
        False,
        f"{tmp_path}/undionly.kpxe: No such file or directory",
        "apt-get install -y --no-install-recommends ipxe",
    )
    assert not findings["disk for images"].ok
    assert "MiB needed" in findings["memory"].detail
    assert not can_run(list(findings.values()))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_not_firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "undionly.kpxe").touch()
    monkeypatch.setattr(host, "IPXE_FILES", (tmp_path / "undionly.kpxe",))
    assert found(tmp_path)["iPXE boot files"].detail == f"{tmp_path}/undionly.kpxe: empty"


def test_emulation_is_enough_and_the_lack_of_kvm_is_explained(tmp_path: Path) -> None:
    findings = found(tmp_path)
    assert findings["guest boots"] == Finding("guest boots", True, "with tcg")
    assert (findings["KVM"].ok, findings["KVM"].required, findings["KVM"].detail) == (False, False, "it aborts")


def test_without_any_accelerator_nothing_can_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = (Attempt("kvm", False, 0.1, "it aborts"), Attempt("tcg", False, 60.0, "no sign of life"))
    monkeypatch.setattr(host, "find_accelerator", lambda _: Verdict(Accelerator.NONE, attempts))
    finding = found(tmp_path)["guest boots"]
    assert (finding.ok, finding.detail) == (False, "kvm: it aborts; tcg: no sign of life")


@pytest.mark.parametrize(("required", "verdict"), [(True, False), (False, True)])
def test_only_what_is_required_decides(required: bool, verdict: bool) -> None:
    assert can_run([Finding("a", True, ""), Finding("b", False, "", required=required)]) is verdict
