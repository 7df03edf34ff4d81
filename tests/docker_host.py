"""A Docker engine for tests: its own data, its own socket, its own mounts, and none of the host's network."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubeception_sim.cgroups import Group
from kubeception_sim.errors import DeadlineExceeded
from kubeception_sim.lab import Lab
from kubeception_sim.run import require, run, spawn

START_SECONDS = 60.0


@contextmanager
def docker_host(root: Path) -> Iterator[str]:
    """The URL of an engine that lives as long as the block. `root` is a folder. Raises MissingTool."""
    require("dockerd", "docker.io")
    with Lab.create(root) as lab:
        host = f"unix://{lab.directory}/docker.sock"
        group = Group(lab.namespace("engine"))
        options = {
            "data-root": lab.directory / "data",
            "exec-root": lab.directory / "exec",
            "pidfile": lab.directory / "docker.pid",
            "host": host,
            "bridge": "none",
            "iptables": "false",
            "ip6tables": "false",
            "ip-forward": "false",
            "cgroup-parent": f"/{group.name}",
            # Less than our own score takes CAP_SYS_RESOURCE.
            "oom-score-adjust": "0",
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        argv = ["unshare", "--mount", "--propagation", "private", "dockerd", *words]
        try:
            with spawn(argv, log=lab.directory / "dockerd.log", env=lab.env, grace=30) as engine:
                deadline = time.monotonic() + START_SECONDS
                # The first answer of an engine on a busy computer may take longer than its start.
                while (asked := run(["docker", "--host", host, "version"], timeout=START_SECONDS, check=False)).code != 0:
                    if engine.poll() is not None or time.monotonic() > deadline:
                        raise DeadlineExceeded(f"dockerd does not start: {asked.stderr}\n{engine.tail()}")
                    time.sleep(0.05)
                yield host
        finally:
            group.remove()
