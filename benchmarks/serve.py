"""What `mayu serve` costs before anybody asks for anything: time to readiness and memory, with 1,000 known hosts."""

import os
import re
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import click

from benchmarks import lab
from benchmarks.results import US, Row, publish

ROUNDS = 5
HOSTS = 1000
START_SECONDS = 30.0
SETTLE_SECONDS = 1.0


def run() -> list[Row]:
    """Start, wait, weigh, stop; several times."""
    macs = [f"52:54:00:01:{n // 256:02x}:{n % 256:02x}" for n in range(HOSTS)]
    measured = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="bench-serve-") as folder, lab.cable() as ends:
            (Path(folder) / "file").write_bytes(b"x")
            measured.append(_start(ends, lab.mayu(Path(folder), macs)))
    seconds, sizes, counts = ([{US: value} for value in values] for values in zip(*measured, strict=True))
    return [
        Row(f"from start to ready, {HOSTS} known hosts", "ms", [{US: one[US] * 1000} for one in seconds], False, limit=2000),
        Row(f"memory of all processes, idle, {HOSTS} known hosts", "MB", sizes, False, limit=250),
        Row("processes", "", counts, False),
    ]


def _start(ends: lab.Cable, argv: list[str]) -> tuple[float, float, int]:
    """Seconds to readiness, MB (PSS: shared pages are counted once), and processes."""
    read, write = os.pipe()
    began = time.monotonic()
    command = ["ip", "netns", "exec", ends.server, *argv, "--ready-fd", str(write)]
    with subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL, cwd=lab.ROOT) as process:
        os.close(write)
        try:
            readable, _, _ = select.select([read], [], [], START_SECONDS)
            if not readable or os.read(read, 6) != b"ready\n":
                raise RuntimeError("mayu is not ready")
            ready = time.monotonic() - began
            # Idle is what is asked for: the start's own work has to die down.
            time.sleep(SETTLE_SECONDS)
            family = lab.family(process.pid)
            return ready, sum(map(_pss, family)) / 1e6, len(family)
        finally:
            os.close(read)
            process.send_signal(signal.SIGTERM)


def _pss(pid: int) -> int:
    """Proportional set size in bytes (proc(5), smaps_rollup)."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def main() -> None:
    """Runs, prints the table, and updates results.json and README.md."""
    click.echo(publish("serve", run()))


if __name__ == "__main__":
    main()
