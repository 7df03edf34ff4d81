"""What people see: a console, and how far something is."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from kubeception_sim.artifacts.store import Progress


def make_console(*, err: bool = False, no_color: bool = False) -> Console:
    """A console on stdout or stderr, with colours where they are wanted."""
    # Rich reads NO_COLOR itself; None leaves it to that.
    return Console(stderr=err, no_color=no_color or None, highlight=False, emoji=False)


@contextmanager
def show_progress(console: Console) -> Iterator[Progress]:
    """A bar on a terminal; a line per step in a log."""
    if not console.is_terminal:
        steps: set[str] = set()

        def line(step: str, done: float) -> None:
            if step not in steps:
                steps.add(step)
                console.print(f"{done:4.0%}  {step}", markup=False)

        yield line
        return
    with Bars(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as bars:
        task = bars.add_task("image", total=1.0)
        yield lambda step, done: bars.update(task, description=step, completed=done)
