"""Waiting for a machine's own system, as seen from inside: the same for every driver."""

import time

from kubeception_sim.errors import DeadlineExceeded, HarnessError
from kubeception_sim.machines import Machine

_POLL_SECONDS = 0.1
_ASK_SECONDS = 30.0


def await_system(machine: Machine, seconds: float) -> None:
    """Wait until systemd says `running`.

    Raises HarnessError when the machine goes off, or when units have failed (`degraded`), with their names; DeadlineExceeded
    with the last answer and the end of the console.
    """
    deadline = time.monotonic() + seconds
    while (said := _state(machine)) != "running":
        if said == "degraded":
            failed = machine.execute(("systemctl", "--no-legend", "--plain", "--failed"), timeout=_ASK_SECONDS).stdout
            raise HarnessError(f"{machine.spec.name} is degraded:\n{failed}".rstrip())
        if not machine.state().has_power:
            raise HarnessError(f"{machine.spec.name} is {machine.state()}:\n{machine.console_tail()}")
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{machine.spec.name} is not up after {seconds:g} s: {said}\n{machine.console_tail()}")
        time.sleep(_POLL_SECONDS)


def _state(machine: Machine) -> str:
    """What systemd says, or why it cannot be asked."""
    try:
        asked = machine.execute(("systemctl", "is-system-running"), timeout=_ASK_SECONDS, check=False)
    except HarnessError as error:
        return error.message
    return asked.stdout.strip() or asked.stderr.strip()
