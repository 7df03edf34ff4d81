"""report.html: one self-contained page. It loads nothing, from nowhere, and its policy forbids it to."""

from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from kubeception_sim.model.boot import Accelerator, Stage
from kubeception_sim.model.results import RunResult
from kubeception_sim.report.palette import LOOKS
from kubeception_sim.report.waterfall import waterfall

_ACCELERATORS = {
    Accelerator.KVM: "hardware virtualisation",
    Accelerator.TCG: "software emulation; nothing here was virtualised by hardware",
    Accelerator.NONE: "no guest code ran",
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
    environment.filters.update(seconds=seconds, clock=_clock)
    return environment.get_template("page.html.j2").render(
        result=result,
        chart=waterfall(result),
        looks=LOOKS,
        stages=list(Stage),
        accelerator=_ACCELERATORS[result.accelerator],
        checked_hosts=[host.name for host in result.hosts if any(check.host == host.name for check in result.checks)],
        check_names=list(dict.fromkeys((check.file, check.name) for check in result.checks)),
        check_of={(check.host, check.file, check.name): check for check in result.checks},
    )


def seconds(value: float | None) -> str:
    """A length of time for a reader: `0.04 s`, `7.3 s`, `124 s`; a hyphen for what never happened."""
    if value is None:
        return "-"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def _clock(started_at: str) -> str:
    return datetime.fromisoformat(started_at).strftime("%Y-%m-%d %H:%M:%S UTC")
