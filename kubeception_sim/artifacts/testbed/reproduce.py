"""Build the image twice from scratch and compare: `python -m kubeception_sim.artifacts.testbed.reproduce`.

Equal package versions must give equal files. Needs root, about two minutes, and 2 GB in the temporary directory.
"""

import sys
import tempfile
from pathlib import Path

from kubeception_sim.artifacts.store import Store, default_cache
from kubeception_sim.artifacts.testbed import KIND, key, recipe


def main() -> int:
    """Exit code 0 when every file is equal, 1 when one differs."""
    packages = default_cache() / "packages" / recipe.SUITE
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        builds = [
            Store(Path(cache), KIND).obtain(key(), lambda folder, lock: recipe.build(folder, lock, packages, _tell), _tell)
            for cache in (one, other)
        ]
        first, second = ({name: record.sha256 for name, record in build.files.items()} for build in builds)
    for name, digest in first.items():
        sys.stdout.write(f"{'equal ' if second[name] == digest else 'DIFFER'} {name} {digest} {second[name]}\n")
    return 0 if first == second else 1


def _tell(step: str, done: float) -> None:
    sys.stdout.write(f"{done:4.0%} {step}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
