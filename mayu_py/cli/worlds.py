"""The two worlds that `mayu plan` compares: configs over one inventory, of files, or of a mayu that is running."""

from collections.abc import Mapping
from contextlib import closing
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ignition.document import DocumentError
from mayu_py import config
from mayu_py.asking.client import Client, Refused, Unanswered
from mayu_py.asking.connection import Connection
from mayu_py.config import Config
from mayu_py.core.inventory import Inventory, compose
from mayu_py.core.plan import World, with_paths
from mayu_py.core.settings import Settings
from mayu_py.errors import MayuError
from mayu_py.store import records
from mayu_py.store.copies import CopiedStore

_KEYS = ("mayu", "file", "config", "templates", "inventory")
# A fleet of ten thousand is some megabytes, and the server is busy with machines.
_SECONDS = 60.0


def of_files(against: Path, path: Path) -> tuple[World, World]:
    """Old and new, over the state of the new config's file: what has enrolled stays enrolled. Raises MayuError."""
    before, after = config.read(against), config.read(path)
    with closing(CopiedStore.of(after.settings.state)) as store:
        inventory = store.inventory()
    return _world(before, against, inventory), _world(after, path, inventory)


def of_running(connection: Connection, path: Path) -> tuple[World, World]:
    """What a running mayu serves, and what it would by the config in `path`, over its own inventory. Raises MayuError."""
    return of_served(_told(connection), connection.server, path)


def of_served(told: Mapping[str, Any], server: str, path: Path) -> tuple[World, World]:
    """The same of what the server told: the answer of `GET /v1/snapshot`. Raises MayuError.

    What is not known here is an error: a plan that passes over it would promise what it cannot know.
    """
    after = config.read(path)
    try:
        records.only(told, _KEYS)
        file = Path(told["file"])
        before, inventory = config.reread(file, told["config"], told["templates"]), records.inventory(told["inventory"])
    except (DocumentError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = str(error) if isinstance(error, DocumentError | ValueError) else f"it is not what it should be: {error!r}"
        raise MayuError(f"what {server} serves is not understood here:\n{why}", hint=_skew(told)) from error
    return _world(before, file, inventory), _world(after, path, inventory)


def _told(connection: Connection) -> Mapping[str, Any]:
    server = connection.server
    try:
        told = Client(connection, _SECONDS).get("v1", "snapshot")
    except Unanswered as error:
        hint = "is mayu running there? name its admin face: --against-running URL, or --context NAME"
        raise MayuError(error.message, hint=hint) from error
    except Refused as error:
        match error.status:
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                hint = f"{error.hint}; a config is shown to the role `admin` alone" if error.hint else ""
            case HTTPStatus.NOT_FOUND:
                hint = "it is an older mayu, or its boot face: name the admin face (port 4080)"
            case _:
                hint = error.hint
        raise MayuError(f"{server} does not show what it serves: {error.message}", hint=hint) from error
    if not isinstance(told, dict):
        raise MayuError(f"{server} is no admin face of a mayu", hint="it listens on port 4080 unless its config says otherwise")
    return told


def _skew(told: Mapping[str, Any]) -> str:
    here, there = version("kubeception"), told.get("mayu")
    if there == here:
        return f"both are mayu {here}: please report this"
    return f"it is mayu {there or 'of an unknown version'}, this is {here}: plan with the version of the server"


def _world(of: Config, file: Path, inventory: Inventory) -> World:
    hosts = {host.name: host for host in compose(of.settings, inventory)}
    return World(_comparable(of.settings, file), of.settings, hosts, of.renderer, of.sources)


def _comparable(settings: Settings, file: Path) -> Settings:
    """With paths as they are written in the file that was read."""
    folder = file.absolute().parent

    def written(path: Path) -> Path:
        return path.absolute().relative_to(folder) if path.absolute().is_relative_to(folder) else path

    found = with_paths(settings, written)
    assert isinstance(found, Settings)
    return found
