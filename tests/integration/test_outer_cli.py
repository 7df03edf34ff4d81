"""`kubeception outer`, asked of a keeper that is this process, whose cluster is simulated."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kubeception_sim import claims
from kubeception_sim.cli.outer import outer
from kubeception_sim.errors import BadInput
from kubeception_sim.giantnetes import turning
from kubeception_sim.lab import ENV_ROOT, Owner
from kubeception_sim.scenario import keeper
from kubeception_sim.scenario.keeper import Kept, Phase
from kubeception_sim.scenario.rotating import Rotation, Wanted
from kubeception_sim.scenario.wishes import Answer, Arguments, Wish, listen
from tests.integration.outer_hosts import Site, site

NAME = "simulated"


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The cluster, kept under a name."""
    monkeypatch.setenv(ENV_ROOT, str(tmp_path / "labs"))
    made, servers = site(tmp_path)
    by = Rotation(made.bench)
    claim = claims.take(NAME)
    log = keeper.log(NAME)

    def say(line: str) -> None:
        with log.open("a") as file:
            file.write(f"{line}\n")

    def grant(wish: Wish, arguments: Arguments) -> Answer:
        if wish is Wish.CERTIFICATES:
            return {"ok": True, "problem": "", "certificates": [asdict(each) for each in by.certificates()]}
        return by.carry_out(Wanted.read(arguments), say)

    log.write_text("long ago\n")
    Kept(NAME, Owner.current(), Phase.UP).write()
    with listen(NAME, grant):
        yield made
    servers.close()
    claims.forget(NAME, claim)


def ask(*words: str) -> Result:
    return CliRunner().invoke(outer, words)


def test_certificates_are_shown_with_who_uses_them(at: Site) -> None:
    shown = ask("certificates")
    assert shown.exit_code == 0
    (line,) = [line for line in shown.stdout.splitlines() if "etcd-peer" in line and "master-2" in line]
    assert "CN=master-2" in line
    found = json.loads(ask("certificates", NAME, "--json").stdout)
    assert found["ok"]
    assert len(found["certificates"]) == 3 * 12 + 1 + 1
    assert {"host", "component", "users", "subject", "serial", "not_after", "due", "present"} == set(found["certificates"][0])


def test_a_file_that_is_not_the_known_one_makes_it_fail(at: Site) -> None:
    at.hosts["worker-1"].files["/etc/kubernetes/kube-proxy/client.crt"] = at.hosts["master-1"].files[
        "/etc/kubernetes/pki/apiserver.crt"
    ]
    shown = ask("certificates")
    assert shown.exit_code == 1
    assert "another" in next(line for line in shown.stdout.splitlines() if line.startswith("worker-1"))


def test_the_plan_comes_first_and_then_a_line_for_each_step(at: Site) -> None:
    shown = ask("rotate", "--component", "scheduler")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    steps = [line.split("s  ", 1)[1] for line in lines[:-1] if " s  " in line]
    assert lines[: len(steps)] == [f"           {step}" for step in steps]
    assert [step for step in steps if step.startswith("master-1")] == [
        "master-1: issue scheduler",
        "master-1: tell mayu",
        "master-1: write",
        "master-1: restart kube-scheduler",
        "master-1: verify",
        "master-1: mark",
    ]
    assert lines[-1].startswith("simulated: 3 new, ")
    assert "long ago" not in shown.stdout


def test_json_is_all_there_is_on_stdout(at: Site) -> None:
    shown = json.loads(ask("rotate", "--component", "admin", "--json").stdout)
    assert (shown["ok"], shown["problem"]) == (True, "")
    assert [step["do"] for step in shown["steps"] if step["host"] == "worker-1"] == []
    assert all(step["seconds"] >= 0 for step in shown["steps"])


def test_a_dry_run_shows_the_plan(at: Site) -> None:
    shown = ask("rotate", "--all", "--dry-run")
    assert (shown.exit_code, at.happened) == (0, [])
    assert "master-3: check quorum master-1, master-2" in shown.stdout.splitlines()


def test_nothing_is_due(at: Site) -> None:
    shown = ask("rotate", "--due")
    assert (shown.exit_code, shown.stdout) == (0, "nothing is due\n")


def test_all_and_a_component_do_not_go_together(at: Site) -> None:
    shown = ask("rotate", "--all", "--component", "scheduler")
    assert isinstance(shown.exception, BadInput)


def test_what_fails_is_told_and_is_no_success(at: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turning, "QUORUM_SECONDS", 0.2)
    at.hosts["master-3"].ill.add("etcd")
    shown = ask("rotate", "--component", "etcd-peer")
    assert shown.exit_code == 1
    assert "simulated: etcd would lose its majority without master-1" in shown.stderr
    assert "rotate again" in shown.stderr
