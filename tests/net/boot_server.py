"""A server that boots machines and knows nothing of them: dnsmasq for DHCP and TFTP, http.server for the rest."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric
from kubeception_sim.run import spawn

SERVER = "10.77.0.1"
ROOTFS = b"squashfs" * 1000
ENTRY = f"""#!ipxe
:retry
chain --replace http://{SERVER}/script?serial=${{serial:uristring}}&mac=${{netX/mac}} || goto retry
"""
SCRIPT = f"""#!ipxe
imgfree
kernel http://{SERVER}/kernel initrd=initrd {{arguments}} || goto failed
initrd --name initrd http://{SERVER}/initrd || goto failed
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
    """Serves one kernel command line to everybody, and notes who asked for what, with which headers and which body."""

    def __init__(self, listener: socket.socket, rootfs: bytes, rootfs_sha256: str) -> None:
        self.rootfs = rootfs
        self.rootfs_sha256 = rootfs_sha256
        self.ignition = json.dumps({"ignition": {"version": "3.3.0"}}).encode()
        self.extra = ""
        self.requests: list[str] = []
        self.headers: dict[str, Mapping[str, str]] = {}
        self.bodies: dict[str, bytes] = {}
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
            f"testbed.sha256={self.rootfs_sha256} testbed.report=http://{SERVER}/host/SN-1 {self.extra}"
        )
        match path.partition("?")[0]:
            case "/boot.ipxe":
                return ENTRY.encode()
            case "/script":
                return SCRIPT.format(arguments=arguments).encode()
            case "/rootfs":
                return self.rootfs
            case "/ignition":
                return self.ignition
            case _:
                return path.encode()

    def wait_for(self, ending: str, seconds: float = 20.0, times: int = 1) -> None:
        with self.reported:
            came = self.reported.wait_for(lambda: sum(line.endswith(ending) for line in self.requests) >= times, seconds)
        assert came, f"nobody asked for {ending}; requests: {self.requests}"

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if server.busy and self.path.startswith("/ignition"):
                    server.busy -= 1
                    return self._reply(b"", 503)
                return self._reply(server.answer(self.path))

            def do_PUT(self) -> None:
                server.bodies[self.path] = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._reply(b"", 202)

            def _reply(self, body: bytes, status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                with server.reported:
                    server.requests.append(f"{self.command} {self.path}")
                    server.headers[self.path] = dict(self.headers)
                    server.reported.notify_all()

            def log_message(self, *_: object) -> None: ...

        return Handler


@contextmanager
def serving(lab: Lab, fabric: Fabric, rootfs: bytes, rootfs_sha256: str) -> Iterator[BootServer]:
    """On the fabric's own address; dnsmasq's TFTP folder is `tftp` in the lab."""
    tftp = lab.subdirectory("tftp")
    for name in ("bios.boot", "uefi.boot"):
        (tftp / name).write_bytes(name.encode() * 512)
    config = lab.directory / "dnsmasq.conf"
    config.write_text(DNSMASQ.format(tftp=tftp))
    boot_server = BootServer(fabric.socket(), rootfs, rootfs_sha256)
    thread = threading.Thread(target=boot_server.http.serve_forever)
    thread.start()
    argv = ("dnsmasq", "--keep-in-foreground", "-C", config)
    try:
        with spawn(argv, log=lab.directory / "dnsmasq.log", namespace=fabric.namespace, env=lab.env):
            yield boot_server
    finally:
        boot_server.http.shutdown()
        boot_server.http.server_close()
        thread.join()
