"""report.html: one self-contained page. It loads nothing, from nowhere, and its policy forbids it to."""

from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from kubeception_sim.model.boot import Accelerator, Stage
from kubeception_sim.model.results import CheckResult, RunResult
from kubeception_sim.report.lanes import Matrix, colours, difference, lanes, longest, shares, symbol
from kubeception_sim.report.palette import LOOKS
from kubeception_sim.report.waterfall import waterfall

FABRIC = "fabric"  # where checks run that belong to no machine
_ACCELERATORS = {
    Accelerator.KVM: "hardware virtualisation",
    Accelerator.TCG: "software emulation; nothing here was virtualised by hardware",
}
_DRIVERS = {
    "namespace": "namespaces: the same system on this computer's own kernel, nothing virtualised",
    "docker": "containers: the same system on this computer's own kernel, nothing virtualised",
    "fake": "no guest code ran",
}


def as_html(result: RunResult) -> str:
    """The text of report.html."""
    environment = Environment(
        loader=PackageLoader("kubeception_sim", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(seconds=seconds, clock=_clock, symbol=symbol)
    environment.globals.update(lanes=lanes, colours=colours, shares=shares, longest=longest, difference=difference)
    return environment.get_template("page.html.j2").render(
        result=result,
        chart=waterfall(result),
        matrix=Matrix.of(result.leaks),
        looks=LOOKS,
        stages=list(Stage),
        ran_by=ran_by(result),
        accelerator=_ACCELERATORS.get(result.accelerator) or _DRIVERS.get(result.driver, "no guest code ran"),
        checked_hosts=[
            name
            for name in [*(host.name for host in result.hosts), FABRIC]
            if any(_where(check) == name for check in result.checks)
        ],
        check_names=list(dict.fromkeys((check.file, check.name) for check in result.checks)),
        check_of={(_where(check), check.file, check.name): check for check in result.checks},
    )


def _where(check: CheckResult) -> str:
    return check.host or FABRIC


def ran_by(result: RunResult) -> str:
    """What ran the machines, in a word: the accelerator, or else the driver that needs none."""
    return result.accelerator.upper() if result.accelerator is not Accelerator.NONE else result.driver


def seconds(value: float | None) -> str:
    """A length of time for a reader: `0.04 s`, `7.3 s`, `124 s`; a hyphen for what never happened."""
    if value is None:
        return "-"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def _clock(started_at: str) -> str:
    return datetime.fromisoformat(started_at).strftime("%Y-%m-%d %H:%M:%S UTC")
