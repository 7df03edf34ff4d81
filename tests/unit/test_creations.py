"""What the outer API and the logs tell of a creation becomes spans that follow each other."""

from typing import Any

from kubeception_sim.checks.creations import creation_of, stages_of
from kubeception_sim.model.results import Span

ASKED = 1_795_000_000.0  # 2026-11-18T11:06:40Z
CLUSTER = {
    "metadata": {"name": "customera"},
    "status": {
        "conditions": [
            {"type": "Network", "status": "True", "lastTransitionTime": "2026-11-18T11:06:42Z"},
            {"type": "Workers", "status": "False", "lastTransitionTime": "2026-11-18T11:06:42Z"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-18T11:07:40Z"},
        ]
    },
}
LOG = (
    "2026-11-18T11:06:50.250000000Z 2026-11-18 11:06:50,249 INFO the guest is at stage kernel\n"
    "2026-11-18T11:06:51.000000000Z 2026-11-18 11:06:51,000 INFO something else\n"
    "2026-11-18T11:07:00.500000000Z 2026-11-18 11:07:00,499 INFO the guest is at stage switch-root\n"
)


def pod() -> dict[str, Any]:
    times = {"startedAt": "2026-11-18T11:06:45Z", "finishedAt": "2026-11-18T11:06:47Z"}
    return {
        "metadata": {
            "name": "master-0",
            "labels": {"kubeception.io/vm": "master-0"},
            "creationTimestamp": "2026-11-18T11:06:43Z",
        },
        "status": {
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-18T11:06:43Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-18T11:07:20Z"},
            ],
            "initContainerStatuses": [{"name": "image", "state": {"terminated": times}}],
            "containerStatuses": [{"name": "vm", "state": {"running": {"startedAt": "2026-11-18T11:06:48Z"}}}],
        },
    }


def test_the_spans_of_a_machine_follow_each_other_until_it_is_ready() -> None:
    found = creation_of(CLUSTER, [pod()], {"master-0": LOG}, 5.0, 65.0, lambda utc: utc - ASKED + 5.0)
    assert found.spans == (
        Span("", "Network", 5.0, 7.0),
        Span("master-0", "waiting", 5.0, 8.0),
        Span("master-0", "preparing", 8.0, 10.0),
        Span("master-0", "init image", 10.0, 12.0),
        Span("master-0", "preparing", 12.0, 13.0),
        Span("master-0", "qemu", 13.0, 15.25),
        Span("master-0", "kernel", 15.25, 25.5),
        Span("master-0", "switch-root", 25.5, 45.0),
    )


def test_a_cluster_that_never_was_ready_shows_how_far_it_came() -> None:
    bare = pod()
    bare["status"] = {"conditions": bare["status"]["conditions"][:1]}
    found = creation_of({"metadata": {"name": "customera"}}, [bare], {}, 5.0, None, lambda utc: utc - ASKED + 5.0)
    assert (found.ready, found.spans) == (None, (Span("master-0", "waiting", 5.0, 8.0),))


def test_a_stage_that_is_told_again_counts_once() -> None:
    assert [name for name, _ in stages_of(LOG + LOG)] == ["kernel", "switch-root"]
