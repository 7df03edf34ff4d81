"""The fake machine against servers that know nothing of it: dnsmasq for DHCP and TFTP, http.server for the rest."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.lab import Lab
from kubeception_sim.machines import Firmware, MachineSpec, MachineState
from kubeception_sim.machines.fake import FakeDriver, FakeMachine
from kubeception_sim.network import Fabric
from kubeception_sim.run import require, spawn

SERVER = "10.77.0.1"
ROOTFS = b"squashfs" * 1000
ENTRY = f"""#!ipxe
:retry
chain --replace http://{SERVER}/script?serial=${{serial:uristring}}&mac=${{netX/mac}} || goto retry
"""
SCRIPT = """#!ipxe
imgfree
kernel http://{server}/kernel initrd=initrd {arguments} || goto failed
initrd --name initrd http://{server}/initrd || goto failed
boot || goto failed
:failed
"""
DNSMASQ = """
interface=br0
bind-interfaces
port=0
user=root
no-ping
leasefile-ro
pid-file=
dhcp-range=10.77.0.50,10.77.0.99,1h
enable-tftp
tftp-root={tftp}
dhcp-match=set:ipxe,175
dhcp-match=set:uefi,option:client-arch,7
dhcp-boot=tag:ipxe,http://10.77.0.1/boot.ipxe
dhcp-boot=tag:!ipxe,tag:uefi,uefi.boot
dhcp-boot=tag:!ipxe,tag:!uefi,bios.boot
"""


class BootServer:
    """Serves one kernel command line to everybody, and notes who asked for what."""

    def __init__(self, listener: socket.socket) -> None:
        self.rootfs_sha256 = hashlib.sha256(ROOTFS).hexdigest()
        self.requests: list[str] = []
        self.busy = 0
        self.reported = threading.Condition()
        self.http = ThreadingHTTPServer((SERVER, 80), self._handler(), bind_and_activate=False)
        self.http.socket.close()
        self.http.socket = listener
        listener.bind((SERVER, 80))
        self.http.server_activate()

    def answer(self, path: str) -> bytes:
        arguments = (
            f"ignition.config.url=http://{SERVER}/ignition testbed.rootfs=http://{SERVER}/rootfs "
            f"testbed.sha256={self.rootfs_sha256} testbed.report=http://{SERVER}/host/SN-1"
        )
        match path.partition("?")[0]:
            case "/boot.ipxe":
                return ENTRY.encode()
            case "/script":
                return SCRIPT.format(server=SERVER, arguments=arguments).encode()
            case "/rootfs":
                return ROOTFS
            case "/ignition":
                return json.dumps({"ignition": {"version": "3.3.0"}}).encode()
            case _:
                return path.encode()

    def wait_for(self, ending: str, seconds: float = 20.0) -> None:
        with self.reported:
            came = self.reported.wait_for(lambda: any(line.endswith(ending) for line in self.requests), seconds)
        assert came, f"nobody asked for {ending}; requests: {self.requests}"

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if server.busy and self.path.startswith("/ignition"):
                    server.busy -= 1
                    return self._reply(b"", 503)
                return self._reply(server.answer(self.path))

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._reply(b"", 202)

            def _reply(self, body: bytes, status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                with server.reported:
                    server.requests.append(f"{self.command} {self.path}")
                    server.reported.notify_all()

            def log_message(self, *_: object) -> None: ...

        return Handler


@pytest.fixture
def server(lab: Lab, fabric: Fabric) -> Iterator[BootServer]:
    try:
        require("dnsmasq", "dnsmasq-base")
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    tftp = lab.subdirectory("tftp")
    for name in ("bios.boot", "uefi.boot"):
        (tftp / name).write_bytes(name.encode() * 512)
    config = lab.directory / "dnsmasq.conf"
    config.write_text(DNSMASQ.format(tftp=tftp))
    boot_server = BootServer(fabric.socket())
    thread = threading.Thread(target=boot_server.http.serve_forever)
    thread.start()
    try:
        with spawn(
            ["dnsmasq", "--keep-in-foreground", "-C", config],
            log=lab.directory / "dnsmasq.log",
            namespace=fabric.namespace,
            env=lab.env,
        ):
            yield boot_server
    finally:
        boot_server.http.shutdown()
        boot_server.http.server_close()
        thread.join()


@contextmanager
def plugged_in(lab: Lab, fabric: Fabric, firmware: Firmware = Firmware.BIOS) -> Iterator[FakeMachine]:
    spec = MachineSpec.derive("n1", "SN-1", firmware=firmware)
    with FakeDriver(lab.env).create(spec, fabric.port("n1"), lab.subdirectory("n1")) as machine:
        yield machine


def eventually(machine: FakeMachine, state: MachineState, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while machine.state() is not state:
        assert time.monotonic() < until, f"{machine.state()}, not {state}: {machine.console_tail()}"
        time.sleep(0.02)


@pytest.mark.parametrize(("firmware", "boot_file"), [(Firmware.BIOS, "bios.boot"), (Firmware.UEFI, "uefi.boot")])
def test_it_asks_for_what_a_booting_machine_asks_for(
    lab: Lab, fabric: Fabric, server: BootServer, firmware: Firmware, boot_file: str
) -> None:
    with plugged_in(lab, fabric, firmware) as machine:
        machine.start()
        server.wait_for("/boot_complete")
        assert f"{boot_file} from {SERVER} by TFTP, 4608 bytes" in machine.console_tail()
        assert server.requests == [
            "GET /boot.ipxe",
            f"GET /script?serial=SN-1&mac={machine.spec.mac}",
            "GET /kernel",
            "GET /initrd",
            "GET /rootfs",
            "GET /ignition",
            "PUT /host/SN-1/stage/switch-root",
            "PUT /host/SN-1/boot_complete",
        ]


def test_a_machine_that_cannot_go_on_says_so_and_powers_off(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    server.rootfs_sha256 = "0" * 64
    with plugged_in(lab, fabric) as machine:
        machine.start()
        server.wait_for("/host/SN-1/failed")
        eventually(machine, MachineState.OFF)
        assert "PUT /host/SN-1/boot_complete" not in server.requests


def test_a_server_that_is_busy_is_asked_again(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    server.busy = 2
    with plugged_in(lab, fabric) as machine:
        machine.start()
        server.wait_for("/boot_complete")
        assert server.requests.count("GET /ignition") == 3
        assert server.busy == 0


def test_firmware_that_finds_nothing_to_boot_tries_again(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    boot_file = lab.directory / "tftp" / "bios.boot"
    boot_file.rename(lab.directory / "aside")
    with plugged_in(lab, fabric) as machine:
        machine.start()
        until = time.monotonic() + 20
        while "no bootable device" not in machine.console_tail():
            assert time.monotonic() < until, machine.console_tail()
            time.sleep(0.02)
        (lab.directory / "aside").rename(boot_file)
        server.wait_for("/boot_complete")


def test_it_listens_to_the_power_button_and_boots_again(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    with plugged_in(lab, fabric) as machine:
        for _ in range(2):
            server.requests.clear()
            machine.start()
            assert machine.state() is MachineState.RUNNING
            server.wait_for("/boot_complete")
            machine.stop(grace=5)
            assert machine.state() is MachineState.OFF


def test_a_paused_machine_is_silent_until_it_is_resumed(lab: Lab, fabric: Fabric, server: BootServer) -> None:
    with plugged_in(lab, fabric) as machine:
        machine.start()
        machine.pause()
        assert machine.state() is MachineState.PAUSED
        server.requests.clear()
        with pytest.raises(AssertionError, match="nobody asked"):
            server.wait_for("/boot_complete", seconds=2)
        machine.resume()
        server.wait_for("/boot_complete")


def test_what_has_no_power_cannot_be_paused(lab: Lab, fabric: Fabric) -> None:
    with plugged_in(lab, fabric) as machine:
        with pytest.raises(HarnessError, match="n1 has no power"):
            machine.pause()
        machine.stop(grace=0)
        machine.kill()
        assert machine.state() is MachineState.OFF
