"""mayu: serve, check, render."""

import json
from pathlib import Path

import click

from mayu_py import app, config, log, terminal
from mayu_py.core.inventory import configured
from mayu_py.errors import MayuError

CONFIG = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    envvar="MAYU_CONFIG",
    default=Path("/etc/mayu/mayu.yaml"),
    show_default=True,
    show_envvar=True,
    help="The config file.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kubeception", prog_name="mayu")
def mayu() -> None:
    """Boot machines over the network: DHCP, TFTP, iPXE, HTTP and Ignition from one small server.

    \b
    Examples:
      mayu check -c rack.yaml          find every mistake, with file and line
      mayu render -c rack.yaml node-1  the Ignition config that node-1 would be served
      mayu serve -c rack.yaml          serve until Ctrl-C
    """


@mayu.command()
@CONFIG
@click.option("--ready-fd", type=int, help="Write `ready` to this file descriptor once every worker serves.")
@click.option("--debug", is_flag=True, help="Log every decision with its reasons.")
def serve(path: Path, ready_fd: int | None, debug: bool) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Nothing is started when the config has a mistake or a host's Ignition config would not be valid. Workers that die
    are restarted, and find the DHCP and TFTP packets that arrived meanwhile.
    """
    log.configure("supervisor", debug=debug)
    app.serve(config.read(path), ready_fd=ready_fd, debug=debug)


@mayu.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Problems as JSON.")
@click.pass_context
def check(context: click.Context, path: Path, as_json: bool) -> None:
    """Check a config: its keys and values, its hosts, and every host's rendered Ignition config.

    Exit code 0 when mayu would serve it, 1 when not.
    """
    found, problems = config.check(path)
    errors = sum(problem.is_error for problem in problems)
    if as_json:
        rows = [
            {
                "severity": problem.severity,
                "file": problem.mark.file,
                "line": problem.mark.line,
                "column": problem.mark.column,
                "path": problem.path,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in problems
        ]
        click.echo(json.dumps({"ok": not errors, "problems": rows}, indent=2))
    else:
        for problem in problems:
            click.secho(problem.located, fg="red" if problem.is_error else "yellow")
        hosts = len(found.settings.hosts) if found else 0
        verdict = (
            f"{errors} problem{'s' * (errors != 1)}" if errors else f"good: {hosts} host{'s' * (hosts != 1)}, every config valid"
        )
        click.secho(f"{path}: {verdict}", bold=True)
    context.exit(1 if errors else 0)


@mayu.command()
@CONFIG
@click.argument("host")
@click.option("--kernel-args", is_flag=True, help="The kernel's arguments instead of the Ignition config.")
def render(path: Path, host: str, kernel_args: bool) -> None:
    """Print what HOST would be served."""
    checked = config.read(path)
    found = next((each for each in configured(checked.settings) if host in (each.name, each.serial)), None)
    if found is None:
        names = ", ".join(entry.name for entry in checked.settings.hosts[:10]) or "none"
        raise MayuError(f"{path} has no host {host!r}", hint=f"hosts: {names}")
    if kernel_args:
        click.echo("\n".join(checked.renderer.arguments(found)))
    else:
        click.echo(json.dumps(json.loads(checked.renderer.config(found).config), indent=2))


terminal.completion(mayu, "mayu")


def main() -> None:
    """Entry point."""
    terminal.run(mayu, "mayu")
