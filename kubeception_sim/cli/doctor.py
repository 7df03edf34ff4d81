"""kubeception doctor."""

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from kubeception_sim import doctor as examination
from kubeception_sim.artifacts import testbed
from kubeception_sim.cli.console import make_console
from kubeception_sim.cli.options import JSON
from kubeception_sim.errors import HarnessError
from kubeception_sim.model.boot import Accelerator


@click.command(short_help="Find out whether scenarios can run here.")
@JSON
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Find out whether scenarios can run here, by trying: namespaces, tools, firmware, a guest.

    Takes a few seconds, a minute when something hangs. Exit code 0 when they can, 2 when not.
    """
    cache = testbed.default_cache()
    with make_console(err=True).status("trying namespaces, tools, firmware and a guest"):
        findings = examination.examine(cache)
        verdict = _accelerator(findings, cache)
    good = examination.can_run(findings)
    if as_json:
        document = {
            "schema": 1,
            "ok": good,
            "accelerator": str(verdict.accelerator),
            "attempts": [asdict(attempt) for attempt in verdict.attempts],
            "findings": [asdict(finding) for finding in findings],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _tell(findings, verdict, good, make_console())
    context.exit(0 if good else HarnessError.exit_code)


def _accelerator(findings: list[examination.Finding], cache: Path) -> examination.Verdict:
    """The verdict that the findings rest on: `examine` has just left it in the cache, unless no guest booted."""
    if all(finding.ok for finding in findings if finding.what == "guest boots"):
        return examination.find_accelerator(cache)
    return examination.Verdict(Accelerator.NONE, ())


def _tell(findings: list[examination.Finding], verdict: examination.Verdict, good: bool, console: Console) -> None:
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = ("ok    ", "green") if finding.ok else ("FAIL  ", "bold red") if finding.required else ("note  ", "yellow")
        console.print(Text.assemble(mark, f"{finding.what:<{width}}  {finding.detail}".rstrip()), soft_wrap=True)
        if not finding.ok and finding.fix:
            console.print(Text.assemble(" " * 6, ("fix: ", "cyan"), finding.fix), soft_wrap=True)
    why = "no guest got as far as its network boot" if verdict.accelerator is Accelerator.NONE else "the first whose guests boot"
    console.print(Text.assemble("\naccelerator ", (verdict.accelerator.upper(), "bold"), f": {why}"))
    for attempt in verdict.attempts:
        outcome = f"worked, {attempt.seconds:.1f} s" if attempt.ok else attempt.why
        console.print(f"      tried {attempt.what}: {outcome}", soft_wrap=True, markup=False)
    failed = sum(finding.required and not finding.ok for finding in findings)
    last = "scenarios can run here" if good else f"scenarios cannot run here: {failed} to fix"
    console.print(Text(f"\n{last}", style="bold green" if good else "bold red"))
