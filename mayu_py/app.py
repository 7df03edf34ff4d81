"""The composition root: config -> store -> sockets -> worker processes. Nowhere else is anything wired."""

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from ipaddress import IPv4Address
from pathlib import Path

from mayu_py import log as logs
from mayu_py.config import Config
from mayu_py.core.exchange import TftpRead
from mayu_py.core.settings import Dns, Network
from mayu_py.errors import StartError
from mayu_py.services import dhcp
from mayu_py.services import dns as dns_service
from mayu_py.services.desk import Desk
from mayu_py.services.http import server as http
from mayu_py.services.tftp import TftpServer
from mayu_py.services.tftp import listen as listen_tftp
from mayu_py.store import Happened, Stamp, WorkerStatus
from mayu_py.store.sqlite import SqliteStore
from mayu_py.supervisor import Observed, Supervisor, Worker

log = logging.getLogger(__name__)


class TftpRecorder:
    """Brings what the TFTP service sees to the worker's desk: a peer's address becomes a host."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def count(self, name: str, reason: str, n: int = 1) -> None:
        """Add to a counter."""
        self._desk.count(f"tftp.{name}", reason, n)

    def started(self, peer: tuple[str, int], file: str) -> None:
        """A transfer has begun: its host has reached the stage `tftp`."""
        self._desk.answer(TftpRead(IPv4Address(peer[0]), file))

    def finished(self, peer: tuple[str, int], file: str, size: int, seconds: float) -> None:
        """A transfer is complete."""
        host = self._desk.snapshot().by_address.get(IPv4Address(peer[0]))
        if host is not None:
            self._desk.happened("tftp", host, file=file, bytes=size, seconds=round(seconds, 3))

    def aborted(self, peer: tuple[str, int], file: str, why: str) -> None:
        """A transfer has ended early; EDK2 does so by design when it only wanted the size."""
        log.debug("tftp: %s gave up %s: %s", peer[0], file, why)


def serve(config: Config, *, ready_fd: int | None = None, debug: bool = False) -> None:
    """Run the server until SIGTERM or SIGINT. Raises StartError or StoreError before anything is served."""
    began = time.monotonic()
    settings = config.settings
    network = settings.network
    with ExitStack() as stack:
        dhcp_socket = stack.enter_context(_bound(f"dhcp on {network.interface}", lambda: dhcp.listen(network)))
        tftp_socket = stack.enter_context(_bound(f"tftp on {network.address}:69", lambda: listen_tftp(str(network.address), 69)))
        dns_sockets = _dns_sockets(stack, settings.dns, network) if settings.dns is not None else None
        http.check_port(network.address, settings.http.port)
        _open_store(settings.state).close()

        def desk(worker: str) -> Desk:
            return Desk(worker, settings, lambda: _open_store(settings.state))

        def run_dhcp(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure("dhcp", debug=debug)
            with desk("dhcp") as mine:
                server = dhcp.DhcpServer(dhcp_socket, mine)
                ready()
                server.serve(stop_fd)

        def run_tftp(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure("tftp", debug=debug)
            with desk("tftp") as mine:
                server = TftpServer(tftp_socket, settings.tftp.root, recorder=TftpRecorder(mine))
                ready()
                server.serve(stop_fd)

        def run_dns(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure("dns", debug=debug)
            assert dns_sockets is not None
            assert settings.dns is not None
            with desk("dns") as mine:
                dns_service.DnsServer(*dns_sockets, settings.dns, mine).serve(stop_fd, ready)

        def run_http(name: str) -> Callable[[int, Callable[[], None]], None]:
            def run(stop_fd: int, ready: Callable[[], None]) -> None:
                logs.configure(name, debug=debug)
                http.serve(lambda: desk(name), settings, config.renderer, stop_fd, ready)

            return run

        names = [f"http-{n}" for n in range(1, settings.http.workers + 1)]
        workers = [Worker("dhcp", run_dhcp), Worker("tftp", run_tftp), *(Worker(n, run_http(n)) for n in names)]
        if dns_sockets is not None:
            workers.append(Worker("dns", run_dns))
        Supervisor(workers, _observer(settings.state)).run(lambda: _announce(config, ready_fd, began))


def _dns_sockets(stack: ExitStack, dns: Dns, network: Network) -> tuple[socket.socket, socket.socket]:
    address, port = str(network.address), dns.port
    udp = stack.enter_context(_bound(f"dns on {address}:{port}", lambda: dns_service.listen_udp(address, port)))
    tcp = stack.enter_context(_bound(f"dns on {address}:{port}/tcp", lambda: dns_service.listen_tcp(address, port)))
    return udp, tcp


def _announce(config: Config, ready_fd: int | None, began: float) -> None:
    settings = config.settings
    log.info(
        "serving %s on %s: dhcp, tftp, %s%s; %d hosts known; ready after %.2f s",
        settings.network.subnet,
        settings.network.interface,
        settings.url,
        f", names below {settings.dns.zone}" if settings.dns else "",
        len(settings.hosts),
        time.monotonic() - began,
    )
    if ready_fd is not None:
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)


def _open_store(path: Path) -> SqliteStore:
    return SqliteStore(path)


def _bound(what: str, bind: Callable[[], socket.socket]) -> socket.socket:
    try:
        return bind()
    except OSError as error:
        hints = {
            errno.EACCES: "ports below 1024 and raw interfaces need root, or CAP_NET_BIND_SERVICE and CAP_NET_RAW",
            errno.EPERM: "ports below 1024 and raw interfaces need root, or CAP_NET_BIND_SERVICE and CAP_NET_RAW",
            errno.EADDRINUSE: "another server has the port: dnsmasq, dhcpd, tftpd, or another mayu",
            errno.ENODEV: "there is no such interface: see `ip link`",
            errno.EADDRNOTAVAIL: "network.address is not an address of this machine: see `ip address`",
        }
        hint = hints.get(error.errno or 0, "")
        raise StartError(f"cannot serve {what}: {error.strerror}", hint=hint) from error


def _observer(state: Path) -> Callable[[Observed, Sequence[tuple[str, int, bool, int]]], None]:
    """Writes the workers' state where /readyz and /v1/workers find it. Opens the store anew: a fork may come next."""

    def observe(change: Observed, workers: Sequence[tuple[str, int, bool, int]]) -> None:
        with closing(_open_store(state)) as store:
            store.set_workers([WorkerStatus(*worker) for worker in workers])
            detail = {"worker": change.worker, "what": change.what, **({"why": change.detail} if change.detail else {})}
            store.record([(Happened("worker", detail), Stamp.now())])

    return observe
