"""Results for readers: report.json for programs, report.html for people, report.xml for what
shows test results, the waterfall for the terminal."""

import os
import tempfile
from pathlib import Path

from kubeception_sim.model.results import RunResult
from kubeception_sim.report.as_json import as_json
from kubeception_sim.report.html import as_html
from kubeception_sim.report.junit import as_junit
from kubeception_sim.report.reading import from_json
from kubeception_sim.report.terminal import show

__all__ = ["as_json", "from_json", "show", "write", "write_page"]


def write(result: RunResult, folder: Path) -> None:
    """Write report.json, report.html and report.xml into `folder`, which is made if need be.

    Each appears whole or not at all, and the old one stays until then. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("report.json", as_json(result)), ("report.html", as_html(result)), ("report.xml", as_junit(result))):
        _replace(folder / name, text)


def write_page(result: RunResult, path: Path) -> None:
    """Write the page alone, whole or not at all. Raises OSError."""
    _replace(path, as_html(result))


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=path.name, delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink()
            raise
