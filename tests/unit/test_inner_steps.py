"""Inner clusters in scenarios: which steps make sense, and what is said of a cluster that is waited for."""

from typing import Any

import pytest

from kubeception_sim.errors import BadInput
from kubeception_sim.model.plan import plan
from kubeception_sim.model.rules import parse
from kubeception_sim.scenario.clustering import unready

SCENARIO = """\
schema: 1
name: inner
driver: namespace
outer: {OUTER}
machines:
  - {name: master-1, role: master, address: 10.77.0.11, memory: 3G}
steps:
  - {do: power-on}
STEPS"""
CREATE, READY = "  - {do: cluster-create, cluster: a}\n", "  - {do: cluster-ready, cluster: a, within: 6m}\n"
DELETE = "  - {do: cluster-delete, cluster: a, within: 2m}\n"


def problems(steps: str, outer: str = "clusters: true") -> list[str]:
    with pytest.raises(BadInput) as caught:
        parse(SCENARIO.replace("OUTER", outer).replace("STEPS", steps), "inner.yaml")
    return [line.partition("error: ")[2] for line in caught.value.message.splitlines()[1:]]


def test_a_cluster_comes_is_ready_goes_and_may_come_again() -> None:
    text = SCENARIO.replace("OUTER", "clusters: true").replace("STEPS", CREATE + READY + DELETE + CREATE)
    shown = str(plan(parse(text, "inner.yaml")))
    assert [line.split(maxsplit=1)[1] for line in shown.splitlines() if "cluster-" in line] == [
        "cluster-create  a",
        "cluster-ready   a within 6m",
        "cluster-delete  a within 2m",
        "cluster-create  a",
    ]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (READY, "no cluster 'a' at this point"),
        (CREATE + CREATE, "a second cluster 'a'"),
        (CREATE + DELETE + READY, "no cluster 'a' at this point"),
    ],
)
def test_a_cluster_is_there_or_not(steps: str, said: str) -> None:
    (problem,) = problems(steps)
    assert said in problem


def test_an_outer_cluster_is_made_for_it() -> None:
    (problem,) = problems(CREATE, outer="")
    assert "there are no inner clusters here (outer: {clusters: true})" in problem
    (problem,) = problems("", outer="clusters: true, pki: embedded")
    assert "inner clusters need authorities of their own" in problem


def resource(*conditions: dict[str, Any], generation: int = 1, vms: tuple[dict[str, str], ...] = ()) -> dict[str, Any]:
    return {"metadata": {"generation": generation}, "status": {"conditions": list(conditions), "vms": list(vms)}}


def condition(kind: str, status: str, reason: str = "", message: str = "", generation: int = 1) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation}


def test_what_nobody_has_looked_at_is_not_ready() -> None:
    assert unready({"metadata": {"generation": 1}}) == "nobody has looked at it yet"


def test_it_is_ready_when_its_condition_says_so_of_this_generation() -> None:
    assert unready(resource(condition("Ready", "True"))) == ""
    assert unready(resource(condition("Ready", "True"), generation=2))


def test_what_is_missing_is_told_once() -> None:
    found = resource(
        condition("Ready", "False", "Booting", "worker-0: Booting"),
        condition("WorkersReady", "False", "Booting", "worker-0: Booting"),
        vms=({"name": "master-0", "phase": "Ready"}, {"name": "worker-0", "phase": "Booting"}),
    )
    assert unready(found) == "worker-0 Booting; worker-0: Booting"


ROTATE = "  - {do: cluster-rotate, cluster: a, to: spring, within: 5m}\n"
UPGRADE = "  - {do: cluster-upgrade, cluster: a, os: testbed-2, interrupted: true, within: 12m}\n"
PROBE = "  - {do: probe, name: shakes, kind: handshakes, cluster: a}\n"
END = "  - {do: probe-end, probe: shakes}\n"
TWO = "clusters: true, systems: [testbed-1, testbed-2]"


def test_a_cluster_has_a_life() -> None:
    text = SCENARIO.replace("OUTER", TWO).replace("STEPS", CREATE + READY + PROBE + ROTATE + END + UPGRADE)
    shown = [" ".join(line.split()[1:]) for line in str(plan(parse(text, "inner.yaml"))).splitlines()]
    assert "cluster-rotate a to spring within 5m" in shown
    assert "cluster-upgrade a to testbed-2, the controller killed within 12m" in shown
    assert "probe shakes: handshakes of a every 100ms" in shown
    assert "probe-end shakes" in shown


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (ROTATE, "no cluster 'a' at this point"),
        (UPGRADE, "no cluster 'a' at this point"),
        (PROBE, "no cluster 'a' at this point"),
        (CREATE + PROBE.replace(", cluster: a", ""), "a cluster must be named"),
        (CREATE + PROBE.replace("handshakes", "api"), "no cluster can be named"),
        (CREATE + END, "no probe 'shakes' runs at this point"),
        (CREATE + PROBE + END + "  - {do: settle, probe: shakes, within: 1m}\n", "no probe 'shakes' runs at this point"),
    ],
)
def test_what_lives_is_there(steps: str, said: str) -> None:
    (problem,) = problems(steps, outer=TWO)
    assert said in problem


def test_only_a_system_that_is_served_can_be_upgraded_to() -> None:
    (problem,) = problems(CREATE + UPGRADE)
    assert "no system 'testbed-2' is served (outer: {systems: [testbed-1, testbed-2]})" in problem
    for listed in ("[]", "[a, a]", "[A]"):
        (problem,) = problems(CREATE, outer=f"clusters: true, systems: {listed}")
        assert "must be names of small letters" in problem
