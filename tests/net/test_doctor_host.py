"""Tries on the real machine: what they find, and that they take away again what they made."""

import json
import os
import sys
from functools import partial
from pathlib import Path

import pytest

from kubeception_sim import doctor
from kubeception_sim.cli.engines import try_engines
from kubeception_sim.doctor import EVERYTHING, Finding, Part, Status, Verdict, hardware
from kubeception_sim.doctor.accelerator import Attempt
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.run import run

PROJECT = Path(__file__).parents[2]
EMULATED = Verdict(Accelerator.TCG, (Attempt("kvm", False, 0.1, "it aborts"), Attempt("tcg", True, 2.3)))


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Booting guests has its own tests."""
    monkeypatch.setattr(hardware, "find_accelerator", lambda _: EMULATED)


def found(cache: Path) -> dict[str, Finding]:
    return {finding.key: finding for finding in doctor.examine(cache)}


def traces() -> set[str]:
    """All that a try might leave: namespaces, cgroups, mounts, loop devices, folders, links."""
    folders = [*Path("/run/netns").glob("*"), *Path("/sys/fs/cgroup").glob("*/kc-*"), *Path("/sys/fs/cgroup").glob("kc-*")]
    folders += [
        *Path("/tmp").glob("kubeception-doctor-*"),
        *Path("/sys/class/net").iterdir(),
        *Path("/run/kubeception").glob("*"),
    ]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    loops = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    return {*map(str, folders), *mounts, *loops}


def test_tries_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECEPTION_RUN", str(tmp_path / "run"))
    before = traces()
    doctor.examine(tmp_path / "cache", EVERYTHING, partial(try_engines, parts=EVERYTHING))
    assert {trace for trace in traces() - before if "doctor" in trace or str(tmp_path) in trace} == set()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "cache", tmp_path / "run"]


def test_what_every_fabric_needs_is_tried(tmp_path: Path) -> None:
    findings = found(tmp_path)
    for key in ("network namespace", "bridge", "veth", "TUN/TAP", "overlayfs", "squashfs on a loop device", "cgroups"):
        assert findings[key].status is Status.OK, findings[key]
    assert "memory" in findings["cgroups"].detail


def test_faults_that_this_kernel_cannot_make_are_no_fault_of_a_driver(tmp_path: Path) -> None:
    findings = found(tmp_path)
    for key in ("faults: partition, loss", "fault: rate"):
        assert findings[key].status is Status.OK, findings[key]
    delay = findings["fault: delay"]
    assert not delay.needed
    assert delay.status is Status.OK or "kind is unknown" in delay.detail, "a kernel has netem, or says that it has not"


def test_without_capabilities_it_says_how_to_get_them_and_what_was_not_tried() -> None:
    code = (
        "import json\n"
        "from kubeception_sim.doctor.kernel import try_kernel\n"
        "from kubeception_sim.doctor.network import try_network\n"
        "print(json.dumps({f.key: [f.status, f.fix, f.detail] for f in [*try_kernel(), *try_network()]}))"
    )
    powerless = ["setpriv", "--bounding-set=-all", sys.executable, "-c", code]
    findings = json.loads(run(powerless, timeout=30, env={"PYTHONPATH": os.fspath(PROJECT)}).stdout)
    root = "run as root: sudo kubeception doctor"
    for key in ("network namespace", "CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_MKNOD"):
        status, fix, detail = findings[key]
        assert (status, fix) == ("missing", root), key
        assert "not permitted" in detail, key
    assert findings["bridge"] == ["untried", root, "no network namespace"]
    assert findings["overlayfs"][:2] == ["untried", root]
    assert findings["cgroups"][0] in ("ok", "missing")


def test_a_scenario_alone_is_examined_for_what_it_needs(tmp_path: Path) -> None:
    findings = doctor.examine(tmp_path, frozenset((Part.DELAY,)))
    assert [finding.key for finding in findings] == ["fault: delay", "tc"]
