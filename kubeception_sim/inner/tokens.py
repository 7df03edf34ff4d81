"""The token for one start of a machine: when there is to be one, and when somebody else has had it. Pure.

A token is for the pod with one uid. Once that pod is certified the Secret stays, for the kubelet mounts it again and again, but
there is no token in it: a later pod of the machine finds none that was used, and waits for its own.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from kubeception_sim.inner.pods import Pod
from kubeception_sim.inner.wanted import EXPIRES, MADE, POD, RENEWED, ROTATION, Start

GRACE_SECONDS = 90.0
"""How long after a token was replaced the pod may still come with the one before: so long the kubelet takes with a mount."""


class Verdict(StrEnum):
    """What is to be done."""

    KEEP = "keep"
    MAKE = "make"
    SPEND = "spend"  # leave a Secret without a token
    ALARM = "alarm"


def read(secret: Mapping[str, Any]) -> Start:
    """What we wrote."""
    notes = secret["metadata"].get("annotations", {})
    made, expires = (int(notes.get(each, "0")) for each in (MADE, EXPIRES))
    return Start(
        notes.get(POD, ""), made, expires, RENEWED in notes, secret.get("data", {}).get("wrapped", ""), notes.get(ROTATION, "")
    )


def renew(found: Start | None, pod: Pod, rotation: str, now: float, refused: float) -> Verdict:
    """For a pod that has its certificates and is to have others. `refused` is when it found this very token to be somebody
    else's, or 0. `now` in seconds of UTC."""
    if found is None or found.pod != pod.uid or not found.wrapped or found.rotation != rotation:
        return Verdict.MAKE
    if refused:
        return Verdict.MAKE if refused >= found.expires else Verdict.ALARM
    return Verdict.MAKE if now >= found.expires else Verdict.KEEP


def judge(found: Start | None, pod: Pod | None, now: float) -> Verdict:
    """For the pod that counts, with the Secret as it is. `now` in seconds of UTC."""
    has_token = found is not None and bool(found.wrapped)
    if pod is None or pod.leaving or pod.over or pod.certified:
        return Verdict.SPEND if has_token else Verdict.KEEP
    if found is None or found.pod != pod.uid or not has_token:
        return Verdict.MAKE
    if pod.refused >= found.made and not (found.renewed and pod.refused < found.made + GRACE_SECONDS):
        # OpenBao says the same of a token that waited for too long, which nobody has had.
        return Verdict.MAKE if pod.refused >= found.expires else Verdict.ALARM
    return Verdict.MAKE if now >= found.expires else Verdict.KEEP
