"""Options and arguments that several verbs take, and the scenario that a file holds."""

from pathlib import Path

import click

from kubeception_sim.errors import BadInput
from kubeception_sim.model.rules import parse
from kubeception_sim.model.scenario import Scenario

FILE = click.argument("file", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, everything for people on stderr.")


def read_scenario(file: Path) -> Scenario:
    """The scenario in a file. The files it names must be there."""
    try:
        return parse(file.read_text(encoding="utf-8"), str(file), Path.is_file)
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: not UTF-8 at byte {error.start}") from error
    except FileNotFoundError as error:
        raise BadInput(f"{file}: no such file") from error
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from error
