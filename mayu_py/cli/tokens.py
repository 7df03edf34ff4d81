"""mayu token: bearer tokens for the admin face."""

import json
import secrets

import click

from mayu_py.core.access import Role, digest_of

BYTES = 32
# Recognised by scanners that look for secrets where none belong.
PREFIX = "mayu_"


@click.group()
def token() -> None:
    """Bearer tokens for the admin face."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), default=Role.READ.value, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def new(name: str, role: str, as_json: bool) -> None:
    """Make a token for NAME, and the line of the config that lets it in.

    The token is printed once and kept nowhere; the config holds only its SHA-256.

    \b
    Example:  mayu token new ci --role operate
    """
    made = PREFIX + secrets.token_urlsafe(BYTES)
    line = {"name": name, "role": role, "sha256": digest_of(made)}
    if as_json:
        click.echo(json.dumps({"token": made, "config": line}))
        return
    click.echo(made)
    click.secho("The config's `admin: {tokens: [...]}` takes:", err=True, dim=True)
    # JSON is YAML, and quotes what a name may hold.
    click.echo(f"  - {json.dumps(line)}", err=True)
