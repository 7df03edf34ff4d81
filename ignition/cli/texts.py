"""Commands that make configs of texts: butane, render."""

from pathlib import Path
from typing import Any

import click

import ignition
from ignition.cli.configs import pairs
from ignition.cli.console import FILE, OUTPUT, PRETTY, STDIN, Console, Unusable, command, read, shown
from ignition.document import MapNode, load, to_data
from ignition.errors import DocumentError, Problem, Severity


@FILE
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@click.option("-d", "--files-dir", type=click.Path(path_type=Path), help="Where `local` files and trees are.")
@click.option("--check", is_flag=True, help="Only say what is wrong.")
@click.option("--raw-errors", is_flag=True, help="Say it in Butane's own lines, as its option of that name does.")
@PRETTY
@OUTPUT
def _butane(
    console: Console,
    file: str,
    strict: bool,
    files_dir: Path | None,
    check: bool,
    raw_errors: bool,
    pretty: bool,
    output: Path | None,
) -> None:
    files = None if files_dir is None else ignition.Folder(_directory(files_dir))
    converted = ignition.convert(read(file), files=files, strict=strict, pretty=pretty, file=shown(file))
    problems = converted.report.problems
    if raw_errors:
        for line in converted.messages:
            console.note(line)
    else:
        console.say(problems)
    if converted.output is None:
        if not raw_errors and not any(problem.is_error for problem in problems):
            console.note(converted.messages[-1], "red")
        console.finish(problems, code=1)
    elif check:
        console.finish(problems)
    else:
        console.deliver(converted.output.rstrip(b"\n"), problems, output, pretty=False)


_BUTANE = """Translate a Butane document to an Ignition config, as Butane 0.29 does: its bytes, its warnings and errors.

\b
Examples:
  ignition butane worker.bu -o worker.ign
  ignition butane --strict --check worker.bu
  ignition butane --pretty -d files/ < worker.bu
"""


@click.argument("template", type=click.Path(allow_dash=True), default=STDIN)
@click.option("--values", "values_file", type=click.Path(allow_dash=True), help="The values, a YAML or JSON mapping.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=TEXT", help="A value, over those of the file; NAME may be `host.name`."
)
@PRETTY
@OUTPUT
def _render(
    console: Console, template: str, values_file: str | None, settings: tuple[str, ...], pretty: bool, output: Path | None
) -> None:
    if template == values_file == STDIN:
        raise click.UsageError("stdin can be read only once")
    values = {} if values_file is None else _values(values_file)
    for name, text in pairs(settings, "--set").items():
        _put(values, name, text)
    rendered = ignition.Template.parse(read(template), shown(template)).render(values)
    if rendered.report.is_fatal:
        raise DocumentError(rendered.report.problems)
    console.say(rendered.report.problems)
    console.deliver(rendered.config, rendered.report.problems, output, pretty)


_RENDER = """Fill values into a template, a Butane document or an Ignition config with Jinja expressions in its strings.

An undefined name is an error with the template's line. What is made is validated.

\b
Examples:
  ignition render worker.bu --values rack.yaml --set host.name=worker-1
  ignition render worker.bu --set host.name=w1 --set host.serial=A1 -o w1.ign
"""


def _directory(path: Path) -> Path:
    if not path.is_dir():
        raise Unusable(f"{path}: no such directory", hint="--files-dir names the directory that `local` paths are relative to")
    return path


def _values(name: str) -> dict[str, Any]:
    """Return the values of a file. Raises DocumentError for what is no mapping."""
    document = load(read(name), shown(name))
    if not isinstance(document, MapNode):
        message = f"values are a mapping, found {document.describe()}"
        raise DocumentError((Problem(Severity.ERROR, document.mark, "", message),))
    data = to_data(document)
    assert isinstance(data, dict)
    return data


def _put(values: dict[str, Any], name: str, text: str) -> None:
    *folders, last = name.split(".")
    for folder in folders:
        inner = values.setdefault(folder, {})
        if not isinstance(inner, dict):
            raise click.UsageError(f"--set {name}: {folder} is not a mapping")
        values = inner
    values[last] = text


COMMANDS = (
    command("butane", "Butane to Ignition.", _BUTANE)(_butane),
    command("render", "Fill values into a template.", _RENDER)(_render),
)
