"""What every command does in the same way: reads its inputs, says what it found, writes its result."""

import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import ignition
from ignition.errors import DocumentError, Problem

STDIN = "-"
OUTPUT = click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the result to this file, all or nothing.")
PRETTY = click.option("--pretty", is_flag=True, help="JSON with line breaks and indentation.")
FILE = click.argument("file", type=click.Path(allow_dash=True), default=STDIN)


class Unusable(Exception):
    """Something outside of the configs is in the way. `hint` says what to do; it may be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Console:
    """Where a command speaks. With `as_json` nothing is said on the way, and `finish` puts one object on stdout."""

    as_json: bool

    def say(self, problems: Iterable[Problem]) -> None:
        """Show problems on stderr, with file and line."""
        if not self.as_json:
            for problem in problems:
                click.secho(problem.located, fg="red" if problem.is_error else "yellow", err=True)

    def note(self, text: str, colour: str | None = None) -> None:
        """Say something about the result, on stderr."""
        if not self.as_json:
            click.secho(text, fg=colour, err=True)

    def fail(self, message: str, hint: str, code: int) -> None:
        """End the command because of something that is not in a config."""
        if self.as_json:
            click.echo(json.dumps({"ok": False, "problems": [], "error": message, "hint": hint}, indent=2))
        else:
            click.echo(f"{click.style('ignition:', fg='red', bold=True)} {message}", err=True)
            if hint:
                click.echo(f"{click.style('hint:', fg='cyan')} {hint}", err=True)
        click.get_current_context().exit(code)

    def finish(self, problems: Iterable[Problem], *, code: int = 0, **more: Any) -> None:
        """End the command; with `as_json` say all there is to say in one object."""
        if self.as_json:
            data = {"ok": code == 0, "problems": [row(problem) for problem in problems], **more}
            click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        click.get_current_context().exit(code)

    def deliver(self, config: bytes, problems: Iterable[Problem], output: Path | None, pretty: bool, **more: Any) -> None:
        """End the command with a config as its result."""
        text = config
        if pretty:
            text = json.dumps(json.loads(config), indent=2, ensure_ascii=False).encode()
        if output is not None:
            write_whole(output, text + b"\n")
        elif not self.as_json:
            click.echo(text)
        self.finish(problems, config=json.loads(config), **more)


def command(name: str, short: str, help_: str, *, trouble: int = 1) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command of a function that takes a console. `trouble` is the exit code when a config cannot be used."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(*arguments: Any, as_json: bool, no_color: bool, **options: Any) -> None:
            # https://no-color.org: any non-empty value turns colours off.
            if no_color or os.environ.get("NO_COLOR"):
                click.get_current_context().color = False
            _guarded(functools.partial(function, *arguments, **options), Console(as_json), trouble)

        decorated = click.option("--no-color", is_flag=True, help="No colours. NO_COLOR in the environment does the same.")(run)
        decorated = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing on stderr.")(
            decorated
        )
        return click.command(name, short_help=short, help=help_)(decorated)

    return decorate


def _guarded(function: Callable[..., None], console: Console, trouble: int) -> None:
    try:
        function(console)
    except click.exceptions.Exit:
        # Passed over first: the names below are imported when a clause asks for them.
        raise
    except DocumentError as error:
        console.say(error.problems)
        console.finish(error.problems, code=trouble)
    except ignition.UnknownSpec as error:
        console.fail(str(error), "", trouble)
    except (Unusable, ignition.ApplyError) as error:
        console.fail(error.message, error.hint, trouble)


def read(name: str) -> bytes:
    """Return what a file holds, or stdin for `-`. Raises Unusable."""
    try:
        return sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise Unusable(f"{name}: {error.strerror}") from error


def shown(name: str) -> str:
    """Return the name of an input as it stands in problems."""
    return "<stdin>" if name == STDIN else name


def row(problem: Problem) -> dict[str, str | int]:
    """Return a problem for JSON."""
    return {
        "severity": problem.severity,
        "file": problem.mark.file,
        "line": problem.mark.line,
        "column": problem.mark.column,
        "path": problem.path,
        "message": problem.message,
        "hint": problem.hint,
    }


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it; what was there before goes at once or stays. Raises Unusable."""
    try:
        if path.exists() and not path.is_file():
            # A device or a pipe cannot be replaced, and nobody wants it to be.
            path.write_bytes(data)
            return
        _replace(path.resolve(), data)
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
            os.fchmod(descriptor, _mode(path))
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _mode(path: Path) -> int:
    """Return the permissions that plain writing would have left: the file's own, else what the umask allows."""
    if path.exists():
        return path.stat().st_mode & 0o7777
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask
