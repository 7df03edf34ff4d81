"""The images of the outer cluster, made offline: no registry is asked, no container engine runs.

    images = ensure(default_cache(), programs, progress)
    images.archive      one archive of all of them but those that only inner clusters need
    ensure_clusters(default_cache(), programs, progress)   the archive of these: VM, in which machines run, and CONTROLLER

The control plane's programs are static and alone in their images. What needs more than itself (etcd, kube-proxy, the agents, the
tools of tests) shares the layers of `base`, which are kept: an edit of the agents costs their own small layer and the archive.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts.images import base, vm
from kubeception_sim.artifacts.kubernetes import Programs
from kubeception_sim.artifacts.oci import EPOCH, ImageSpec, Layer, write_archive, write_layer
from kubeception_sim.artifacts.store import Entry, Progress, Store, remove_tree
from kubeception_sim.artifacts.testbed import recipe
from kubeception_sim.run import require, run

KIND = "images"
CLUSTERS_KIND = "images-clusters"
BASE_KIND = "image-base"
PREFIX = "kubeception.local"
ARCHIVE = "images.tar"
CLUSTERS_ARCHIVE = "clusters.tar"
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
AGENTS = Path(__file__).parents[2] / "agents"
BESIDE = ("ignition", "mayu_py/templates")
"""What agents have beside themselves, at the same place as here: what renders a machine's config, and the templates of roles."""
PAUSE, AGENT, TOOLS, VM, CONTROLLER = (f"{PREFIX}/{name}" for name in ("pause:3.2", "agent:1", "tools:1", "vm:1", "controller:1"))
CONTROLLED = ("agents", "artifacts", "errors.py", "giantnetes", "inner", "lab.py", "model", "network", "pki", "run")
"""What of kubeception_sim the controller has: what `inner.controller` imports, and nothing of scenarios and machines."""

_HERE = Path(__file__).parent
_SOURCE = Path(__file__).parents[3]
_RECIPE = 4  # to be raised when this file, base.py, vm.py or oci.py changes what comes out
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
    below = _base(cache, progress)
    found = key(programs)
    made = Store(cache, KIND).obtain(found, lambda folder, _: _make(folder, below, programs, progress), progress)
    return Images(made.path(ARCHIVE), f"{PREFIX}/etcd:{_etcd_version(below)}", PAUSE, AGENT, TOOLS, found)


def ensure_clusters(cache: Path, programs: Programs, progress: Progress) -> Path:
    """The archive of VM and CONTROLLER, from the cache, made there first if need be (seconds when the base is there).

    Not every node runs machines, and QEMU is larger than all the agents: it is kept apart. As `ensure` otherwise.
    """
    below = _base(cache, progress)
    found = clusters_key(programs)
    made = Store(cache, CLUSTERS_KIND).obtain(found, lambda folder, _: _make_clusters(folder, below, progress), progress)
    return made.path(CLUSTERS_ARCHIVE)


def clusters_key(programs: Programs) -> str:
    """The key of that archive, 32 hex digits."""
    package = AGENTS.parent
    parts = (package / name for name in CONTROLLED)
    listed = (line for part in parts for line in (_listed(part) if part.is_dir() else [f"{part.name} {_content(part)}"]))
    return _digest(key(programs), *listed)


def _base(cache: Path, progress: Progress) -> Entry:
    return Store(cache, BASE_KIND).obtain(base_key(), lambda folder, _: base.build(folder, progress), progress)


def base_key() -> str:
    """The key of the layers that images share, 32 hex digits over all that determines them, save the versions of packages."""
    listed = (
        _content(_HERE / name) for name in ("packages.txt", "packages-vm.txt", "requirements.txt", "requirements-controller.txt")
    )
    return _digest(str(_RECIPE), recipe.SUITE, str(EPOCH), *listed)


def key(programs: Programs, agents: Path = AGENTS) -> str:
    """The key of the archive, 32 hex digits."""
    listed = (line for folder in (agents, *(_SOURCE / name for name in BESIDE)) for line in _listed(folder))
    return _digest(base_key(), programs.key, programs.version, _content(_HERE / "pause.c"), *listed)


def _listed(folder: Path) -> list[str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [f"{path.relative_to(folder)} {_content(path)}" for path in files]


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


def _make_clusters(folder: Path, below: Entry, progress: Progress) -> None:
    work = folder / "work"
    work.mkdir()
    progress("images: QEMU and controller", 0.0)
    agent = _agent(work, below)
    # The agents are on top: an edit of theirs costs a node no second QEMU.
    *lower, own = agent.layers
    machine = ImageSpec(VM, (*lower, _layer(below, vm.VM), own), env=agent.env)
    beside = {f"{base.AGENT_HOME}/{name}": work / "beside" / name for name in BESIDE}
    controller = write_layer(work / "controller.tar", {f"{base.AGENT_HOME}/kubeception_sim": _controlled(work), **beside})
    layers = (*lower, _layer(below, base.CONTROLLER), controller)
    write_archive(folder / CLUSTERS_ARCHIVE, [machine, ImageSpec(CONTROLLER, layers, env=agent.env)])
    remove_tree(work)


def _images(work: Path, below: Entry, programs: Programs) -> list[ImageSpec]:
    """What goes into the archive; layers that are new are written to `work`."""
    agent = _agent(work, below)
    shared = agent.layers[0]

    def layer(name: str, files: dict[str, Path]) -> Layer:
        return write_layer(work / f"{name}.tar", files)

    def program(name: str) -> Layer:
        return layer(name, {f"usr/bin/{name}": programs.directory / name})

    def of_release(name: str, *layers: Layer) -> ImageSpec:
        return ImageSpec(f"{PREFIX}/{name}:{programs.version}", layers)

    return [
        ImageSpec(PAUSE, (layer("pause", {"pause": _pause(work)}),), entrypoint=("/pause",)),
        *(of_release(name, program(name)) for name in CONTROL_PLANE),
        of_release("kube-proxy", shared, program("kube-proxy")),
        ImageSpec(f"{PREFIX}/etcd:{_etcd_version(below)}", (shared,)),
        ImageSpec(TOOLS, (shared,)),
        agent,
    ]


def _agent(work: Path, below: Entry) -> ImageSpec:
    """The image of the agents; their own layer is written to `work`."""
    beside = {f"{base.AGENT_HOME}/{name}": _beside(work, name) for name in BESIDE}
    own = write_layer(work / "agent.tar", {f"{base.AGENT_HOME}/kubeception_sim": _agents(work), **beside})
    environment = {"PYTHONPATH": f"/{base.AGENT_HOME}", "PYTHONUNBUFFERED": "1"}
    return ImageSpec(AGENT, (_layer(below, base.BASE), _layer(below, base.PYTHON), own), env=environment)


def _layer(below: Entry, name: str) -> Layer:
    return Layer(below.path(name), below.files[name].sha256)


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


def _controlled(work: Path) -> Path:
    """kubeception_sim with what the controller imports."""
    package = work / "controlled"
    package.mkdir()
    for name in ("__init__.py", *CONTROLLED):
        source = AGENTS.parent / name
        if source.is_dir():
            shutil.copytree(source, package / name, ignore=_COMPILED)
        else:
            shutil.copyfile(source, package / name)
    return package


def _beside(work: Path, name: str) -> Path:
    return Path(shutil.copytree(_SOURCE / name, work / "beside" / name, ignore=_COMPILED))
