"""Two runs of one rack, which the reports are tested with: all is well, and one machine stops at its kernel."""

from kubeception_sim.model.boot import Accelerator, Firmware, HostState, Stage
from kubeception_sim.model.results import BudgetResult, CheckResult, HostResult, RunResult, StepResult
from kubeception_sim.model.timeline import Timeline

CONSOLE = "iPXE 1.21.1\n</pre><script>alert('from the guest')</script>\nKernel panic - not syncing"

_HEALTHY = (
    Timeline("rack-1", "KC-0001", 10.0, None, dict(zip(Stage, (12.0, 12.25, 15.0, 15.5, 22.0, 25.0, 33.0), strict=True))),
    Timeline("rack-2", "KC-0002", 10.5, None, dict(zip(Stage, (24.0, 24.25, 27.0, 27.5, 37.0, 43.0, 51.0), strict=True))),
)
_FIRMWARE = {"rack-1": Firmware.BIOS, "rack-2": Firmware.UEFI}


def passed() -> RunResult:
    """Both machines arrive, after 23 s and 40.5 s."""
    steps = (*_bring_up(), StepResult("await", "await all running within 4m", 14.6, 51.0))
    checks = tuple(CheckResult(name, "test_host_name", "checks.py", 0.3, "passed") for name in _FIRMWARE)
    return _result(_HEALTHY, steps, checks, until=60.0)


def failed() -> RunResult:
    """rack-2 stops at http."""
    first, second = _HEALTHY
    stopped = {stage: at for stage, at in second.stages.items() if stage.position <= Stage.HTTP.position}
    lost = Timeline(
        second.host, second.serial, 10.5, None, stopped, failure="not running within 4m: the last stage it reached is http"
    )
    late = StepResult("await", "await all running within 4m", 14.6, 254.6, False, "not running within 4m: rack-2 (http)")
    return _result((first, lost), (*_bring_up(), late), (), until=254.6)


def _bring_up() -> tuple[StepResult, ...]:
    return (
        StepResult("fabric", "fabric 10.77.0.0/24, server 10.77.0.1", 0.0, 0.25),
        StepResult("power-on", "power-on all", 10.0, 10.5),
        StepResult("kill-worker", "kill-worker tftp, back within 10s", 14.0, 14.6),
    )


def _result(
    lines: tuple[Timeline, ...], steps: tuple[StepResult, ...], checks: tuple[CheckResult, ...], *, until: float
) -> RunResult:
    times = {line.host: {stage: at for stage in Stage if (at := line.since_power_on(stage)) is not None} for line in lines}
    arrivals = {host: stages.get(Stage.RUNNING) for host, stages in times.items()}
    return RunResult(
        scenario="two-racks",
        description="Two machines & one server.",
        started_at="2026-11-22T19:40:00+00:00",
        seconds=until + 2.0,
        accelerator=Accelerator.TCG,
        hosts=tuple(
            HostResult(
                name=line.host,
                serial=line.serial,
                firmware=_FIRMWARE[line.host],
                state=HostState.INSTALLING if line.failure else HostState.RUNNING,
                stages=times[line.host],
                failure=line.failure,
                console=CONSOLE if line.failure else "",
            )
            for line in lines
        ),
        budgets=tuple(
            BudgetResult("power-on to running, each", host, 60.0, arrival, arrival is not None)
            for host, arrival in arrivals.items()
        ),
        checks=checks,
        steps=steps,
        spans=tuple(span for line in lines for span in line.spans(until)),
    )
