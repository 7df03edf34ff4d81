"""The Docker engine, through its SDK: the only module that imports it. Every error of the SDK comes out as ours.

A client is made for each use and closed after it: connections that a pool keeps would be inherited by whoever is forked.
The engine must be on this host, because the network namespaces of its containers are joined to the fabric.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.run import require, run

LABEL_LAB = "kubeception.lab"
LABEL_ROOTFS = "kubeception.rootfs"
_UNIX = "unix://"
_USUAL = f"{_UNIX}/var/run/docker.sock"
_REPOSITORY = "kubeception.local/machine"
_CLIENT_SECONDS = 60.0
_IMPORT_SECONDS = 600.0
# The squashfs is mounted where nobody else sees it; its mount and its loop device go with the process.
_IMPORT = 'mount -t squashfs -o loop,ro "$1" "$2"; exec 3>&1; tar -C "$2" -c . | docker import --change "LABEL $3" - "$4" >&3'


def environment(host: str | None) -> dict[str, str]:
    """What programs need in their environment to find the engine; `host` is a URL, None the engine's usual place."""
    return {"DOCKER_HOST": host} if host else {}


def ensure_image(rootfs: Path, sha256: str, folder: Path, host: str | None) -> str:
    """The name of the image that holds the squashfs `rootfs`, imported if the engine has none of that checksum.

    `folder` is an empty one, to mount at. The image stays: it is a cache, labelled `kubeception.rootfs`.
    """
    name = f"{_REPOSITORY}:{sha256}"
    with engine(host) as docker:
        if docker.has_image(name):
            return name
    for tool, package in (("unshare", "util-linux"), ("tar", "tar"), ("docker", "docker.io")):
        require(tool, package)
    private = ("unshare", "--mount", "--propagation", "private")
    words = ("bash", "-euo", "pipefail", "-c", _IMPORT, "import", rootfs, folder, f"{LABEL_ROOTFS}={sha256}", name)
    run([*private, *words], timeout=_IMPORT_SECONDS, env=environment(host))
    return name


class Engine:
    """A connected client. Containers are called by name. Everything raises HarnessError when the engine refuses."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def has_image(self, name: str) -> bool:
        """Whether there is an image of that name."""
        return bool(self._api.images(name))

    def create(self, name: str, body: Mapping[str, Any]) -> None:
        """A container, not started; `body` is that of POST /containers/create (Docker Engine API 1.41)."""
        self._api.create_container_from_config(dict(body), name)

    def output(self, name: str) -> Iterator[bytes]:
        """What a container with a terminal writes, until it ends; to be asked for before it is started."""
        stream: Iterator[bytes] = self._api.attach(name, stdout=True, stderr=True, stream=True)
        return stream

    def start(self, name: str) -> int:
        """Start it; the pid of its first process."""
        self._api.start(name)
        return int(self._api.inspect_container(name)["State"]["Pid"])

    def wait(self, name: str) -> int:
        """Its exit code, when it has ended; 128 and more for a signal."""
        return int(self._api.wait(name, timeout=None)["StatusCode"])

    def pause(self, name: str) -> None:
        """Freeze it."""
        self._api.pause(name)

    def unpause(self, name: str) -> None:
        """Thaw it."""
        self._api.unpause(name)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to its first process."""
        self._api.kill(name, number)

    def remove(self, name: str) -> None:
        """SIGKILL to all there is, and remove it with its files; nothing happens when there is none."""
        if self._api.containers(all=True, filters={"name": f"^/{name}$"}):
            self._api.remove_container(name, force=True, v=True)


@contextmanager
def engine(host: str | None) -> Iterator[Engine]:
    """A client of the engine at `host`, or at its usual place. Raises MissingTool without SDK, HarnessError without engine."""
    try:
        import docker
        from requests.exceptions import RequestException
    except ImportError as missing:
        raise MissingTool("docker: the SDK for Python is not installed", hint="pip install 'kubeception[docker]'") from missing
    _knock(host)
    try:
        client = docker.DockerClient.from_env(environment={**os.environ, **environment(host)}, timeout=_CLIENT_SECONDS)
        try:
            yield Engine(client.api)
        finally:
            client.close()
    except (docker.errors.DockerException, RequestException) as error:
        raise HarnessError(f"the Docker engine at {host or _USUAL}: {error}") from error


def _knock(host: str | None) -> None:
    """See whether somebody listens: the SDK would leave a socket open where nobody does."""
    url = host or os.environ.get("DOCKER_HOST") or _USUAL
    if not url.startswith(_UNIX):
        raise HarnessError(f"the Docker engine at {url} is not one of this host", hint=f"DOCKER_HOST={_UNIX}/PATH")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        try:
            caller.connect(url.removeprefix(_UNIX))
        except OSError as error:
            hint = f"is it running? DOCKER_HOST={_UNIX}/PATH names another one"
            raise HarnessError(f"the Docker engine at {url} does not answer: {error.strerror}", hint=hint) from error
