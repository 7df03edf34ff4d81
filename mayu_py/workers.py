"""The worker processes of a config: their sockets, bound before any fork, and what each runs."""

import errno
import os
import socket
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from mayu_py import log as logs
from mayu_py.config import Config
from mayu_py.core.faces import Admin, Dns
from mayu_py.core.networks import DhcpMode, Network
from mayu_py.errors import StartError
from mayu_py.services import dhcp, dhcp_admission, dhcp_rogue
from mayu_py.services import dns as dns_service
from mayu_py.services.desk import Desk
from mayu_py.services.http import server as http
from mayu_py.services.listeners import Listeners
from mayu_py.services.signs import LastSigns
from mayu_py.services.tftp import TftpServer
from mayu_py.services.tftp import listen as listen_tftp
from mayu_py.services.tftp_desk import TftpRecorder
from mayu_py.store.sqlite import SqliteStore
from mayu_py.supervisor import Worker

T = TypeVar("T")


@dataclass(frozen=True)
class Workers:
    """Binds the sockets, before any fork, and makes the workers that will serve them."""

    config: Config
    listeners: Listeners
    debug: bool
    signs: LastSigns = field(default_factory=LastSigns)

    def all(self) -> Iterator[Worker]:
        settings = self.config.settings
        for network in settings.local:
            # A process for each network: one interface that fails, or floods, is no other's business.
            suffix = f"-{network.name}" if len(settings.local) > 1 else ""
            if network.dhcp is not DhcpMode.OFF:
                yield self.dhcp(f"dhcp{suffix}", network)
            yield self.tftp(f"tftp{suffix}", network)
            if settings.dns is not None:
                yield self.dns(f"dns{suffix}", network, settings.dns)
        listener = self.http_listener(http.listen_address(settings), settings.http.port)
        yield from (self.http(f"http-{n}", listener) for n in range(1, settings.http.workers + 1))
        yield self.admin("admin-1", settings.admin)

    def desk(self, worker: str) -> Desk:
        settings = self.config.settings
        return Desk(worker, settings, lambda: _open_store(settings.state), self.signs)

    def dhcp(self, name: str, network: Network) -> Worker:
        assert network.interface is not None
        what = f"dhcp on {network.interface}"
        # An interface that was made anew has its name again, and another index; a socket holds on to the old one.
        key = ("dhcp", network.interface, _bound(what, partial(_index, network.interface)))
        sockets = dhcp.Sockets(self.bound(what, key, partial(dhcp.listen, network.interface)), *self.more_dhcp(network, key[2]))

        def run(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure(name, debug=self.debug)
            with self.desk(name) as desk:
                server = dhcp.DhcpServer(sockets, network, desk)
                ready()
                server.serve(stop_fd)

        return Worker(name, run)

    def more_dhcp(self, network: Network, index: int) -> Iterator[socket.socket | None]:
        """The sockets for port 4011, for what other servers say, and for probes; None for each that the config does not want."""
        proxied = any(each.dhcp is DhcpMode.PROXY for each in self.config.settings.networks)
        interface = network.interface or ""
        for what, wanted, bind in (
            ("dhcp-binl", proxied, partial(dhcp.listen, interface, dhcp.BINL_PORT)),
            ("dhcp-rogues", dhcp_rogue.is_watched(network), partial(dhcp_rogue.listen, interface)),
            ("dhcp-probes", network.conflict_check, partial(dhcp_admission.listen, interface)),
        ):
            yield self.bound(f"{what} on {interface}", (what, interface, index), bind) if wanted else None

    def tftp(self, name: str, network: Network) -> Worker:
        what = f"tftp on {network.address}:69"
        sock = self.bound(what, ("tftp", network.address), partial(listen_tftp, str(network.address), 69))

        def run(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure(name, debug=self.debug)
            with self.desk(name) as desk:
                tftp = self.config.settings.tftp
                server = TftpServer(
                    sock,
                    tftp.root,
                    recorder=TftpRecorder(desk),
                    max_sessions=tftp.max_sessions,
                    max_per_client=tftp.max_per_client,
                )
                ready()
                server.serve(stop_fd)

        return Worker(name, run)

    def dns(self, name: str, network: Network, dns: Dns) -> Worker:
        address, port = str(network.address), dns.port
        udp = self.bound(f"dns on {address}:{port}", ("dns/udp", address, port), partial(dns_service.listen_udp, address, port))
        tcp = self.bound(
            f"dns on {address}:{port}/tcp", ("dns/tcp", address, port), partial(dns_service.listen_tcp, address, port)
        )

        def run(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure(name, debug=self.debug)
            with self.desk(name) as desk:
                dns_service.DnsServer(udp, tcp, dns, desk).serve(stop_fd, ready)

        return Worker(name, run)

    def http_listener(self, address: str, port: int) -> socket.socket:
        return self.bound(f"http on {address}:{port}", ("http", address, port), partial(http.listen, address, port))

    def http(self, name: str, listener: socket.socket) -> Worker:
        def run(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure(name, debug=self.debug)
            http.serve(lambda: self.desk(name), listener, self.config.renderer, stop_fd, ready)

        return Worker(name, run)

    def admin(self, name: str, face: Admin) -> Worker:
        listener = self.http_listener(str(face.listen), face.port)

        def run(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure(name, debug=self.debug)
            http.serve_admin(lambda: self.desk(name), listener, face.tls, self.config, stop_fd, ready)

        return Worker(name, run)

    def bound(self, what: str, key: Hashable, bind: Callable[[], socket.socket]) -> socket.socket:
        return self.listeners.claim(key, partial(_bound, what, bind))


def _open_store(path: Path) -> SqliteStore:
    return SqliteStore(path)


def _index(interface: str) -> int:
    """The kernel's number of an interface. Raises OSError with its number, which the standard library leaves out."""
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from error


def _bound(what: str, bind: Callable[[], T]) -> T:
    try:
        return bind()
    except OSError as error:
        hints = {
            errno.EACCES: "ports below 1024 and raw interfaces need root, or CAP_NET_BIND_SERVICE and CAP_NET_RAW",
            errno.EPERM: "ports below 1024 and raw interfaces need root, or CAP_NET_BIND_SERVICE and CAP_NET_RAW",
            errno.EADDRINUSE: "another server has the port: dnsmasq, dhcpd, tftpd, or another mayu",
            errno.ENODEV: "there is no such interface: see `ip link`",
            errno.EADDRNOTAVAIL: "the network's `address` is not an address of this machine: see `ip address`",
        }
        hint = hints.get(error.errno or 0, "")
        raise StartError(f"cannot serve {what}: {error.strerror}", hint=hint) from error
