"""The images of the outer cluster, made offline: no registry is asked, no container engine runs.

    images = ensure(default_cache(), programs, progress)
    images.archive      one archive of all of them

The control plane's programs are static and alone in their images. What needs more than itself (etcd, kube-proxy, the agents, the
tools of tests) shares the layers of `base`, which are kept: an edit of the agents costs their own small layer and the archive.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts.images import base
from kubeception_sim.artifacts.kubernetes import Programs
from kubeception_sim.artifacts.oci import EPOCH, ImageSpec, Layer, write_archive, write_layer
from kubeception_sim.artifacts.store import Entry, Progress, Store, remove_tree
from kubeception_sim.artifacts.testbed import recipe
from kubeception_sim.run import require, run

KIND = "images"
BASE_KIND = "image-base"
PREFIX = "kubeception.local"
ARCHIVE = "images.tar"
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
AGENTS = Path(__file__).parents[2] / "agents"
PAUSE, AGENT, TOOLS = (f"{PREFIX}/{name}" for name in ("pause:3.2", "agent:1", "tools:1"))

_HERE = Path(__file__).parent
_RECIPE = 2  # to be raised when this file, base.py or oci.py changes what comes out
_COMPILED = shutil.ignore_patterns("__pycache__")


@dataclass(frozen=True)
class Images:
    """The archive, and the names in it that depend on what Debian has. `key` changes with the content of any image."""

    archive: Path
    etcd: str
    pause: str
    agent: str
    tools: str
    key: str


def ensure(cache: Path, programs: Programs, progress: Progress) -> Images:
    """The images from the cache, made there first if need be (a minute; seconds when the base is there).

    `progress` hears of that only. Needs root to make the base. Raises MissingTool or CommandFailed when it cannot be made.
    """
    below = Store(cache, BASE_KIND).obtain(base_key(), lambda folder, _: base.build(folder, progress), progress)
    found = key(programs)
    made = Store(cache, KIND).obtain(found, lambda folder, _: _make(folder, below, programs, progress), progress)
    return Images(made.path(ARCHIVE), f"{PREFIX}/etcd:{_etcd_version(below)}", PAUSE, AGENT, TOOLS, found)


def base_key() -> str:
    """The key of the layers that images share, 32 hex digits over all that determines them, save the versions of packages."""
    listed = (_content(_HERE / name) for name in ("packages.txt", "requirements.txt"))
    return _digest(str(_RECIPE), recipe.SUITE, str(EPOCH), *listed)


def key(programs: Programs, agents: Path = AGENTS) -> str:
    """The key of the archive, 32 hex digits."""
    files = sorted(path for path in agents.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    listed = (f"{path.relative_to(agents)} {_content(path)}" for path in files)
    return _digest(base_key(), programs.key, programs.version, _content(_HERE / "pause.c"), *listed)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _etcd_version(below: Entry) -> str:
    return below.path(base.ETCD_VERSION).read_text().strip()


def _make(folder: Path, below: Entry, programs: Programs, progress: Progress) -> None:
    work = folder / "work"
    work.mkdir()
    progress("images: layers", 0.0)
    images = _images(work, below, programs)
    progress("images: archive", 0.5)
    write_archive(folder / ARCHIVE, images)
    remove_tree(work)


def _images(work: Path, below: Entry, programs: Programs) -> list[ImageSpec]:
    """What goes into the archive; layers that are new are written to `work`."""
    shared, python = (Layer(below.path(name), below.files[name].sha256) for name in (base.BASE, base.PYTHON))

    def layer(name: str, files: dict[str, Path]) -> Layer:
        return write_layer(work / f"{name}.tar", files)

    def program(name: str) -> Layer:
        return layer(name, {f"usr/bin/{name}": programs.directory / name})

    def of_release(name: str, *layers: Layer) -> ImageSpec:
        return ImageSpec(f"{PREFIX}/{name}:{programs.version}", layers)

    agent = layer("agent", {f"{base.AGENT_HOME}/kubeception_sim": _agents(work)})
    environment = {"PYTHONPATH": f"/{base.AGENT_HOME}", "PYTHONUNBUFFERED": "1"}
    return [
        ImageSpec(PAUSE, (layer("pause", {"pause": _pause(work)}),), entrypoint=("/pause",)),
        *(of_release(name, program(name)) for name in CONTROL_PLANE),
        of_release("kube-proxy", shared, program("kube-proxy")),
        ImageSpec(f"{PREFIX}/etcd:{_etcd_version(below)}", (shared,)),
        ImageSpec(TOOLS, (shared,)),
        ImageSpec(AGENT, (shared, python, agent), env=environment),
    ]


def _pause(work: Path) -> Path:
    """The process that holds a pod's namespaces: static, and alone in its image."""
    require("gcc", "gcc")
    program = work / "pause"
    run(["gcc", "-Os", "-Wall", "-Werror", "-static", "-s", "-o", program, _HERE / "pause.c"], timeout=60)
    return program


def _agents(work: Path) -> Path:
    """kubeception_sim with nothing in it but the agents: all of it there is in a pod."""
    package = work / "kubeception_sim"
    package.mkdir()
    (package / "__init__.py").write_text('"""The part of kubeception that runs in pods."""\n')
    shutil.copytree(AGENTS, package / "agents", ignore=_COMPILED)
    return package
