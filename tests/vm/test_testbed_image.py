"""The testbed OS boots from HTTP, provisions itself with the real Ignition, and reports what became of it.

The kernel is started directly (no firmware, no DHCP server of ours): what is under test is the image alone. The guest
sees the test's server on loopback as 10.0.2.2, by QEMU's user network.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kubeception_sim.artifacts import testbed
from kubeception_sim.errors import MissingTool
from kubeception_sim.run import Process, require, run, spawn

log = logging.getLogger(__name__)

# Emulated, on a machine that may be busy with other tests.
BOOT_SECONDS = 240.0
# QEMU's user network hands out this address, too: both ways to it lead to the same server.
STATIC = "10.0.2.15::10.0.2.2:255.255.255.0::eth0:none"
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Request:
    """What the guest asked, and when (seconds of the monotonic clock)."""

    method: str
    path: str
    body: str
    at: float


@dataclass
class Site:
    """What the guest finds at 10.0.2.2, and what it said there."""

    image: testbed.Image
    config: dict[str, Any] | None
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://10.0.2.2:{self.port}"

    def record(self, method: str, path: str, body: str = "") -> int:
        """Keep the request; how often it has come before."""
        with self.arrived:
            before = sum(request.path == path for request in self.requests)
            self.requests.append(Request(method, path, body, time.monotonic()))
            self.arrived.notify_all()
        return before

    def wait_for_put(self, path: str, machine: Process) -> Request:
        """The first PUT of `path`. Fails with the console's end when the machine ends or the time is up."""
        deadline = time.monotonic() + BOOT_SECONDS
        with self.arrived:
            while True:
                for request in self.requests:
                    if (request.method, request.path) == ("PUT", path):
                        return request
                state = f"requests: {self.lines()}\n{console(machine)}"
                assert machine.poll() is None, f"the machine ended without PUT {path}; {state}"
                assert time.monotonic() < deadline, f"no PUT {path} in {BOOT_SECONDS:g} s; {state}"
                self.arrived.wait(0.5)

    def lines(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]


class Handler(BaseHTTPRequestHandler):
    """GET of the image and the config, PUT of reports. The first download of the image breaks off half way."""

    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        before = self.site.record("GET", self.path, self.headers.get("Range", ""))
        if self.path == "/rootfs":
            self.send_rootfs(broken=before == 0)
        elif self.path == "/ignition" and self.site.config is not None:
            self.answer(200, json.dumps(self.site.config).encode())
        else:
            self.answer(404, b"no such thing\n")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.site.record("PUT", self.path, body.decode())
        self.answer(202, b"")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_rootfs(self, *, broken: bool) -> None:
        size = self.site.image.sizes["rootfs.squashfs"]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(size - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        with self.site.image.rootfs.open("rb") as file:
            file.seek(start)
            left = size // 2 if broken else size - start
            while left and (block := file.read(min(left, 1 << 20))):
                self.wfile.write(block)
                left -= len(block)
        self.close_connection = broken

    def log_message(self, *args: object) -> None:
        """Requests are in the site's list; stderr stays clean."""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    handler = type("SiteHandler", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def console(machine: Process) -> str:
    """The end of the machine's serial console, and what QEMU itself said."""
    lines = machine.log.with_name("console").read_text(errors="replace").splitlines()
    return "\n".join([*lines[-60:], machine.tail()])


def booted(
    site: Site, folder: Path, *, ip: str, ssh: str = "", sha256: str = "", memory_mib: int = 512
) -> AbstractContextManager[Process]:
    """The image in an emulated machine without firmware; `ssh` is the loopback address its port 22 is reached at."""
    (folder / "console").touch()
    words = {
        "console": "ttyS0",
        "net.ifnames": "0",
        "ip": ip,
        "ignition.firstboot": "1",
        "ignition.platform.id": "metal",
        "ignition.config.url": f"{site.url}/ignition",
        "testbed.rootfs": f"{site.url}/rootfs",
        "testbed.sha256": sha256 or site.image.rootfs_sha256,
        "testbed.report": f"{site.url}/host/S1",
    }
    # fmt: off
    argv: list[str | Path] = [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-M", "pc", "-cpu", "qemu64", "-accel", "tcg,thread=multi,tb-size=1024", "-m", str(memory_mib), "-smp", "1",
        "-netdev", "user,id=lan" + (f",hostfwd=tcp:{ssh}:22-:22" if ssh else ""),
        "-device", "virtio-net-pci,netdev=lan", "-device", "virtio-rng-pci",
        "-serial", f"file:{folder / 'console'}",
        "-kernel", site.image.kernel, "-initrd", site.image.initrd,
        "-append", " ".join(f"{name}={value}" for name, value in words.items()) + " quiet",
    ]
    # fmt: on
    return spawn(argv, log=folder / "qemu.log")


@pytest.fixture(scope="module")
def image() -> testbed.Image:
    if os.geteuid() != 0:
        pytest.skip("tried to build the testbed image; that needs root")
    try:
        require("qemu-system-x86_64", "qemu-system-x86")
        require("ssh", "openssh-client")
        return testbed.ensure(testbed.default_cache(), lambda step, done: None)
    except MissingTool as missing:
        pytest.skip(f"tried to build and boot the testbed image; {missing.message} ({missing.hint})")


def config_of(url: str, key: str) -> dict[str, Any]:
    """A host named node-one that says so, lets `core` in, and must not start a unit that is switched off."""
    ready = f"""
        [Unit]
        Wants=network-online.target
        After=network-online.target
        [Service]
        Type=oneshot
        ExecStart=/bin/sh -c 'curl -sSX PUT -d "$(uname -n) $(systemctl is-enabled off.service)" {url}/host/S1/boot_complete'
        [Install]
        WantedBy=multi-user.target
    """
    off = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    return {
        "ignition": {"version": "3.3.0"},
        "passwd": {"users": [{"name": "core", "groups": ["sudo"], "sshAuthorizedKeys": [key]}]},
        "storage": {"files": [{"path": "/etc/hostname", "overwrite": True, "contents": {"source": "data:,node-one"}}]},
        "systemd": {
            "units": [
                {"name": "ready.service", "enabled": True, "contents": "\n".join(map(str.strip, ready.splitlines()))},
                {"name": "off.service", "enabled": False, "contents": off},
            ]
        },
    }


def ssh_until_up(command: str, *, address: str, key: Path, seconds: float) -> str:
    # fmt: off
    argv: list[str | Path] = [
        "ssh", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR", f"core@{address}", command,
    ]
    # fmt: on
    deadline = time.monotonic() + seconds
    while (done := run(argv, timeout=60, check=False)).code != 0:
        assert time.monotonic() < deadline, f"no login in {seconds:g} s: {done.stderr}"
        time.sleep(0.2)
    return done.stdout


@pytest.mark.parametrize("ip", ["dhcp", STATIC], ids=["dhcp", "static"])
def test_a_machine_provisions_itself_reports_its_stages_and_lets_its_user_in(
    image: testbed.Image, tmp_path: Path, ip: str
) -> None:
    key = tmp_path / "id"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], timeout=30)
    # A loopback address of this process alone: no other test can hold its port.
    address = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    with serving(Site(image, None)) as site:
        site.config = config_of(site.url, key.with_suffix(".pub").read_text().strip())
        started = time.monotonic()
        with booted(site, tmp_path, ip=ip, ssh=address) as machine:
            switch = site.wait_for_put("/host/S1/stage/switch-root", machine)
            ready = site.wait_for_put("/host/S1/boot_complete", machine)
            login = ssh_until_up(
                "uname -n; id -un; sudo -n id -un; systemctl is-active ready.service; ls /etc/ssh/*key; "
                "systemctl list-units --plain --no-legend --failed; stat -fc %T /; ip -4 route show default",
                address=address,
                key=key,
                seconds=60,
            )
            for name, at in (("switch-root", switch.at), ("ready", ready.at), ("login", time.monotonic())):
                log.info("%.1f s from power-on to %s", at - started, name)
    *lines, route = login.splitlines()
    assert lines == ["node-one", "core", "root", "inactive", "/etc/ssh/ssh_host_ed25519_key", "overlayfs"]
    assert route.startswith("default via 10.0.2.2 dev eth0 ")
    assert ready.body == "node-one disabled"
    assert switch.at < ready.at
    puts = [request.path for request in site.requests if request.method == "PUT"]
    assert puts == ["/host/S1/stage/switch-root", "/host/S1/boot_complete"]
    # The broken download went on where it had stopped instead of starting over.
    ranges = [request.body for request in site.requests if request.path == "/rootfs"]
    assert ranges[0] == ""
    assert all(again.startswith("bytes=") and again != "bytes=0-" for again in ranges[1:])
    assert len(ranges) == 2


def test_a_machine_that_fails_after_it_left_the_initrd_reports_too(image: testbed.Image, tmp_path: Path) -> None:
    unit = "[Unit]\nOnFailure=emergency.target\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo it broke; exit 9'\n"
    unit += "[Install]\nWantedBy=multi-user.target\n"
    units = [{"name": "broken.service", "enabled": True, "contents": unit}]
    site = Site(image, {"ignition": {"version": "3.3.0"}, "systemd": {"units": units}})
    with serving(site), booted(site, tmp_path, ip="dhcp") as machine:
        failed = site.wait_for_put("/host/S1/failed", machine)
        assert machine.wait(60) == 0
    assert "broken.service" in failed.body
    assert "it broke" in failed.body
    puts = [line for line in site.lines() if line.startswith("PUT")]
    assert puts == ["PUT /host/S1/stage/switch-root", "PUT /host/S1/failed"]


@pytest.mark.parametrize(
    ("config", "sha256", "said"),
    [
        (None, "", "failed to fetch config: resource not found"),
        ({"ignition": {"version": "2.0.0"}}, "", "failed to fetch config: unsupported config version"),
        ({"ignition": {"version": "3.3.0"}}, "0" * 64, f"not {'0' * 64}"),
    ],
    ids=["no config", "invalid config", "wrong root file system"],
)
def test_a_machine_that_cannot_be_provisioned_says_why_and_powers_off(
    image: testbed.Image, tmp_path: Path, config: dict[str, Any] | None, sha256: str, said: str
) -> None:
    site = Site(image, config)
    with serving(site), booted(site, tmp_path, ip=STATIC, sha256=sha256) as machine:
        failed = site.wait_for_put("/host/S1/failed", machine)
        assert machine.wait(60) == 0
    assert said in failed.body
    assert said in (tmp_path / "console").read_text()
    assert len(failed.body.encode()) <= 64 * 1024
    assert [line for line in site.lines() if line.startswith("PUT")] == ["PUT /host/S1/failed"]
