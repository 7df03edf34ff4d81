"""The images of the outer cluster, made offline: no registry is asked, no container engine runs.

    images = ensure(default_cache(), programs, progress)
    images.archive      one archive of all of them

The control plane's programs are static and alone in their images. What needs more than itself (etcd, kube-proxy, the agents, the
tools of tests) shares one layer of Debian packages.
"""

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts.kubernetes import Programs
from kubeception_sim.artifacts.oci import EPOCH, ImageSpec, Layer, write_archive, write_layer
from kubeception_sim.artifacts.store import Progress, Store, remove_tree
from kubeception_sim.artifacts.testbed import recipe
from kubeception_sim.run import require, run

KIND = "images"
BASE_KIND = "image-base"
PREFIX = "kubeception.local"
ARCHIVE = "images.tar"
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
AGENTS = Path(__file__).parents[2] / "agents"
_HERE = Path(__file__).parent
_RECIPE = 1
_SECONDS = 900.0
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_PYTHON = "3.11"  # of the suite whose packages are the base


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
    """The images from the cache, made there first if need be (a minute); `progress` hears of that only.

    Needs root to make the base. Raises MissingTool or CommandFailed when it cannot be made.
    """
    base = Store(cache, BASE_KIND).obtain(_base_key(), lambda folder, _: _base(folder, progress), progress)
    key = _digest(str(_RECIPE), base.key, programs.key, programs.version, *map(_content, sorted(AGENTS.rglob("*.py"))), _pinned())
    made = Store(cache, KIND).obtain(key, lambda folder, _: _make(folder, base.directory, programs, progress), progress)
    version = (base.directory / "etcd-version").read_text().strip()
    names = {name: f"{PREFIX}/{name}" for name in ("pause:3.2", "agent:1", "tools:1")}
    return Images(
        made.path(ARCHIVE), f"{PREFIX}/etcd:{version}", names["pause:3.2"], names["agent:1"], names["tools:1"], f"{base.key}{key}"
    )


def _base_key() -> str:
    return _digest(str(_RECIPE), recipe.SUITE, str(EPOCH), _content(_HERE / "packages.txt"))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _content(path: Path) -> str:
    return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _pinned() -> str:
    return (_HERE / "requirements.txt").read_text()


def _base(folder: Path, progress: Progress) -> None:
    """The shared layer: a minimal Debian with `packages.txt`, as a tar."""
    require("mmdebstrap", "mmdebstrap")
    progress("base of the images", 0.0)
    root = folder / "root"
    lines = (line.partition("#")[0].strip() for line in (_HERE / "packages.txt").read_text().splitlines())
    command = _bootstrap(root, [line for line in lines if line])
    environment = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    run(command, timeout=_SECONDS, env={**environment, "SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(folder)})
    said = run(["chroot", root, "etcd", "--version"], timeout=30).stdout
    (folder / "etcd-version").write_text(said.split()[2] + "\n")
    for waste in ("var/lib/apt/lists", "var/cache", "var/log", "dev", "proc", "sys", "run", "tmp"):
        shutil.rmtree(root / waste, ignore_errors=True)
        (root / waste).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    progress("layer of the base", 0.9)
    write_layer(folder / "base.tar", {path.name: path for path in root.iterdir()})
    remove_tree(root)


def _bootstrap(root: Path, packages: list[str]) -> list[str]:
    """The mmdebstrap call, in a mount namespace of its own: whatever ends it, no mount stays in `root`."""
    trees = ("doc", "man", "info", "locale", "i18n/locales", "bug", "lintian")
    options = [
        *("--mode=root", "--variant=minbase", "--format=directory"),
        *(f"--aptopt={line}" for line in recipe.host_apt_options()),
        '--aptopt=Apt::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude=/usr/share/{tree}/*" for tree in trees),
        "--dpkgopt=force-unsafe-io",
        f"--include={','.join(packages)}",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    ]
    return ["unshare", "--mount", "mmdebstrap", *options, recipe.SUITE, str(root), *recipe.host_sources()]


def _make(folder: Path, base_folder: Path, programs: Programs, progress: Progress) -> None:
    base = Layer.of(base_folder / "base.tar")
    etcd = (base_folder / "etcd-version").read_text().strip()
    progress("layers", 0.1)
    work = folder / "work"
    work.mkdir()

    def layer(name: str, files: dict[str, Path]) -> Layer:
        return write_layer(work / f"{name}.tar", files)

    def named(name: str, *layers: Layer, entrypoint: tuple[str, ...] = (), env: dict[str, str] | None = None) -> ImageSpec:
        return ImageSpec(f"{PREFIX}/{name}", layers, entrypoint, env or {})

    images = [named("pause:3.2", layer("pause", {"pause": _pause(work)}), entrypoint=("/pause",))]
    alone = {name: layer(name, {f"usr/bin/{name}": programs.directory / name}) for name in CONTROL_PLANE}
    images += [named(f"{name}:{programs.version}", only) for name, only in alone.items()]
    proxy = layer("kube-proxy", {"usr/bin/kube-proxy": programs.directory / "kube-proxy"})
    images += [named(f"kube-proxy:{programs.version}", base, proxy), named(f"etcd:{etcd}", base), named("tools:1", base)]
    progress("agents", 0.4)
    images.append(
        named("agent:1", base, layer("agent", _agent(work)), env={"PYTHONPATH": "/opt/kubeception", "PYTHONUNBUFFERED": "1"})
    )
    progress("archive", 0.7)
    write_archive(folder / ARCHIVE, images)
    remove_tree(work)


def _pause(work: Path) -> Path:
    """The process that holds a pod's namespaces: static, and alone in its image."""
    require("gcc", "gcc")
    program = work / "pause"
    run(["gcc", "-Os", "-Wall", "-Werror", "-static", "-s", "-o", program, _HERE / "pause.c"], timeout=60)
    return program


def _agent(work: Path) -> dict[str, Path]:
    """kubeception_sim.agents and what it imports, for the base's Python, whatever Python runs this."""
    packages = work / "packages"
    wanted = (
        "--python-version",
        _PYTHON,
        "--implementation",
        "cp",
        "--platform",
        "manylinux2014_x86_64",
        "--only-binary",
        ":all:",
    )
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-compile")
    run([*pip, "--target", packages, *wanted, "--requirement", _HERE / "requirements.txt"], timeout=300)
    package = packages / "kubeception_sim"
    package.mkdir()
    (package / "__init__.py").write_text('"""The part of kubeception that runs in pods."""\n')
    shutil.copytree(AGENTS, package / "agents", ignore=shutil.ignore_patterns("__pycache__"))
    return {"opt/kubeception": packages}
