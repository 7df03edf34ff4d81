"""Turns on simulated hosts, with real certificates and real handshakes: what is everywhere in the end, and what if it is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeception_sim.giantnetes import hosts, turning
from kubeception_sim.giantnetes.hosts import config_id
from kubeception_sim.giantnetes.rotation import USERS, files, pod
from kubeception_sim.machines import MachineState
from kubeception_sim.scenario.rotating import Rotation, Wanted, Which
from tests.integration.outer_hosts import Site, site

EVERYTHING = Wanted(Which.ALL)
MASTERS = ("master-1", "master-2", "master-3")


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for limit in ("RESTART_SECONDS", "QUORUM_SECONDS", "VERIFY_SECONDS"):
        monkeypatch.setattr(turning, limit, 0.3)
    made, servers = site(tmp_path)
    yield made
    servers.close()


def rotate(by: Rotation, wanted: Wanted = EVERYTHING) -> tuple[dict[str, Any], list[str]]:
    """The answer, and what was said."""
    said: list[str] = []
    return dict(by.carry_out(wanted, said.append)), said


def serials(by: Rotation) -> dict[tuple[str, str], str]:
    return {(each.host, each.component): each.serial for each in by.certificates()}


def test_everything_is_new_everywhere(at: Site) -> None:
    by = Rotation(at.bench)
    before = serials(by)
    answer, said = rotate(by)
    assert (answer["ok"], answer["problem"]) == (True, "")
    assert [{**step, "seconds": 0} for step in answer["steps"]] == [{**step, "seconds": 0} for step in answer["plan"]]
    assert len(said) == 2 * len(answer["steps"])
    after = serials(by)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    for name, host in at.hosts.items():
        # What a boot would write is there, and what runs sees it.
        assert host.files == at.mayu.files(name)
        for component in at.outer.certificates.hosts[name]:
            user, (path, _) = pod(component), files(component)
            if user and USERS[component]:
                assert host.pods[user].files[str(path)] == host.files[str(path)]
        assert at.told[name] == config_id(at.mayu.config(name))
        assert f"annotate --overwrite node {name} giantnetes/config={at.told[name]}" in at.happened
    assert [line for line in at.happened if "api/" in line] == [
        f"{do} api/{name}" for name in MASTERS for do in ("drain", "admit")
    ]
    assert all(each.present and not each.due for each in by.certificates())
    assert rotate(by, Wanted())[0] == {"ok": True, "problem": "", "plan": [], "steps": []}


def test_the_harness_uses_its_own_new_certificate(at: Site) -> None:
    old = at.outer.certificates.admin_cert
    assert rotate(Rotation(at.bench), Wanted(components=("admin",)))[0]["ok"]
    (user,) = yaml.safe_load(at.outer.kubectl.kubeconfig.read_text())["users"]
    named = Path(user["user"]["client-certificate"])
    assert named == at.outer.certificates.admin_cert != old
    assert named.read_text() != old.read_text(), "who has read the old kubeconfig still finds what it names"
    assert at.outer.certificates.admin_key.stat().st_mode & 0o777 == 0o600


def test_a_plan_alone_changes_nothing(at: Site) -> None:
    by = Rotation(at.bench)
    before = serials(by)
    answer, said = rotate(by, Wanted(Which.ALL, dry_run=True))
    assert len(answer["plan"]) > 20
    assert (answer["steps"], said, at.happened, serials(by), by.unfinished) == ([], [], [], before, set())


def test_what_has_failed_is_taken_up_by_the_next_rotation_whatever_that_is_asked_for(at: Site) -> None:
    by = Rotation(at.bench)
    before = serials(by)
    at.hosts["master-2"].stuck.add("kube-apiserver")
    answer, _ = rotate(by)
    assert not answer["ok"]
    assert "kube-apiserver of master-2 does not come back" in answer["problem"]
    assert at.happened[-1] == "admit api/master-2", "whether clients go there is for health checks to say"
    after = serials(by)
    assert {host for host, component in before if before[host, component] == after[host, component]} == {
        "master-3",
        "worker-1",
        "",
    }
    # Somebody repairs it.
    at.hosts["master-2"].stuck.clear()
    at.hosts["master-2"].pods["kube-apiserver"].running = True
    answer, _ = rotate(by, Wanted())
    assert answer["ok"], answer["problem"]
    assert list(dict.fromkeys(step["host"] for step in answer["steps"]))[:3] == ["master-2", "master-3", "worker-1"]
    assert not set(before.values()) & set(serials(by).values())
    assert rotate(by, Wanted())[0]["plan"] == []


def test_an_api_server_that_waits_for_its_watches_to_end_is_ended(at: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "GRACE_SECONDS", 0.1)
    at.hosts["master-1"].stubborn.add("kube-apiserver")
    old = at.hosts["master-1"].pods["kube-apiserver"].id
    assert rotate(Rotation(at.bench), Wanted(components=("apiserver",)))[0]["ok"]
    assert at.hosts["master-1"].pods["kube-apiserver"].id != old


def test_what_has_started_by_itself_since_it_has_new_files_is_left_alone(at: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that leads ends when it misses its API server for long, and a kubelet starts it again."""
    host = at.hosts["master-1"]
    end = type(host)._end

    def end_both(self: Any, killed: str, signal: str) -> None:
        if self.pods["kube-apiserver"].id == killed:
            end(self, self.pods["kube-scheduler"].id, signal)
        end(self, killed, signal)

    monkeypatch.setattr(type(host), "_end", end_both)
    began = {name: each.id for name, each in host.pods.items()}
    assert rotate(Rotation(at.bench), Wanted(components=("apiserver", "scheduler")))[0]["ok"]
    assert began["kube-scheduler"] != host.pods["kube-scheduler"].id
    assert host.started == len(began) + 2, "each was started once"


def test_no_member_of_etcd_is_stopped_while_another_is_ill(at: Site) -> None:
    at.hosts["master-3"].ill.add("etcd")
    running = at.hosts["master-1"].pods["etcd"].id
    answer, _ = rotate(Rotation(at.bench))
    assert "etcd would lose its majority without master-1" in answer["problem"]
    assert "1 of master-2, master-3 are well, not 2" in answer["problem"]
    assert at.hosts["master-1"].pods["etcd"].id == running


def test_nothing_begins_while_a_machine_is_off(at: Site) -> None:
    by = Rotation(at.bench)
    before = serials(by)
    at.hosts["worker-1"].power = MachineState.OFF
    answer, _ = rotate(by)
    assert (answer["ok"], answer["steps"]) == (False, [])
    assert "worker-1 is off" in answer["problem"]
    assert serials(by) == before
    at.hosts["worker-1"].power = MachineState.RUNNING
    assert rotate(by, Wanted())[0]["plan"] == [], "it has not begun, so there is nothing to take up"


def test_a_container_that_still_has_the_old_file_is_found(at: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    old = dict(at.hosts["master-1"].files)
    host = at.hosts["master-1"]
    fresh = type(host)._container

    def with_old_files(self: Any) -> Any:
        made = fresh(self)
        made.files = dict(old)
        return made

    monkeypatch.setattr(type(host), "_container", with_old_files)
    answer, _ = rotate(Rotation(at.bench), Wanted(components=("scheduler",)))
    assert "kube-scheduler has another /etc/kubernetes/pki/scheduler.crt" in answer["problem"]


def test_a_file_on_a_host_that_is_not_the_known_one_is_seen(at: Site) -> None:
    path = str(files("scheduler")[0])
    at.hosts["master-1"].files[path] = at.hosts["master-2"].files[path]
    seen = {(each.host, each.component): each.present for each in Rotation(at.bench).certificates()}
    assert [key for key, present in seen.items() if not present] == [("master-1", "scheduler")]
