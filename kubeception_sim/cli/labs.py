"""What the verbs for labs share: arguments with completion, following a log, going over into another program."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import click
from click.shell_completion import CompletionItem

from kubeception_sim.errors import BadInput, MissingTool
from kubeception_sim.lab import ENV_LAB
from kubeception_sim.scenario import keeper

POLL_SECONDS = 0.1
_CHUNK = 1 << 16

Completions = list[CompletionItem]
Decorator = Callable[[Any], Any]


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> Completions:
    return [CompletionItem(kept.name) for kept in keeper.labs() if kept.name.startswith(incomplete)]


def _machines(context: click.Context, parameter: click.Parameter, incomplete: str) -> Completions:
    lab = context.params.get("lab")
    names = {machine.name for kept in keeper.labs() if lab in (None, kept.name) for machine in kept.machines}
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def _sources(context: click.Context, parameter: click.Parameter, incomplete: str) -> Completions:
    others = [CompletionItem(name) for name in ("mayu", "keeper") if name.startswith(incomplete)]
    return [*_machines(context, parameter, incomplete), *others]


NAME: Decorator = click.argument("name", required=False, shell_complete=_names)
LAB: Decorator = click.option("--lab", metavar="NAME", help="Which lab, if there are several.", shell_complete=_names)
MACHINE: Decorator = click.argument("machine", shell_complete=_machines)
SOURCE: Decorator = click.argument("source", metavar="[MACHINE|mayu|keeper]", default="keeper", shell_complete=_sources)


class Following:
    """A file that grows, shown as far as it is new. It may not be there yet, and may be removed meanwhile."""

    def __init__(self, path: Path, *, from_end: bool = False, err: bool = False) -> None:
        self._path = path
        self._stream = (sys.stderr if err else sys.stdout).buffer
        self._descriptor: int | None = None
        if from_end and (descriptor := self._opened()) is not None:
            os.lseek(descriptor, 0, os.SEEK_END)

    def show(self) -> None:
        """Write what has come since the last time to stdout, or stderr, byte by byte as it is."""
        if (descriptor := self._opened()) is None:
            return
        while part := os.read(descriptor, _CHUNK):
            self._stream.write(part)
        self._stream.flush()

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _opened(self) -> int | None:
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
        return self._descriptor


def pause() -> None:
    """Between two looks at something that a person watches."""
    time.sleep(POLL_SECONDS)


def become(argv: Sequence[str], lab: str, stdin: bytes | None = None) -> NoReturn:
    """Go over into a program that is part of a lab, with our terminal, folder and environment. Raises MissingTool.

    It carries the lab's label: should it outlive the lab, it is found.
    """
    if stdin is not None:
        # A file in memory needs nobody who would go on writing to it.
        file = os.memfd_create("stdin")
        os.write(file, stdin)
        os.lseek(file, 0, os.SEEK_SET)
        os.dup2(file, 0)
    # Python ignores these two, and what is ignored stays so in the next program, where `yes | head` would complain.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], list(argv), environment(lab))
    except OSError as error:
        raise MissingTool(f"cannot start {shlex.join(argv)}: {error.strerror}") from error


def environment(lab: str) -> Mapping[str, str]:
    """Ours, with the lab's label."""
    return {**os.environ, ENV_LAB: lab} if lab else dict(os.environ)


def existing(name: str | None) -> keeper.Kept:
    """The lab that was meant. Raises BadInput."""
    return keeper.find(name)


def file_of(kept: keeper.Kept, source: str) -> Path:
    """The file with what a machine, mayu or the keeper have to say. Raises BadInput when there is no such thing, or none yet."""
    match source:
        case "keeper":
            path = keeper.log(kept.name)
        case "mayu":
            path = Path(kept.directory or os.devnull) / "mayu.log"
        case machine:
            path = Path(keeper.find_machine(machine, kept.name)[1].console)
    if not path.exists():
        raise BadInput(f"{source} of {kept.name} has not said anything yet")
    return path
