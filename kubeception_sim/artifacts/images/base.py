"""The layers that images share: a minimal Debian with `packages.txt`, on it the Python packages of agents, those of the
controller, and QEMU (vm.py)."""

import os
import shutil
import sys
import time
from pathlib import Path

from kubeception_sim.artifacts.images import vm
from kubeception_sim.artifacts.oci import EPOCH, write_layer, write_root
from kubeception_sim.artifacts.store import Progress, remove_tree
from kubeception_sim.artifacts.testbed import recipe
from kubeception_sim.run import require, run

BASE, PYTHON, CONTROLLER, ETCD_VERSION = "base.tar", "python.tar", "python-controller.tar", "etcd-version"
AGENT_HOME = "opt/kubeception"
"""Where the agents and what they import are in their image."""

_HERE = Path(__file__).parent
_SECONDS = 900.0
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_PYTHON_VERSION = "3.11"  # of the suite whose packages are the base
_EMPTY = ("dev", "proc", "run", "sys", "tmp", "var/cache", "var/lib/apt/lists", "var/log", "var/tmp")
_HOSTS_OWN = ("etc/hostname", "etc/resolv.conf")  # mmdebstrap's copies of ours; in a pod they are mounted over


def build(folder: Path, progress: Progress) -> None:
    """Leave BASE, PYTHON, CONTROLLER, vm.VM and ETCD_VERSION in `folder`. Needs root. Raises MissingTool or CommandFailed."""
    require("mmdebstrap", "mmdebstrap")
    root, started = folder / "root", time.time()
    progress("base of the images: packages", 0.0)
    environment = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    environment |= {"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(folder)}
    run(bootstrap_command(root), timeout=_SECONDS, env=environment)
    said = run(["chroot", root, "etcd", "--version"], timeout=30).stdout
    (folder / ETCD_VERSION).write_text(said.split()[2] + "\n")
    progress("base of the images: Python packages", 0.6)
    for layer, requirements in ((PYTHON, "requirements.txt"), (CONTROLLER, "requirements-controller.txt")):
        _install_python(folder / "packages", root, _HERE / requirements)
        write_layer(folder / layer, {AGENT_HOME: root / AGENT_HOME})
        remove_tree(root / AGENT_HOME)
    progress("base of the images: layer", 0.8)
    _trim(root)
    write_root(folder / BASE, root, newest=started)
    progress("base of the images: QEMU", 0.9)
    vm.write(folder / vm.VM, root)
    remove_tree(root)


def bootstrap_command(root: Path) -> list[str]:
    """The mmdebstrap call, in a mount namespace of its own: whatever ends it, no mount stays in `root`."""
    trees = ("doc", "man", "info", "locale", "i18n/locales", "bug", "lintian")
    options = [
        *("--mode=root", "--variant=minbase", "--format=directory"),
        *(f"--aptopt={line}" for line in recipe.host_apt_options()),
        '--aptopt=Apt::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude=/usr/share/{tree}/*" for tree in trees),
        "--dpkgopt=force-unsafe-io",
        f"--include={','.join(_listed(_HERE / 'packages.txt'))}",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        f"--customize-hook={vm.download_hook(root, _listed(vm.PACKAGES))}",
    ]
    return ["unshare", "--mount", "mmdebstrap", *options, recipe.SUITE, str(root), *recipe.host_sources()]


def _listed(file: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [line for line in lines if line]


def _install_python(staging: Path, root: Path, requirements: Path) -> None:
    """What is required, for the base's Python, whatever Python runs this; compiled by the base's own."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-compile", "--no-deps")
    target = ("--python-version", _PYTHON_VERSION, "--implementation", "cp", "--platform", "manylinux2014_x86_64")
    listed = ("--only-binary", ":all:", "--requirement", requirements)
    run([*pip, "--target", staging, *target, *listed], timeout=300)
    shutil.move(staging, root / AGENT_HOME)
    # An agent is ready a third sooner. Without times in the files: they are not those of the layer.
    run(["chroot", root, "python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", AGENT_HOME], timeout=300)


def _trim(root: Path) -> None:
    for name in _EMPTY:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    for name in _HOSTS_OWN:
        (root / name).unlink(missing_ok=True)
