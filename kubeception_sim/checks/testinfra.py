"""Run a testinfra file against booted machines over SSH, from inside their network.

The file's tests get the fixture `host` from pytest-testinfra, once per machine, and `me` and `others` from the plugin
`kubeception_sim.checks.expectations`: what the scenario says about this machine, and about every other one.
"""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from kubeception_sim.checks.expectations import CASE, MACHINE, VARIABLE
from kubeception_sim.errors import HarnessError, KubeceptionError
from kubeception_sim.lab import Lab
from kubeception_sim.model.results import CheckResult
from kubeception_sim.model.scenario import Machine, Scenario
from kubeception_sim.run import run

_PACKAGE_ROOT = Path(__file__).parents[2]
# pytest's own codes: 0 all passed, 1 some failed. Anything else is a broken run.
_RAN = (0, 1)


@dataclass(frozen=True)
class Rack:
    """Where the machines are, and how to log in."""

    scenario: Scenario
    lab: Lab
    namespace: str
    ssh_key: Path
    kubeconfig: Path | None = None  # of the outer cluster, if there is one
    kubectl: Path | None = None
    clusters: Path | None = None  # kubeconfigs of inner clusters: NAME.kubeconfig


def check(file: Path, machines: Sequence[Machine], rack: Rack, *, within: float) -> list[CheckResult]:
    """Run every test of `file` on every machine. `within` is in seconds, for all of them together.

    Raises HarnessError when pytest itself fails, with the end of what it printed.
    """
    config = rack.lab.subdirectory("checks") / "ssh_config"
    config.write_text(ssh_config(machines, rack.ssh_key, config.parent))
    hosts = ",".join(f"ssh://{machine.name}?controlpersist=0" for machine in machines)
    try:
        return _pytest(file, (f"--hosts={hosts}", f"--ssh-config={config}"), rack, within)
    finally:
        _hang_up(machines, config, rack)


def check_fabric(file: Path, rack: Rack, *, within: float) -> list[CheckResult]:
    """Run every test of `file` once, on this computer but in the machines' network; otherwise as `check`.

    KUBECONFIG is the outer cluster's, CLUSTERS a folder with NAME.kubeconfig of inner ones, and `kubectl` is in the path.
    """
    return _pytest(file, ("--hosts=local://",), rack, within)


def _pytest(file: Path, options: Sequence[str], rack: Rack, within: float) -> list[CheckResult]:
    folder = rack.lab.subdirectory("checks")
    results, expectations = folder / "results.xml", folder / "expectations.json"
    results.unlink(missing_ok=True)
    expectations.write_text(json.dumps({machine.name: expectation(machine, rack.scenario) for machine in rack.scenario.machines}))
    argv: tuple[str | Path, ...] = (
        sys.executable,
        *("-m", "pytest", os.fspath(file.absolute()), *options),
        *("-c", "/dev/null", f"--rootdir={file.absolute().parent}", f"--junit-xml={results}", "-q", "--tb=short"),
        *("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "kubeception_sim.checks.expectations"),
    )
    env = {
        **rack.lab.env,
        "PYTHONPATH": os.fspath(_PACKAGE_ROOT),
        VARIABLE: os.fspath(expectations),
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"KUBECONFIG": os.fspath(rack.kubeconfig)} if rack.kubeconfig else {}),
        **({"CLUSTERS": os.fspath(rack.clusters)} if rack.clusters else {}),
        **({"PATH": f"{rack.kubectl.parent}:{os.environ.get('PATH', os.defpath)}"} if rack.kubectl else {}),
    }
    ran = run(argv, timeout=within, check=False, env=env, cwd=folder, namespace=rack.namespace)
    if ran.code not in _RAN or not results.exists():
        raise HarnessError(
            f"the checks of {file} could not run (pytest ended with {ran.code}):\n{ran.stdout[-2000:]}{ran.stderr[-1000:]}"
        )
    return read_junit(results.read_text(), file.name)


def ssh_config(machines: Sequence[Machine], key: Path, folder: Path) -> str:
    """One connection per machine, shared by all its tests: a handshake costs a second on an emulated CPU."""
    common = f"""\
Host *
    User core
    IdentityFile {key}
    IdentitiesOnly yes
    BatchMode yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    ConnectTimeout 30
    ControlMaster auto
    ControlPersist yes
    ControlPath {folder}/%n
"""
    return "".join(f"Host {machine.name}\n    HostName {machine.address}\n" for machine in machines) + common


def _hang_up(machines: Sequence[Machine], config: Path, rack: Rack) -> None:
    """End the shared connections, which outlive pytest."""
    for machine in machines:
        with suppress(KubeceptionError):
            run(["ssh", "-F", config, "-O", "exit", machine.name], timeout=5, check=False, namespace=rack.namespace)


def expectation(machine: Machine, scenario: Scenario) -> dict[str, object]:
    """What the scenario says about a machine; `values` are its own over its profile's."""
    profile = next((profile for profile in scenario.profiles if profile.name == machine.profile), None)
    return {
        "name": machine.name,
        "serial": machine.serial,
        "uuid": machine.uuid,
        "mac": machine.mac,
        "address": str(machine.address),
        "firmware": str(machine.firmware),
        "role": str(machine.role or ""),
        "rack": machine.rack,
        "values": {**(profile.values if profile else {}), **machine.values},
    }


def read_junit(text: str, file: str) -> list[CheckResult]:
    """The results in pytest's JUnit XML: one a test and machine, in the order they ran."""
    return [_result(case, file) for case in ElementTree.fromstring(text).iter("testcase")]


def _result(case: ElementTree.Element, file: str) -> CheckResult:
    told = {each.get("name"): each.get("value", "") for each in case.iter("property")}
    name = case.get("name", "").partition("[")[0]
    outcome, detail = "passed", ""
    for tag, word in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
        found = case.find(tag)
        if found is not None:
            outcome, detail = word, (found.text or found.get("message") or "").strip()
    return CheckResult(
        host=told.get(MACHINE, ""),
        name=f"{name}[{told[CASE]}]" if told.get(CASE) else name,
        file=file,
        seconds=float(case.get("time", "0")),
        outcome=outcome,
        detail=detail,
    )
