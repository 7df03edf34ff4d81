"""What a person is told of a cluster; what a pod tells of its machine; when a token is made; whose turn it is."""

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.inner.allocation import machines
from kubeception_sim.inner.controller.passes import Passes
from kubeception_sim.inner.controller.settings import Settings
from kubeception_sim.inner.doors import TOKEN_REFUSED
from kubeception_sim.inner.pods import Pod, current
from kubeception_sim.inner.resource import About, Cluster, Condition, Phase, Spec, Status, VmPhase
from kubeception_sim.inner.status import ADDONS_SECONDS, READY, Inside, Reason, Seen, Verdict, calm, halted, judge, news
from kubeception_sim.inner.tokens import GRACE_SECONDS
from kubeception_sim.inner.tokens import Verdict as Token
from kubeception_sim.inner.tokens import judge as judge_token
from kubeception_sim.inner.wanted import Start

BLUE = Cluster("blue", Spec(), "uid", 1)
NOW, LATER = "2026-01-02T03:04:05Z", "2026-01-02T04:04:05Z"
VMS = machines(BLUE, {"master-0": 1, "worker-0": 2})
NODES = {"master-0": True, "worker-0": True}


def pod(vm: str, **more: Any) -> Pod:
    runs: dict[str, Any] = {"node": "n1", "address": IPv4Address("10.60.1.2"), "ready": True}
    return Pod(vm, f"uid of {vm}", 1000.0, **runs | more)


WELL = Seen(
    100,
    VMS,
    {name: pod(name) for name in NODES},
    frozenset(NODES),
    network=READY,
    certificates=READY,
    inside=Inside(NODES),
)
NODES_OF = {"master-0": pod("master-0")}
STUCK = pod("worker-0", ready=False, problem="vm: x")


def of(status: Status, about: About) -> tuple[bool | None, str]:
    found = next(each for each in status.conditions if each.about is about)
    return found.truth, found.reason


def after(status: Status, generation: int = 1) -> Cluster:
    return replace(BLUE, conditions=status.conditions, generation=generation)


def test_a_cluster_of_which_all_is_well_is_ready() -> None:
    status = judge(BLUE, WELL, NOW)
    assert status.phase is Phase.RUNNING
    assert {each.about: each.truth for each in status.conditions} == {about: about is not About.PROGRESSING for about in About}


def test_a_cluster_that_was_never_asked_about_is_pending() -> None:
    assert judge(BLUE, Seen(), NOW).phase is Phase.PENDING


@pytest.mark.parametrize(
    ("seen", "about", "reason"),
    [
        (replace(WELL, inside=Inside(problem="refused")), About.CONTROL_PLANE, Reason.API),
        (replace(WELL, inside=Inside(NODES, "forbidden", Reason.ADDONS)), About.CONTROL_PLANE, Reason.ADDONS),
        (replace(WELL, inside=Inside({"master-0": True})), About.WORKERS, Reason.NODES),
        (replace(WELL, pods={"master-0": pod("master-0")}), About.WORKERS, Reason.BOOTING),
        (
            replace(WELL, pods={**WELL.pods, "worker-0": pod("worker-0", ready=False, problem="vm: x")}),
            About.WORKERS,
            Reason.FAILED,
        ),
    ],
)
def test_what_is_missing_is_told(seen: Seen, about: About, reason: Reason) -> None:
    status = judge(BLUE, seen, NOW)
    assert of(status, about) == (False, reason)
    assert of(status, About.READY) == (False, Reason.CREATING)


def test_who_was_ready_and_is_not_is_degraded_until_something_else_is_asked_for() -> None:
    ready = judge(BLUE, WELL, NOW)
    lost = judge(after(ready), replace(WELL, pods={}), LATER)
    assert (lost.phase, of(lost, About.READY)) == (Phase.DEGRADED, (False, Reason.DEGRADED))
    still = judge(after(lost), replace(WELL, pods={}), LATER)
    assert still.phase is Phase.DEGRADED
    assert judge(after(lost, 2), replace(WELL, pods={}), LATER).phase is Phase.CREATING


def test_a_stolen_token_fails_the_cluster() -> None:
    status = judge(BLUE, replace(WELL, alarms={"worker-0": "somebody"}), NOW)
    assert status.phase is Phase.FAILED
    assert of(status, About.CERTIFICATES) == (False, Reason.TOKEN)
    assert [each.is_warning for each in news(judge(BLUE, WELL, NOW).conditions, status.conditions)].count(True) >= 1


def test_a_cluster_that_hibernates_has_stopped_when_its_pods_are_gone() -> None:
    asleep = replace(BLUE, spec=replace(BLUE.spec, hibernated=True))
    assert {vm.phase for vm in judge(asleep, WELL, NOW).vms} == {VmPhase.LEAVING}
    status = judge(asleep, replace(WELL, pods={}), NOW)
    assert (status.phase, {vm.phase for vm in status.vms}) == (Phase.HIBERNATED, {VmPhase.STOPPED})


def test_a_cluster_without_workers_can_be_ready() -> None:
    alone = replace(BLUE, spec=replace(BLUE.spec, pools=()))
    assert of(judge(alone, replace(WELL, vms=VMS[:1]), NOW), About.WORKERS) == (True, Reason.NONE)
    assert judge(alone, replace(WELL, vms=VMS[:1]), NOW).phase is Phase.RUNNING


def test_add_ons_wait_for_machines_that_boot_but_not_for_ever() -> None:
    half = after(judge(BLUE, replace(WELL, inside=Inside({"master-0": True})), NOW))
    since = datetime.fromisoformat(NOW)
    assert not calm(BLUE, since)
    assert calm(after(judge(BLUE, WELL, NOW)), since)
    assert not calm(half, since + timedelta(seconds=ADDONS_SECONDS - 1))
    assert calm(half, since + timedelta(seconds=ADDONS_SECONDS))


def test_what_says_the_same_keeps_its_time_and_is_no_news() -> None:
    first = judge(BLUE, WELL, NOW)
    again = judge(after(first), WELL, LATER)
    assert again == first
    assert list(news(first.conditions, again.conditions)) == []


SEEN = st.sampled_from(
    [
        WELL,
        Seen(),
        replace(WELL, pods={}),
        replace(WELL, alarms={"worker-0": "x"}),
        replace(WELL, inside=Inside(problem="x")),
        replace(WELL, network=Verdict(False, Reason.FAILED, "x"), problem="x"),
    ]
)


@given(st.lists(SEEN, min_size=1, max_size=6), st.booleans())
def test_judged_twice_nothing_is_different(history: list[Seen], paused: bool) -> None:
    """Or a pass over a settled cluster would write, and hear of it, and write."""
    cluster = BLUE
    for seen in history:
        cluster = after(judge(cluster, seen, NOW))
    first = judge(cluster, history[-1], NOW)
    first = halted(cluster, first) if paused else first
    second = judge(after(first), history[-1], LATER)
    second = halted(after(first), second) if paused else second
    differing = [(one, two) for one, two in zip(first.conditions, second.conditions, strict=True) if one != two]
    assert [one for one, two in differing if one.truth == two.truth and one.since != two.since and not paused] == []
    assert {about for one, _ in differing for about in [one.about]} <= ({About.PROGRESSING} if paused else set())


# Pods


def document(**status: Any) -> dict[str, Any]:
    metadata = {"name": "x", "uid": "u", "creationTimestamp": NOW, "labels": {"kubeception.io/vm": "master-0"}}
    return {"metadata": metadata, "spec": {"nodeName": "n1"}, "status": status}


def ended(code: int, message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "finishedAt": LATER, "message": message}}


def test_a_pod_tells_when_its_token_was_refused_last() -> None:
    crashing = {"waiting": {"reason": "CrashLoopBackOff"}}
    found = Pod.read(
        document(
            initContainerStatuses=[{"name": "pki", "state": crashing, "lastState": ended(TOKEN_REFUSED, "ALARM: the token")}]
        )
    )
    assert (found.refused, found.certified) == (Pod.read(document()).created + 3600, False)
    assert (found.phase, found.problem) == (VmPhase.FAILED, "pki: CrashLoopBackOff: ALARM: the token")


@pytest.mark.parametrize(
    ("found", "phase"),
    [
        (pod("m"), VmPhase.READY),
        (pod("m", leaving=True), VmPhase.LEAVING),
        (pod("m", ready=False, node=""), VmPhase.PENDING),
        (pod("m", ready=False), VmPhase.PREPARING),
        (pod("m", ready=False, prepared=True), VmPhase.BOOTING),
        (pod("m", ready=False, over=True), VmPhase.FAILED),
    ],
)
def test_how_far_a_machine_is(found: Pod, phase: VmPhase) -> None:
    assert found.phase is phase


def test_the_pod_that_counts_is_the_youngest_that_stays() -> None:
    old, new = replace(pod("m"), created=1.0, leaving=True), replace(pod("m"), created=2.0)
    assert current([new, old]) == current([old, new]) == {"m": new}
    assert current([replace(new, over=True), replace(old, leaving=False)])["m"].created == 1.0
    assert current([old]) == {"m": old}


# Tokens

BOOTING = pod("m", ready=False)
MADE = Start(BOOTING.uid, 1000, 1900, wrapped="x")


@pytest.mark.parametrize(
    ("found", "of_pod", "now", "verdict"),
    [
        (None, None, 0, Token.KEEP),
        (None, BOOTING, 1000, Token.MAKE),
        (MADE, BOOTING, 1500, Token.KEEP),
        (MADE, BOOTING, 1900, Token.MAKE),
        (replace(MADE, pod="another"), BOOTING, 1500, Token.MAKE),
        (replace(MADE, wrapped=""), BOOTING, 1500, Token.MAKE),
        (MADE, replace(BOOTING, certified=True), 1500, Token.SPEND),
        (replace(MADE, wrapped=""), replace(BOOTING, certified=True), 9999, Token.KEEP),
        (MADE, None, 1500, Token.SPEND),
        (MADE, replace(BOOTING, leaving=True), 1500, Token.SPEND),
        (MADE, replace(BOOTING, refused=1400.0), 1500, Token.ALARM),
        (MADE, replace(BOOTING, refused=1400.0), 9999, Token.ALARM),
        (MADE, replace(BOOTING, refused=1900.0), 1950, Token.MAKE),
        (MADE, replace(BOOTING, refused=900.0), 1500, Token.KEEP),
        (replace(MADE, renewed=True), replace(BOOTING, refused=1000 + GRACE_SECONDS - 1), 1500, Token.KEEP),
        (replace(MADE, renewed=True), replace(BOOTING, refused=1000 + GRACE_SECONDS), 1500, Token.ALARM),
    ],
)
def test_when_a_token_is_made(found: Start | None, of_pod: Pod | None, now: float, verdict: Token) -> None:
    assert judge_token(found, of_pod, now) is verdict


@given(st.floats(1000, 1899), st.floats(0, 1e6))
def test_a_token_that_was_refused_in_its_time_is_never_made_anew(refused: float, later: float) -> None:
    assert judge_token(MADE, replace(BOOTING, refused=refused), refused + later) is Token.ALARM


# Passes


class Running:
    """Passes in a thread; every pass is noted, and does what it is told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.problem = ""
        self.pause: float | None = 1000.0
        self.passes = Passes(self.one)
        self.thread = threading.Thread(target=self.passes.run)

    def one(self, name: str) -> float | None:
        self.done.append(name)
        if self.problem:
            raise HarnessError(self.problem)
        return self.pause

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.passes.stop()
        self.thread.join()

    def until(self, count: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.done) < count:
            assert time.monotonic() < deadline, self.done
            time.sleep(0.01)


def test_changes_that_come_together_are_one_pass() -> None:
    with Running() as running:
        for _ in range(50):
            running.passes.poke("blue")
        running.until(1)
        running.passes.poke("red")
        running.until(2)
    assert running.done == ["blue", "red"]


def test_a_version_that_is_known_is_no_change() -> None:
    with Running() as running:
        running.passes.poke("blue", "1")
        running.until(1)
        running.passes.poke("blue", "1")
        running.passes.poke("red")
        running.until(2)
    assert running.done == ["blue", "red"]


def test_what_fails_is_tried_again_later_and_at_once_when_it_was_changed() -> None:
    with Running() as running:
        running.problem = "sealed"
        running.passes.poke("blue", "1")
        running.until(3)
        assert running.passes.problems() == {"blue": "sealed"}
        running.problem = ""
        running.passes.poke("blue", "2")
        running.until(4)
    assert running.passes.metrics()["kubeception_pass_failures_total"] == 3
    assert running.passes.problems() == {}


def test_a_cluster_that_is_gone_is_forgotten() -> None:
    with Running() as running:
        running.pause = None
        running.passes.poke("blue", "1")
        running.until(1)
        running.passes.poke("blue", "1")
        running.until(2)
    assert running.passes.metrics()["kubeception_clusters"] == 0


# Settings


SETTINGS: dict[str, Any] = {
    "openbao": {"url": "https://10.77.0.1:8200", "ca": "bao.crt", "token": "bao"},
    "network": {"address": "10.97.0.11", "ca": "net.crt", "password": "net"},
    "guests": {
        "v1.20.2": {"testbed-1": {"url": "http://10.77.0.1:4081/x", "kernel": "a" * 64, "initrd": "b" * 64, "rootfs": "c" * 64}}
    },
    "vm_image": "vm:1",
    "addons_image": "base:1",
    "etcd_image": "etcd:3",
    "accelerator": "tcg",
    "domain": "k8s.example",
}


def written(folder: Path, settings: dict[str, Any]) -> Path:
    for name in ("bao.crt", "bao", "net.crt", "net"):
        (folder / name).write_text(f"{name}\n")
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    return folder / "settings.yaml"


def test_settings_are_read_as_they_are_written(tmp_path: Path) -> None:
    found = Settings.read(written(tmp_path, SETTINGS))
    assert found.document() == SETTINGS
    assert (found.openbao.read_token(), found.network.read_password()) == ("bao", "net")
    assert found.giantnetes().entrance == {"app.kubernetes.io/name": "edge"}


def test_all_that_is_wrong_with_settings_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, SETTINGS | {"accelerator": "xen", "domian": "x"})
    with pytest.raises(BadInput) as caught:
        Settings.read(path)
    assert "'xen' is none of kvm, tcg" in caught.value.message
    assert "settings.domian: is not known" in caught.value.message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, SETTINGS)
    (tmp_path / "bao").unlink()
    with pytest.raises(BadInput, match="bao is not there"):
        Settings.read(path)


def test_a_paused_cluster_says_so() -> None:
    ready = judge(BLUE, WELL, NOW)
    paused = halted(after(ready), ready)
    assert of(paused, About.PROGRESSING) == (False, Reason.PAUSED)
    assert of(paused, About.READY) == (True, Reason.READY)
    assert Condition.read(paused.conditions[0].document()) == paused.conditions[0]
