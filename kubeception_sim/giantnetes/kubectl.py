"""The outer API as a person asks it: kubectl, in the fabric's namespace."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeception_sim.run import Completed, run


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a kubeconfig, from inside a network namespace."""

    program: Path
    kubeconfig: Path
    namespace: str
    env: Mapping[str, str]

    def __call__(self, *arguments: str, timeout: float = 30.0, stdin: bytes | None = None, check: bool = True) -> Completed:
        """Run it. Raises CommandFailed and DeadlineExceeded as `run.run` does; `timeout` is in seconds."""
        argv: list[str | Path] = [self.program, "--kubeconfig", self.kubeconfig, *arguments]
        return run(argv, timeout=timeout, stdin=stdin, check=check, env=self.env, namespace=self.namespace)

    def get(self, *arguments: str, timeout: float = 30.0) -> Any:
        """`kubectl get ... -o json`, decoded."""
        return json.loads(self("get", *arguments, "-o", "json", timeout=timeout).stdout)

    def apply(self, objects: Sequence[Mapping[str, Any]], *, timeout: float = 60.0) -> None:
        """Server-side apply: what is there already as it should be stays untouched."""
        document = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=kubeception",
            "-f",
            "-",
            stdin=json.dumps(document).encode(),
            timeout=timeout,
        )
