"""mayuctl as its users run it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("mayuctl")


@dataclass(frozen=True)
class Ctl:
    """mayuctl with a home of its own, and a server if `MAYU_SERVER` is in `environment`."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole_environment(self) -> dict[str, str]:
        """What the program sees: nothing of ours that would choose another server."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MAYU_", "XDG_", "NO_COLOR", "COLUMNS"))
        }
        return {**kept, "HOME": str(self.home), **self.environment}

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start it, its output in pipes."""
        return subprocess.Popen(
            [PROGRAM, *words], env=self.whole_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __call__(self, *words: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
        """Run it, with something typed."""
        return subprocess.run(
            [PROGRAM, *words],
            env=self.whole_environment,
            cwd=self.home,
            input=typed,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def out(self, *words: str, typed: str = "") -> str:
        """What it prints, which must be all that it says."""
        ran = self(*words, typed=typed)
        assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
        return ran.stdout

    def json(self, *words: str) -> Any:
        """What it prints with --json."""
        return json.loads(self.out(*words, "--json"))

    def refused(self, *words: str, code: int = 1) -> list[str]:
        """The lines of its error."""
        ran = self(*words)
        assert ran.returncode == code, ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.stderr.splitlines()
