"""Options that several verbs share."""

from pathlib import Path

import click

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
