"""Logging: one line an event to standard error, with the worker's name; secrets never pass through here."""

import logging
import sys


def configure(worker: str, *, debug: bool = False) -> None:
    """Set up the root logger of this process. Called once in each process, again after a fork."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"%(asctime)s {worker:<10} %(levelname)-7s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
