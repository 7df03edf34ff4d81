"""What becomes of a check's results: each is told from the others, by its machine and by the test's own parameters."""

import subprocess
import sys
from pathlib import Path

import pytest

from kubeception_sim.checks.testinfra import read_junit

CHECKS = """\
import pytest

@pytest.mark.parametrize("port", [22, 80])
@pytest.mark.parametrize("machine", ["rack-1", "b"])
def test_doors(host, machine, port):
    assert port == 22

def test_one(host):
    pass

def test_of_nobody():
    pass
"""
DOORS = [f"test_doors[{machine}-{port}]" for machine in ("rack-1", "b") for port in (22, 80)]


def results(folder: Path, hosts: str) -> list[tuple[str, str, str]]:
    """Machine, name and outcome, as they ran. No test connects to its machine."""
    (folder / "node_checks.py").write_text(CHECKS)
    options = ("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "kubeception_sim.checks.expectations")
    where = ("-c", "/dev/null", f"--rootdir={folder}", f"--junit-xml={folder}/results.xml", f"--hosts={hosts}")
    argv = [sys.executable, "-m", "pytest", "-q", str(folder / "node_checks.py"), *options, *where]
    subprocess.run(argv, cwd=folder, capture_output=True, timeout=60, check=False)
    found = read_junit((folder / "results.xml").read_text(), "node_checks.py")
    return [(each.host, each.name, each.outcome) for each in found]


@pytest.mark.parametrize("hosts", ["local://", "ssh://rack-1?controlpersist=0,ssh://rack-1-b?controlpersist=0"])
def test_each_result_has_its_machine_and_its_parameters(tmp_path: Path, hosts: str) -> None:
    machines = ["rack-1", "rack-1-b"] if "ssh" in hosts else [""]
    wanted = [("", "test_of_nobody", "passed")]
    for machine in machines:
        wanted += [(machine, name, "passed" if "22" in name else "failed") for name in DOORS]
        wanted.append((machine, "test_one", "passed"))
    assert sorted(results(tmp_path, hosts)) == sorted(wanted)
