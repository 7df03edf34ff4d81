"""The composition root: config -> store -> sockets -> worker processes. Nowhere else is anything wired."""

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

from mayu_py import config
from mayu_py import log as logs
from mayu_py.config import Config
from mayu_py.core.difference import compare
from mayu_py.core.exchange import TftpRead
from mayu_py.core.faces import Admin, Dns
from mayu_py.core.inventory import configured
from mayu_py.core.networks import DhcpMode, Network
from mayu_py.errors import MayuError, StartError, StoreError
from mayu_py.services import dhcp, dhcp_admission, dhcp_rogue
from mayu_py.services import dns as dns_service
from mayu_py.services.desk import Desk
from mayu_py.services.http import server as http
from mayu_py.services.listeners import Listeners
from mayu_py.services.tftp import TftpServer
from mayu_py.services.tftp import listen as listen_tftp
from mayu_py.store import Happened, Stamp, WorkerStatus
from mayu_py.store.sqlite import SqliteStore
from mayu_py.supervisor import Observed, Supervisor, Worker

log = logging.getLogger(__name__)

T = TypeVar("T")


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
        self._desk.count("tftp.sent", "files")
        self._desk.count("tftp.sent", "bytes", size)
        # Said again: beside a server that owns the addresses, this one may have been learnt a moment after the request.
        self._desk.answer(TftpRead(IPv4Address(peer[0]), file))
        host = self._desk.snapshot().by_address.get(IPv4Address(peer[0]))
        if host is not None:
            self._desk.happened("tftp", host, file=file, bytes=size, seconds=round(seconds, 3))

    def aborted(self, peer: tuple[str, int], file: str, why: str) -> None:
        """A transfer has ended early; EDK2 does so by design when it only wanted the size."""
        self._desk.count("tftp.aborted", why.partition(":")[0])
        log.debug("tftp: %s gave up %s: %s", peer[0], file, why)


def serve(path: Path, *, ready_fd: int | None = None, debug: bool = False) -> None:
    """Run the server until SIGTERM or SIGINT; SIGHUP has it read its config file again.

    Raises ConfigError, StartError or StoreError before anything is served.
    """
    began = time.monotonic()
    with Listeners() as listeners:
        service = Service(path, listeners, debug=debug)
        workers = service.prepare()
        service.begin()
        Supervisor(workers, service.observe, service).run(lambda: service.announce(ready_fd, began))


class Service:
    """The config in service, and how another takes its place."""

    def __init__(self, path: Path, listeners: Listeners, *, debug: bool) -> None:
        self._path = path
        self._listeners = listeners
        self._debug = debug
        self._serving: Config | None = None
        self._generation = 0
        self._next: Config | None = None
        self._asked = 0

    def prepare(self) -> Sequence[Worker]:
        """Read and check the config, and bind its sockets. Raises MayuError with every problem."""
        if self._serving is not None:
            with closing(self._store(self._serving)) as store:
                self._asked = store.asked()
        found = config.read(self._path)
        if self._serving is not None and found.settings.state != self._serving.settings.state:
            why = f"{self._path}: `state` is another file: {found.settings.state}"
            raise StartError(why, hint="mayu takes its state along only when it is started anew")
        self._next = found
        workers = list(_Workers(found, self._listeners, debug=self._debug).all())
        mine = self._listeners.claimed()
        return [Worker(worker.name, partial(self._run, worker, mine)) for worker in workers]

    def _run(self, worker: Worker, mine: Sequence[socket.socket], stop_fd: int, ready: Callable[[], None]) -> None:
        """Runs in the worker's process. It has inherited the sockets of the configs before and after its own as well."""
        self._listeners.leave_only(mine)
        worker.run(stop_fd, ready)

    def begin(self) -> None:
        """The first config of this server. Raises StoreError."""
        assert self._next is not None
        with closing(self._store(self._next)) as store:
            self._generation = store.load(os.getpid(), {}, 0).number
        self._settle()

    def commit(self) -> None:
        """The new config serves. Raises StoreError: then it does not."""
        assert self._serving is not None
        assert self._next is not None
        old, new = self._serving, self._next
        difference = compare(old.settings, new.settings, _digests(old), _digests(new))
        with closing(self._store(old)) as store:
            self._generation = store.load(os.getpid(), difference.as_detail(), self._asked).number
        log.info("config %s is generation %d: %s", self._path, self._generation, difference)
        self._settle()

    def abandon(self, error: MayuError) -> None:
        """The last good config stays; whoever asked learns why."""
        self._next = None
        self._listeners.give_up()
        problems = [line for line in (*error.message.splitlines(), error.hint) if line]
        for problem in problems:
            log.error("reload: %s", problem)
        log.error("reload refused: generation %d serves on", self._generation)
        assert self._serving is not None
        with _survived("the refusal is not written down"), closing(self._store(self._serving)) as store:
            store.refuse_reload(problems, self._asked)

    def observe(self, change: Observed, workers: Sequence[tuple[str, int, bool, int]]) -> None:
        """Write the workers' state where /readyz and /v1/workers find it. Opens the store anew: a fork may come next."""
        assert self._serving is not None
        with _survived("the workers' state is not written down"), closing(self._store(self._serving)) as store:
            store.set_workers([WorkerStatus(*worker, self._generation) for worker in workers])
            detail = {"worker": change.worker, "what": change.what, **({"why": change.detail} if change.detail else {})}
            store.record([(Happened("worker", detail), Stamp.now())])

    def announce(self, ready_fd: int | None, began: float) -> None:
        """Every worker serves."""
        assert self._serving is not None
        settings = self._serving.settings
        log.info(
            "serving %s: dhcp, tftp, %s; %d hosts known; ready after %.2f s",
            ", ".join(f"{network.subnet} on {network.interface}" for network in settings.local),
            settings.url(),
            len(settings.hosts),
            time.monotonic() - began,
        )
        if ready_fd is not None:
            os.write(ready_fd, b"ready\n")
            os.close(ready_fd)

    def _settle(self) -> None:
        self._serving, self._next = self._next, None
        self._listeners.settle()

    def _store(self, of: Config) -> SqliteStore:
        return SqliteStore(of.settings.state)


def _digests(of: Config) -> dict[str, str]:
    """Host name -> the digest of its Ignition config."""
    return {host.name: of.renderer.config(host).sha256 for host in configured(of.settings)}


@contextmanager
def _survived(what: str) -> Iterator[None]:
    """A disk that is full must not take the server down."""
    try:
        yield
    except StoreError as error:
        log.error("%s: %s", what, error.message)


@dataclass(frozen=True)
class _Workers:
    """Binds the sockets, before any fork, and makes the workers that will serve them."""

    config: Config
    listeners: Listeners
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
        listener = self.http_listener(http.listen_address(settings), settings.http.port)
        yield from (self.http(f"http-{n}", listener) for n in range(1, settings.http.workers + 1))
        yield self.admin("admin-1", settings.admin)

    def desk(self, worker: str) -> Desk:
        settings = self.config.settings
        return Desk(worker, settings, lambda: _open_store(settings.state))

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
            http.serve_admin(lambda: self.desk(name), listener, face.tls, self.config.renderer, stop_fd, ready)

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
