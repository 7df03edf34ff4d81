"""The composition root: config -> store -> sockets -> worker processes. Nowhere else is anything wired."""

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from mayu_py import log as logs
from mayu_py.config import Config
from mayu_py.core.exchange import TftpRead
from mayu_py.core.settings import DhcpMode, Dns, Network
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
    with ExitStack() as stack:
        workers = list(_Workers(config, stack, debug=debug).all())
        _open_store(config.settings.state).close()
        Supervisor(workers, _observer(config.settings.state)).run(lambda: _announce(config, ready_fd, began))


@dataclass(frozen=True)
class _Workers:
    """Binds the sockets, before any fork, and makes the workers that will serve them."""

    config: Config
    stack: ExitStack
    debug: bool

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
        http.check_port(http.listen_address(settings), settings.http.port)
        yield from (self.http(f"http-{n}") for n in range(1, settings.http.workers + 1))

    def desk(self, worker: str) -> Desk:
        settings = self.config.settings
        return Desk(worker, settings, lambda: _open_store(settings.state))

    def dhcp(self, name: str, network: Network) -> Worker:
        assert network.interface is not None
        sock = self.bound(f"dhcp on {network.interface}", partial(dhcp.listen, network.interface))

        def run(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure(name, debug=self.debug)
            with self.desk(name) as desk:
                server = dhcp.DhcpServer(sock, network, desk)
                ready()
                server.serve(stop_fd)

        return Worker(name, run)

    def tftp(self, name: str, network: Network) -> Worker:
        sock = self.bound(f"tftp on {network.address}:69", partial(listen_tftp, str(network.address), 69))

        def run(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure(name, debug=self.debug)
            with self.desk(name) as desk:
                server = TftpServer(sock, self.config.settings.tftp.root, recorder=TftpRecorder(desk))
                ready()
                server.serve(stop_fd)

        return Worker(name, run)

    def dns(self, name: str, network: Network, dns: Dns) -> Worker:
        address, port = str(network.address), dns.port
        udp = self.bound(f"dns on {address}:{port}", partial(dns_service.listen_udp, address, port))
        tcp = self.bound(f"dns on {address}:{port}/tcp", partial(dns_service.listen_tcp, address, port))

        def run(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure(name, debug=self.debug)
            with self.desk(name) as desk:
                dns_service.DnsServer(udp, tcp, dns, desk).serve(stop_fd, ready)

        return Worker(name, run)

    def http(self, name: str) -> Worker:
        def run(stop_fd: int, ready: Callable[[], None]) -> None:
            logs.configure(name, debug=self.debug)
            http.serve(lambda: self.desk(name), self.config.settings, self.config.renderer, stop_fd, ready)

        return Worker(name, run)

    def bound(self, what: str, bind: Callable[[], socket.socket]) -> socket.socket:
        return self.stack.enter_context(_bound(what, bind))


def _announce(config: Config, ready_fd: int | None, began: float) -> None:
    settings = config.settings
    log.info(
        "serving %s: dhcp, tftp, %s%s; %d hosts known; ready after %.2f s",
        ", ".join(f"{network.subnet} on {network.interface}" for network in settings.local),
        settings.url(),
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
            errno.EADDRNOTAVAIL: "the network's `address` is not an address of this machine: see `ip address`",
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
