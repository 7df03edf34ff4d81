"""When certificates are renewed, whose turn it is, and what a person is told of it; which system a machine boots."""

from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.agents.issue.record import fingerprint
from kubeception_sim.errors import BadInput
from kubeception_sim.inner.allocation import machines
from kubeception_sim.inner.controller.renewing import When, is_refused, turn
from kubeception_sim.inner.controller.turn import Turn, is_settled
from kubeception_sim.inner.doors import Held
from kubeception_sim.inner.pods import Pod
from kubeception_sim.inner.resource import Cluster, Pool, Spec
from kubeception_sim.inner.status import Seen
from kubeception_sim.inner.tokens import Verdict, renew
from kubeception_sim.inner.wanted import TEMPLATE, Start
from kubeception_sim.scenario.living import unsettled
from tests.inner_doors import GIANTNETES, GUEST, OLDER

BLUE = Cluster("blue", Spec(pools=(Pool(replicas=2),), rotation="spring"), "uid", 1)
VMS = machines(BLUE, {"master-0": 1, "worker-0": 2, "worker-1": 3})
NEW, OLD = Held("spring", 1000, 2000), Held("", 1000, 2000)
NOW = When(66, 1100.0)


def test_masters_come_first_and_then_one_worker_after_the_other() -> None:
    held = dict.fromkeys(("worker-1", "worker-0", "master-0"), OLD)
    order = []
    while found := turn(BLUE, VMS, held, NOW):
        order.append(found.name)
        held[found.name] = NEW
    assert order == ["master-0", "worker-0", "worker-1"]


@pytest.mark.parametrize(("now", "due"), [(1000.0, False), (1659.0, False), (1660.0, True), (2500.0, True)])
def test_certificates_are_renewed_when_two_thirds_of_their_life_are_over(now: float, due: bool) -> None:
    assert When(66, now).is_due(BLUE, NEW) is due


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 100))
def test_whatever_their_life_is_they_are_renewed_before_it_ends(made: int, life: int, per_cent: int) -> None:
    held = Held("spring", made, made + life)
    assert When(per_cent, float(made + life)).is_due(BLUE, held)
    assert not When(per_cent, made + life * per_cent / 100 - 1).is_due(BLUE, held)


def test_a_machine_that_says_nothing_keeps_nobody_waiting() -> None:
    assert turn(BLUE, VMS, {"worker-1": OLD}, NOW) == VMS[2]
    assert turn(BLUE, VMS, {}, NOW) is None


POD = Pod("master-0", "uid", 0.0, certified=True)
START = Start("uid", 1000, 1900, renewed=True, wrapped=b64encode(b"hvs.x").decode(), rotation="spring")


@pytest.mark.parametrize(
    ("start", "now", "refused", "expected"),
    [
        (None, 1000, 0, Verdict.MAKE),
        (replace(START, wrapped=""), 1000, 0, Verdict.MAKE),
        (replace(START, rotation="winter"), 1000, 0, Verdict.MAKE),
        (replace(START, pod="another"), 1000, 0, Verdict.MAKE),
        (START, 1000, 0, Verdict.KEEP),
        (START, 1900, 0, Verdict.MAKE),
        (START, 1100, 1001, Verdict.ALARM),
        (START, 1950, 1901, Verdict.MAKE),
    ],
)
def test_a_token_is_made_once_and_again_when_it_has_waited_for_too_long(
    start: Start | None, now: float, refused: float, expected: Verdict
) -> None:
    assert renew(start, POD, "spring", now, refused) is expected


def test_only_the_token_of_now_is_refused() -> None:
    assert is_refused(START, replace(OLD, refused=1200, wrapper=fingerprint("hvs.x")))
    assert not is_refused(START, replace(OLD, refused=1200, wrapper=fingerprint("hvs.y")))
    assert not is_refused(START, replace(OLD, wrapper=fingerprint("hvs.x")))


# Machines that are replaced


def deployment(template: str, **status: int) -> dict[str, object]:
    metadata = {"generation": 2, "annotations": {TEMPLATE: template}}
    return {"metadata": metadata, "spec": {"replicas": 1}, "status": status}


SETTLED = {"observedGeneration": 2, "updatedReplicas": 1}


@pytest.mark.parametrize(
    ("status", "expected"),
    [(SETTLED, True), ({"observedGeneration": 1, "updatedReplicas": 1}, False), ({"observedGeneration": 2}, False), ({}, True)],
)
def test_the_pod_of_before_is_not_taken_for_that_of_now(status: dict[str, int], expected: bool) -> None:
    assert is_settled(deployment("x", **status)) is expected


def ready(name: str) -> Pod:
    return Pod(name, f"uid of {name}", 0.0, ready=True)


def test_nobody_has_a_turn_while_the_one_before_is_still_what_it_was() -> None:
    seen = Seen(vms=VMS, pods={vm.name: ready(vm.name) for vm in VMS})
    applied = {"master-0": deployment("new", observedGeneration=1, updatedReplicas=1)}
    there = {**applied, **{name: deployment("old", **SETTLED) for name in ("worker-0", "worker-1")}}
    found = Turn(BLUE, seen, there)
    assert [found.has_come(vm, deployment("new")) for vm in VMS] == [True, False, False]
    assert [found.is_behind(vm, deployment("new")) for vm in VMS] == [True, True, True]
    there["master-0"] = deployment("new", **SETTLED)
    after = Turn(BLUE, seen, there)
    assert [after.has_come(vm, deployment("new")) for vm in VMS] == [True, True, False]
    assert [after.is_behind(vm, deployment("new")) for vm in VMS] == [False, True, True]


def test_who_is_to_be_drained_first_keeps_its_turn_and_is_not_started() -> None:
    seen = Seen(vms=VMS, pods={vm.name: ready(vm.name) for vm in VMS})
    there = {vm.name: deployment("old" if vm.name != "master-0" else "new", **SETTLED) for vm in VMS}
    asked: list[str] = []

    def drained(vm: object) -> bool:
        asked.append(getattr(vm, "name", ""))
        return False

    found = Turn(BLUE, seen, there, drained)
    assert [found.has_come(vm, deployment("new")) for vm in VMS] == [True, False, False]
    assert asked == ["worker-0"]


# Systems


def test_who_does_not_choose_gets_the_last_system() -> None:
    assert GIANTNETES.guest(BLUE) == GUEST
    assert GIANTNETES.guest(replace(BLUE, spec=Spec(os="testbed-1"))) == OLDER


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (Spec(os="x"), "spec.os: there is no image 'x'"),
        (Spec(kubernetes="v1.30.0"), "spec.kubernetes: there is no image of v1.30.0"),
    ],
)
def test_what_is_not_served_is_refused(spec: Spec, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        GIANTNETES.guest(replace(BLUE, spec=spec))


# What a step waits for


def resource(*, progressing: str = "False", rotation: str = "spring", generation: int = 2) -> dict[str, object]:
    conditions = [
        {"type": "Ready", "status": "True", "reason": "Ready", "observedGeneration": 2},
        {"type": "Progressing", "status": progressing, "reason": "Rotating", "message": "worker-0", "observedGeneration": 2},
    ]
    vms = [
        {"name": "master-0", "phase": "Ready", "rotation": "spring"},
        {"name": "worker-0", "phase": "Ready", "rotation": rotation},
    ]
    status = {"conditions": conditions, "vms": vms}
    return {"metadata": {"generation": generation}, "spec": {"rotation": "spring"}, "status": status}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (resource(), ""),
        (resource(progressing="True"), "Rotating: worker-0"),
        (resource(rotation=""), "worker-0 without new certificates"),
        (resource(generation=3), "worker-0"),
    ],
)
def test_a_cluster_is_settled_when_nothing_is_under_way_and_all_machines_have_what_is_asked_for(
    document: dict[str, object], expected: str
) -> None:
    assert unsettled(document) == expected


def test_a_resource_names_its_system_and_its_rotation_and_need_not() -> None:
    document = {"apiVersion": "kubeception.io/v1alpha1", "kind": "Cluster", "metadata": {"name": "blue"}}
    assert (Cluster.read(document).spec.os, Cluster.read(document).spec.rotation) == ("", "")
    named = Cluster.read({**document, "spec": {"os": "testbed-2", "rotation": "spring"}})
    assert (named.spec.os, named.spec.rotation) == ("testbed-2", "spring")
    with pytest.raises(BadInput, match=r"spec\.os"):
        Cluster.read({**document, "spec": {"os": "Testbed_2"}})
