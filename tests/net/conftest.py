"""Fixtures of the net tier."""

import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.net.lan import PORT, SERVER, Config, Lan, Mayu, StartMayu, ip, namespace

START_SECONDS = 15.0

BUTANE = """\
variant: fcos
version: 1.4.0
storage:
  files:
    - path: /etc/hostname
      mode: 0644
      contents: {inline: "{{ host.name }}"}
"""


@pytest.fixture
def lan() -> Iterator[Lan]:
    with ExitStack() as stack:
        server = stack.enter_context(namespace(f"mt{secrets.token_hex(3)}"))
        ip("-n", server, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        ip("-n", server, "address", "add", f"{SERVER}/24", "dev", "br0")
        ip("-n", server, "link", "set", "br0", "up")
        yield Lan(server, stack)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "node.bu").write_text(BUTANE)
    (tmp_path / "tftp").mkdir()
    for name in ("undionly.kpxe", "snponly.efi"):
        (tmp_path / "tftp" / name).write_bytes(os.urandom(70_000))
    (tmp_path / "image").mkdir()
    for name in ("vmlinuz", "initrd.img", "root.img"):
        (tmp_path / "image" / name).write_bytes(os.urandom(300_000))
    network: Mapping[str, Any] = {
        "name": "rack",
        "interface": "br0",
        "address": SERVER,
        "subnet": "10.78.0.0/22",
        "range": {"start": "10.78.3.1", "end": "10.78.3.200"},
        "gateway": SERVER,
    }
    return Config(
        tmp_path,
        {
            "networks": [dict(network)],
            "http": {"port": PORT},
            "tftp": {"root": "tftp"},
            "images": {
                "testbed": {
                    "directory": "image",
                    "files": {"rootfs": "root.img"},
                    "args": ["ignition.config.url={{ ignition_url }}", "testbed.rootfs={{ image.url }}/rootfs"],
                }
            },
            "profiles": [{"name": "node", "image": "testbed", "ignition": "node.bu"}],
            "hosts": [],
        },
    )


@pytest.fixture
def start_mayu(lan: Lan, config: Config) -> Iterator[StartMayu]:
    running: list[Mayu] = []

    def start() -> Mayu:
        read, write = os.pipe()
        log = config.folder / "mayu.log"
        argv: Sequence[str] = (
            "ip", "netns", "exec", lan.server, sys.executable, "-m", "mayu_py", "serve",
            "-c", str(config.write()), "--ready-fd", str(write),
        )  # fmt: skip
        began = time.monotonic()
        with log.open("ab") as output:
            process = subprocess.Popen(argv, stdout=output, stderr=output, pass_fds=(write,))
        os.close(write)
        mayu = Mayu(lan, process, config.folder / "mayu.yaml", log)
        running.append(mayu)
        try:
            readable, _, _ = select.select([read], [], [], START_SECONDS)
            assert readable, f"not ready after {START_SECONDS} s:\n{log.read_text()}"
            assert os.read(read, 6) == b"ready\n", log.read_text()
        finally:
            os.close(read)
        mayu.seconds_to_ready = time.monotonic() - began
        return mayu

    yield start
    for mayu in running:
        if mayu.process.poll() is None:
            mayu.stop()
