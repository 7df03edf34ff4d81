"""Keepers killed with -9 on their way up or down."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from kubeception_sim import claims
from tests.labs import Labs, until


def length_of(labs: Labs, *words: str | Path) -> float:
    """Seconds that a command takes."""
    start = time.monotonic()
    labs.run(*words)
    return time.monotonic() - start


def kill_at(labs: Labs, scenario: Path, way: str, seconds: float) -> None:
    """Kill the keeper of a scenario's lab so many seconds into the way `up` or `down`, and who watches it.

    Returns when nobody holds the lab's name any more; what they left is there.
    """
    name = scenario.stem
    if way == "down":
        labs.run("up", scenario)
    begun = time.monotonic()
    watcher = labs.start(way, scenario if way == "up" else name)
    # The one wait that is for time itself: it is what chance has drawn.
    time.sleep(max(0.0, begun + seconds - time.monotonic()))
    watcher.kill()  # or else it would tidy up before gc can
    watcher.communicate()

    def gone() -> bool:
        for pid in keepers_of(labs):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not claims.held(name, labs.root)

    until(gone, lambda: f"{name} is held by one of {keepers_of(labs)}")


def keepers_of(labs: Labs) -> list[int]:
    """By their command line and environment: one that has only just begun has written nothing yet."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # It ended while we looked.
        if b"keep" in command and f"KUBECEPTION_RUN={labs.root}".encode() in environment:
            found.append(int(folder.name))
    return found
