"""Whether the engines of the drivers docker and libvirt answer: tries of `kubeception doctor` that need these drivers."""

import importlib
from collections.abc import Iterator

from kubeception_sim.doctor import Finding, Group, Part, Thing
from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.machines import docker_engine
from kubeception_sim.machines.libvirt_daemon import daemon
from kubeception_sim.run import run

_SECONDS = 10.0
_DOCKER = Thing("Docker engine", Group.ENGINES, "the driver docker", "service docker start", frozenset((Part.DOCKER,)))
_LIBVIRT = Thing(
    "libvirtd of a lab",
    Group.ENGINES,
    "the driver libvirt",
    "apt-get install -y --no-install-recommends libvirt-daemon libvirt-daemon-driver-qemu",
    frozenset((Part.LIBVIRT,)),
)
_BINDINGS = "apt-get install -y libvirt-dev pkg-config python3-dev && pip install 'kubeception[libvirt]'"


def try_engines(lab: Lab, namespace: str, parts: frozenset[Part]) -> Iterator[Finding]:
    """Docker's is asked as it stands; libvirtd is started as a lab starts it, and ended."""
    if Part.DOCKER in parts:
        yield _DOCKER.tried(_docker)
    if Part.LIBVIRT in parts:
        yield _LIBVIRT.tried(lambda: _libvirt(lab, namespace))


def _docker() -> str:
    with docker_engine.engine(None):
        told = run(["docker", "info", "--format", "{{.CgroupDriver}}, cgroup v{{.CgroupVersion}}"], timeout=_SECONDS)
        return f"answers; its cgroup driver is {told.stdout.strip()}"


def _libvirt(lab: Lab, namespace: str) -> str:
    """A connection too: that is what a missing driver of QEMU fails."""
    try:
        libvirt = importlib.import_module("libvirt")
    except ImportError as missing:
        raise MissingTool("libvirt: its bindings for Python are not installed", hint=_BINDINGS) from missing
    libvirt.registerErrorHandler(lambda *_: None, None)
    with daemon(lab.subdirectory("libvirt", "doctor"), namespace, lab.env) as uri:
        try:
            connection = libvirt.open(uri)
            version = connection.getVersion()
            connection.close()
        except libvirt.libvirtError as error:
            raise HarnessError(f"libvirt: {error}") from error
    return f"starts, and knows QEMU {version // 1000000}.{version // 1000 % 1000}"
