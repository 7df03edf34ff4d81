"""What every verb gets: the server that is meant, connected to when it is first asked; and the options that many verbs have."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from mayu_py.asking import meant
from mayu_py.asking.connection import Connection, Given

if TYPE_CHECKING:
    from mayu_py.asking.client import Client

AS_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")
YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@dataclass(frozen=True)
class Session:
    """One run of the command."""

    given: Given

    @cached_property
    def connection(self) -> Connection:
        """The server that is meant. Raises MayuError."""
        return meant(self.given, os.environ)

    @cached_property
    def client(self) -> "Client":
        """Raises MayuError when the credentials cannot be used."""
        return self.connect()

    def connect(self, **more: float) -> "Client":
        """Another client for the same server."""
        # HTTP and TLS take longer to import than `--help` takes to print.
        from mayu_py.asking.client import Client

        return Client(self.connection, **more)

    def host(self, ident: str) -> dict[str, Any]:
        """One host, by serial, uuid or name."""
        found: dict[str, Any] = self.client.get("v1", "hosts", ident)
        return found


pass_session = click.make_pass_decorator(Session)
