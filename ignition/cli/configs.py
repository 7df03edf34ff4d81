"""Commands that take Ignition configs: validate, merge, translate, migrate, diff."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import ignition
from ignition.cli.console import FILE, OUTPUT, PRETTY, STDIN, Console, command, read, row, shown
from ignition.errors import DocumentError, Problem, Severity

_SPEC = "3.6.0"


@click.argument("files", nargs=-1, type=click.Path(allow_dash=True))
def _validate(console: Console, files: tuple[str, ...]) -> None:
    problems: list[Problem] = []
    for name in files or (STDIN,):
        found = ignition.validate(read(name), shown(name)).problems
        problems += found
        if not console.as_json:
            prefix = f"{shown(name)}: " if len(files) > 1 else ""
            for problem in found:
                click.secho(f"{prefix}{problem}", fg="red" if problem.is_error else "yellow")
    console.finish(problems, code=1 if any(problem.is_error for problem in problems) else 0)


_VALIDATE = """Say what ignition-validate would say, in its words.

Exit code 0 when Ignition would take every config, 1 when not. A warning is no reason to refuse. With several files each line
begins with its file.

\b
Examples:
  ignition validate worker.ign
  ignition validate *.ign
  curl -s http://10.77.0.1:4081/ignition?serial=A1 | ignition validate --json
"""


@click.argument("parent", type=click.Path(allow_dash=True))
@click.argument("children", metavar="CHILD...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--to", "version", metavar="SPEC", help="The spec version wanted, 3.0.0 to 3.6.0; the newest by default.")
@PRETTY
@OUTPUT
def _merge(
    console: Console, parent: str, children: tuple[str, ...], version: str | None, pretty: bool, output: Path | None
) -> None:
    _once((parent, *children))
    merged, warnings = _parsed(console, parent)
    for name in children:
        child, found = _parsed(console, name)
        merged = ignition.merge(merged, child)
        warnings += found
    if version is not None:
        merged = ignition.translate(merged, version)
    result = ignition.encode(merged)
    # Valid configs can merge to an invalid one.
    report = ignition.validate(result, "<merged>")
    if report.is_fatal:
        raise DocumentError(report.problems)
    console.deliver(result, warnings, output, pretty)


_MERGE = """Merge configs as Ignition does: each CHILD in turn over what is there before it.

Files are matched by path, users and units by name. Ignition merges in its newest spec, and so is the result unless --to names
another. It is validated.

\b
Examples:
  ignition merge base.ign worker.ign --to 3.3.0
  ignition merge base.ign rack.ign worker.ign --pretty -o merged.ign
"""


@FILE
@click.option("--to", "version", required=True, metavar="SPEC", help="The spec version wanted, 3.0.0 to 3.6.0.")
@PRETTY
@OUTPUT
def _translate(console: Console, file: str, version: str, pretty: bool, output: Path | None) -> None:
    raw = read(file)
    parsed = ignition.parse(raw, shown(file))
    parsed.unwrap()
    console.say(parsed.report.problems)
    try:
        translated = ignition.translate(raw, version)
    except ignition.LossyTranslation as loss:
        raise DocumentError(_in_file(loss.problems, shown(file))) from None
    console.deliver(ignition.encode(translated), parsed.report.problems, output, pretty)


_TRANSLATE = """Translate a config to another spec version, newer or older.

Nothing is lost on the way to an older spec: what that cannot say is an error that names the value.

\b
Examples:
  ignition translate --to 3.3.0 worker.ign
  ignition translate --to 3.6.0 --pretty < worker.ign
"""


@FILE
@click.option("--to", "version", default=_SPEC, show_default=True, metavar="SPEC", help="The spec version wanted.")
@click.option("--mount", "mounts", multiple=True, metavar="NAME=PATH", help="Where a filesystem of the old config is mounted.")
@PRETTY
@OUTPUT
def _migrate(console: Console, file: str, version: str, mounts: tuple[str, ...], pretty: bool, output: Path | None) -> None:
    migration = ignition.migrate(read(file), version, shown(file), pairs(mounts, "--mount"))
    changes = [_change(change) for change in migration.changes]
    for change in migration.changes:
        console.note(str(change), "yellow" if change.effect == "warning" else None)
    if migration.config is None:
        console.say(migration.problems)
        console.finish(migration.problems, code=1, changes=changes)
        return
    console.say(migration.problems)
    console.deliver(ignition.encode(migration.config), migration.problems, output, pretty, changes=changes)


_MIGRATE = """Migrate a config of spec 2 to spec 3, and report what became of every value that could not stay as it was.

What a machine could tell from before is a warning; what spec 3 cannot say is an error, and there is no result.

\b
Examples:
  ignition migrate old.ign -o new.ign
  ignition migrate --to 3.3.0 --mount data=/var/lib/data old.ign
"""


@click.argument("before", type=click.Path(allow_dash=True))
@click.argument("after", type=click.Path(allow_dash=True))
def _diff(console: Console, before: str, after: str) -> None:
    _once((before, after))
    old, new = (_parsed(console, name)[0] for name in (before, after))
    difference = ignition.diff(old, new)
    if difference and not console.as_json:
        click.echo(difference.render(colour=_has_colours()).rstrip("\n"))
    console.finish((), code=1 if difference else 0, **_plain(difference.to_data()))


_DIFF = """Show what differs between two configs, as a machine would notice it: not their texts, but what they do.

Exit code 0 when they do the same, 1 when not, 2 when a config cannot be used. Secrets are not shown.

\b
Examples:
  ignition diff old.ign new.ign
  ignition butane new.bu | ignition diff old.ign -
"""


def _parsed(console: Console, name: str) -> "tuple[ignition.Config, list[Problem]]":
    """Return a config and its warnings, which are shown; raise DocumentError when it is refused."""
    parsed = ignition.parse(read(name), shown(name))
    config = parsed.unwrap()
    console.say(parsed.report.problems)
    return config, list(parsed.report.problems)


def _once(names: tuple[str, ...]) -> None:
    if names.count(STDIN) > 1:
        raise click.UsageError("stdin can be read only once")


def pairs(texts: tuple[str, ...], option: str) -> Mapping[str, str]:
    """Return the values of an option that is given as NAME=VALUE. Raises UsageError."""
    split = [text.partition("=") for text in texts]
    for name, equals, _ in split:
        if not name or not equals:
            raise click.UsageError(f"{option} takes NAME=VALUE, not {name + equals!r}")
    return {name: value for name, _, value in split}


def _in_file(problems: tuple[Problem, ...], file: str) -> list[Problem]:
    return [replace(problem, mark=replace(problem.mark, file=file)) for problem in problems]


def _change(change: Any) -> dict[str, str | int]:
    place = row(Problem(Severity.WARNING, change.mark, change.path, change.reason))
    del place["severity"], place["hint"]
    return {"effect": change.effect, **place, "was": change.was, "fate": change.fate, "became": change.became}


def _plain(data: Mapping[str, object]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(data)))


def _has_colours() -> bool:
    color = click.get_current_context().color
    return sys.stdout.isatty() if color is None else color


COMMANDS = (
    command("validate", "Say what ignition-validate would say.", _VALIDATE)(_validate),
    command("merge", "Lay configs over each other.", _MERGE)(_merge),
    command("translate", "Another spec version, newer or older.", _TRANSLATE)(_translate),
    command("migrate", "From spec 2 to spec 3.", _MIGRATE)(_migrate),
    command("diff", "What a machine would notice.", _DIFF, trouble=2)(_diff),
)
