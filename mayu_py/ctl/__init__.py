"""mayuctl: asks a running mayu over HTTP. Imports nothing of the server."""

from pathlib import Path

import click

from mayu_py import terminal
from mayu_py.asking.connection import Given
from mayu_py.ctl import booted, changing, completing, configuring, context, events, lifecycle, looking
from mayu_py.ctl.session import Session

PEM = click.Path(path_type=Path, dir_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kubeception", prog_name="mayuctl")
@click.option("--server", metavar="URL", help="The server. HOST means https://HOST:4080.  [env: MAYU_SERVER]")
@click.option("--context", metavar="NAME", shell_complete=completing.contexts, help="A context.  [env: MAYU_CONTEXT]")
@click.option("--token-file", type=PEM, help="A file with a bearer token.  [env: MAYU_TOKEN, the token itself]")
@click.option("--ca", type=PEM, help="The authority that signed the server's certificate, in PEM.")
@click.option("--client-cert", type=PEM, help="A client certificate, in PEM.")
@click.option("--client-key", type=PEM, help="Its key, if not in the same file.")
@click.option("--no-color", is_flag=True, help="Without colours.  [env: NO_COLOR]")
@click.pass_context
def mayuctl(
    run: click.Context,
    server: str | None,
    context: str | None,
    token_file: Path | None,
    ca: Path | None,
    client_cert: Path | None,
    client_key: Path | None,
    no_color: bool,
) -> None:
    """Ask a running mayu about its hosts, and tell it what to do with them.

    Without --server, --context, their variables and a context in use, it is the mayu of this machine.

    \b
    Examples:
      mayuctl list --state failed
      mayuctl status node-1
      mayuctl events --follow
      mayuctl reinstall node-1 && mayuctl wait node-1 --timeout 20m
      mayuctl context add lab --server https://mayu.lab:4080 --ca lab-ca.pem --token-stdin < token
    """
    if server is not None and context is not None:
        raise click.UsageError("either --server or --context is wanted")
    if client_key is not None and client_cert is None:
        raise click.UsageError("--client-key needs --client-cert")
    if no_color:
        run.color = False
    run.obj = Session(Given(server, context, token_file, ca, client_cert, client_key))


VERBS: tuple[click.Command, ...] = (
    *(looking.list_, looking.status, looking.profiles, looking.networks, looking.counters, looking.workers, looking.version),
    *(events.events, events.history),
    *(changing.set_, changing.label, changing.override, changing.pin, changing.image),
    *(lifecycle.delete, lifecycle.reinstall, lifecycle.wait),
    *(configuring.config, configuring.reload, configuring.ignition),
    *(booted.boot_complete, context.context),
)
for verb in VERBS:
    mayuctl.add_command(verb)
terminal.completion(mayuctl, "mayuctl")


def main() -> None:
    """Entry point."""
    terminal.run(mayuctl, "mayuctl")
