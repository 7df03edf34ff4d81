"""The agent of a machine, as a plain user and outside of any pod: a real guest boots, says that it runs, and is powered off."""

import json
import logging
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kubeception_sim.agents.issue.record import RECORD, Record
from kubeception_sim.agents.vm.command import STAGE_PORT
from kubeception_sim.artifacts import node, testbed
from kubeception_sim.artifacts.node import systems
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.errors import MissingTool
from kubeception_sim.run import Process, require, run, spawn

log = logging.getLogger(__name__)

SOURCE = Path(__file__).parents[2]
USER = 64055
BOOT_SECONDS = 240.0
END_SECONDS = 90.0
POWER, FILES = "kubeception-power.service", "kubeception-files.service"
# A loopback address of this process alone: no other test can hold its port.
ADDRESS = f"127.79.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
URL = f"http://{ADDRESS}:9080"
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Place:
    """A folder of the machine's user, with what it boots."""

    folder: Path
    environment: dict[str, str]

    def configure(self, *units: dict[str, Any], files: tuple[dict[str, Any], ...] = ()) -> None:
        """Write the Ignition config: these units and files, and the module of ports."""
        file = {"path": "/etc/modules-load.d/ports.conf", "contents": {"source": "data:,virtio_console%0A"}}
        config = {
            "ignition": {"version": "3.3.0"},
            "storage": {"files": [file | {"mode": 0o644}, *files]},
            "systemd": {"units": list(units)},
        }
        path = self.folder / "config.ign"
        path.write_text(json.dumps(config))
        path.chmod(0o400)
        os.chown(path, USER, USER)


def says(word: str) -> dict[str, Any]:
    """A unit that writes a line to the stage port."""
    text = f"""
        [Unit]
        After=dev-virtio\\x2dports-{STAGE_PORT}.device
        Requires=dev-virtio\\x2dports-{STAGE_PORT}.device
        [Service]
        Type=oneshot
        ExecStart=/sbin/blkid /dev/disk/by-id/virtio-etcd
        ExecStart=/bin/sh -c 'echo "{word}" > /dev/virtio-ports/{STAGE_PORT}'
        StandardOutput=tty
        TTYPath=/dev/ttyS0
        [Install]
        WantedBy=multi-user.target
    """
    return {"name": "stage.service", "enabled": True, "contents": "\n".join(map(str.strip, text.splitlines()))}


def power() -> dict[str, Any]:
    """The unit of the node image that listens for the word to power off."""
    return of_node(POWER)


def of_node(unit: str) -> dict[str, Any]:
    """A unit of the node image."""
    return {"name": unit, "enabled": True, "contents": (node.HERE / "root/etc/systemd/system" / unit).read_text()}


def file(path: str, text: str, mode: int = 0o644) -> dict[str, Any]:
    """A file of an Ignition config."""
    return {"path": path, "mode": mode, "overwrite": True, "contents": {"source": f"data:,{quote(text)}"}}


def looks() -> dict[str, Any]:
    """A unit that has a file mounted, as a static pod has a certificate, and tells what it sees there, once it is another."""
    mount = "touch /run/seen; mount --bind /etc/one.crt /run/seen"
    command = f"{mount}; until grep two /run/seen; do sleep 0.5; done; cat /etc/os-release"
    service = ("[Service]", f"ExecStart=/bin/sh -c '{command}'", "StandardOutput=tty", "TTYPath=/dev/ttyS0")
    install = ("[Install]", "WantedBy=multi-user.target", "")
    return {"name": "looks.service", "enabled": True, "contents": "\n".join((*service, *install))}


@pytest.fixture(scope="module")
def image() -> testbed.Image:
    if os.geteuid() != 0:
        pytest.skip("tried to build the testbed image; that needs root")
    try:
        require("qemu-system-x86_64", "qemu-system-x86")
        return testbed.ensure(default_cache(), lambda step, done: None)
    except MissingTool as missing:
        pytest.skip(f"tried to build and boot the testbed image; {missing.message} ({missing.hint})")


@pytest.fixture(scope="module")
def boot(image: testbed.Image) -> Iterator[Path]:
    """The image's files where any user may read them."""
    with tempfile.TemporaryDirectory(prefix="kubeception-vm-agent-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file in (image.kernel, image.initrd, image.rootfs):
            shutil.copyfile(file, folder / file.name)
            (folder / file.name).chmod(0o644)
        yield folder


@pytest.fixture
def place(image: testbed.Image, boot: Path) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="kubeception-vm-agent-") as name:
        folder = Path(name)
        os.chown(folder, USER, USER)
        environment = {
            "KUBECEPTION_CLUSTER": "blue",
            "KUBECEPTION_VM": "master-0",
            "KUBECEPTION_CPUS": "1",
            "KUBECEPTION_MEMORY": "640",
            "KUBECEPTION_ACCEL": "tcg",
            "KUBECEPTION_TAP": "",
            "KUBECEPTION_KERNEL": f"{boot}/{image.kernel.name}",
            "KUBECEPTION_INITRD": f"{boot}/{image.initrd.name}",
            "KUBECEPTION_ROOTFS": f"{boot}/{image.rootfs.name}",
            "KUBECEPTION_CONFIG": f"{folder}/config.ign",
            "KUBECEPTION_ETCD_DISK": f"{folder}/etcd.img",
            "KUBECEPTION_ETCD_DISK_SIZE": "128",
            "KUBECEPTION_GRACE": "60",
            "PYTHONPATH": str(SOURCE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        yield Place(folder, environment)


@contextmanager
def started(place: Place, log_file: Path) -> Iterator[Process]:
    require("setpriv", "util-linux")
    drop = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all", "--no-new-privs")
    module = (sys.executable, "-m", "kubeception_sim.agents.vm", "--address", ADDRESS)
    with spawn([*drop, *module], log=log_file, env=place.environment, cwd=SOURCE, grace=END_SECONDS) as agent:
        yield agent


def ask(path: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{URL}{path}", timeout=15) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError) as error:
        return 0, str(error)


def wait_for(agent: Process, path: str, status: int) -> str:
    """The answer, once it has this status. Fails with what the agent wrote when it ends first, or the time is up."""
    deadline = time.monotonic() + BOOT_SECONDS
    while (answer := ask(path))[0] != status:
        assert agent.poll() is None, f"the agent ended with {agent.poll()}; last answer {answer}\n{agent.tail()}"
        assert time.monotonic() < deadline, f"last answer {answer}\n{agent.tail()}"
        time.sleep(0.1)
    return answer[1]


def qemu_of(agent: Process) -> int:
    """The agent's only child."""
    (child,) = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    return int(child)


def test_a_machine_boots_says_that_it_runs_and_is_powered_off(place: Place, tmp_path: Path) -> None:
    place.configure(says("running"), power())
    began = time.monotonic()
    with started(place, tmp_path / "log") as agent:
        wait_for(agent, "/healthz", 200)
        assert ask("/readyz")[0] == 503
        wait_for(agent, "/readyz", 200)
        stages = json.loads(ask("/stages")[1])
        assert began < stages["qemu"] < stages["running"] < time.monotonic()
        log.info("%.1f s to QEMU, %.1f s to running", stages["qemu"] - began, stages["running"] - began)
        metrics = dict(line.rsplit(" ", 1) for line in ask("/metrics")[1].splitlines())
        assert float(metrics["kubeception_vm_running"]) == 1
        assert float(metrics["kubeception_vm_cpu_seconds_total"]) > 1
        assert float(metrics["kubeception_vm_resident_bytes"]) > 100 << 20
        asked = time.monotonic()
        agent.terminate()
        assert agent.wait(END_SECONDS) == 0
        log.info("%.1f s to power off", time.monotonic() - asked)
    said = agent.log.read_text()
    assert "it does not power off" not in said
    assert 'LABEL="etcd"' in said  # the disk, as the guest found it
    assert 'TYPE="ext4"' in said


def test_a_machine_that_runs_gets_new_files(image: testbed.Image, place: Place, tmp_path: Path) -> None:
    system = systems.ensure(default_cache(), image, "testbed-2", lambda *_: None)
    initrd = place.folder / "initrd"
    shutil.copyfile(system.initrd, initrd)
    place.environment["KUBECEPTION_INITRD"] = str(initrd)
    taker = file("/usr/libexec/testbed/files", (node.HERE / "root/usr/libexec/testbed/files").read_text(), 0o755)
    units = (says("running"), power(), of_node(FILES), looks())
    place.configure(*units, files=(taker, file("/etc/one.crt", "one\n")))
    record = place.folder / RECORD
    record.write_bytes(Record("", 1, 100).text())
    record.chmod(0o644)
    with started(place, tmp_path / "log") as agent:
        wait_for(agent, "/readyz", 200)
        assert json.loads(ask("/certificates")[1])["rotation"] == ""
        place.configure(*units, files=(taker, file("/etc/one.crt", "two\n")))
        record.write_bytes(Record("spring", 2, 200).text())
        deadline = time.monotonic() + END_SECONDS
        while (page := json.loads(ask("/certificates")[1]))["rotation"] != "spring":
            assert time.monotonic() < deadline, f"{page}\n{agent.tail()}"
            time.sleep(0.2)
        while "PRETTY_NAME" not in agent.log.read_text():
            assert time.monotonic() < deadline, agent.tail()
            time.sleep(0.2)
        assert ask("/readyz")[0] == 200
    said = agent.log.read_text()
    assert re.search(r"^two\r?$", said, re.MULTILINE), "who had the file mounted sees the new one"
    assert f'PRETTY_NAME="{systems.pretty("testbed-2")}"' in said


def test_a_machine_that_dies_is_an_error(place: Place, tmp_path: Path) -> None:
    place.configure(says("running"))
    with started(place, tmp_path / "log") as agent:
        wait_for(agent, "/healthz", 200)
        os.kill(qemu_of(agent), signal.SIGKILL)
        assert agent.wait(10) == 1
    assert "QEMU was ended by SIGKILL" in agent.log.read_text()


def test_an_agent_that_is_killed_takes_its_machine_along(place: Place, tmp_path: Path) -> None:
    place.configure(says("running"))
    with started(place, tmp_path / "log") as agent:
        wait_for(agent, "/healthz", 200)
        qemu = os.pidfd_open(qemu_of(agent))
        os.kill(agent.pid, signal.SIGKILL)
        # Readable once the process has ended, whoever its parent is.
        assert select.select([qemu], [], [], 10)[0], "QEMU outlives the agent"
        os.close(qemu)


def test_a_machine_that_does_not_listen_is_ended_after_its_time(place: Place, tmp_path: Path) -> None:
    place.configure(says("running"))
    place.environment["KUBECEPTION_GRACE"] = "1"
    with started(place, tmp_path / "log") as agent:
        wait_for(agent, "/healthz", 200)
        agent.terminate()
        assert agent.wait(20) == 0
    assert "it does not power off" in agent.log.read_text()


def test_a_guest_that_fails_says_so_and_one_that_ends_is_an_error(place: Place, tmp_path: Path) -> None:
    off = {
        "name": "off.service",
        "enabled": True,
        "contents": "[Unit]\nAfter=stage.service\n[Service]\nType=oneshot\nExecStart=/bin/systemctl --no-block poweroff\n"
        "[Install]\nWantedBy=multi-user.target\n",
    }
    place.configure(says("failed: no etcd"), off)
    with started(place, tmp_path / "log") as agent:
        assert agent.wait(BOOT_SECONDS) == 1
    said = agent.log.read_text()
    assert "the machine has switched itself off; the guest has failed: no etcd" in said


def test_a_config_that_ignition_refuses_ends_the_machine(place: Place, tmp_path: Path) -> None:
    place.configure({"name": "no-unit", "contents": "x"})
    with started(place, tmp_path / "log") as agent:
        assert agent.wait(BOOT_SECONDS) == 1
    assert "the machine has switched itself off; the guest has not said" in agent.log.read_text()


def test_a_disk_outlives_its_machine(place: Place, tmp_path: Path) -> None:
    place.configure(says("running"))
    disk = place.folder / "etcd.img"
    for expected in ("is new", ""):
        with started(place, tmp_path / f"log-{expected or 'again'}") as agent:
            wait_for(agent, "/healthz", 200)
            os.kill(qemu_of(agent), signal.SIGKILL)
            agent.wait(10)
        assert ("etcd.img is new" in agent.log.read_text()) == bool(expected)
        found = run(["dumpe2fs", "-h", disk], timeout=20).stdout
        identity = next(line for line in found.splitlines() if "UUID" in line)
        if expected:
            first = identity
    assert identity == first
    assert disk.stat().st_size == 128 << 20
    assert disk.stat().st_blocks * 512 < 32 << 20  # it has what was written to it, and no more


def test_what_is_missing_is_named(place: Place, tmp_path: Path) -> None:
    place.environment["KUBECEPTION_KERNEL"] = "/nowhere/kernel"
    place.configure()
    with started(place, tmp_path / "log") as agent:
        assert agent.wait(20) == 1
    assert "/nowhere/kernel: no such file" in agent.log.read_text()
