"""The balancer before the API servers: HAProxy, running in the fabric's namespace.

A person looks inside with `echo show stat | nc -U <lab>/balancer/haproxy.ctl`, from any namespace: the socket is a file.
"""

import csv
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.errors import BadInput, DeadlineExceeded, HarnessError
from kubeception_sim.lab import Lab
from kubeception_sim.network.fabric import Fabric
from kubeception_sim.network.haproxy import Backend, Service, haproxy_config, server_options
from kubeception_sim.run import Process, require, spawn

READY_SECONDS = 10.0
_COMMAND_SECONDS = 10.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class BackendStatus:
    """A server as the balancer sees it. `up` is whether new connections go there, `sessions` how many are open,
    `why` what the last health check came to, in HAProxy's words (L4CON, L6OK, L7STS ...)."""

    service: str
    name: str
    up: bool
    sessions: int
    why: str


class Balancer:
    """A running balancer. Made by `Balancer.start`."""

    def __init__(self, process: Process, control: Path, services: tuple[Service, ...]) -> None:
        self.process = process
        self.control = control
        self._services = {service.name: service for service in services}

    @classmethod
    @contextmanager
    def start(cls, lab: Lab, fabric: Fabric, services: tuple[Service, ...], name: str = "balancer") -> Iterator["Balancer"]:
        """HAProxy before `services`; returns when it listens, which says nothing of the servers. `name` is its folder's.

        Raises MissingTool without HAProxy, HarnessError with the end of its log when it does not come up.
        """
        require("haproxy", "haproxy")
        folder = lab.subdirectory(name)
        config, control = folder / "haproxy.cfg", folder / "haproxy.ctl"
        config.write_text(haproxy_config(services, control))
        argv = ("haproxy", "-db", "-f", config)
        # Sessions of clients do not end by themselves, so there is nothing to wait for on the way out.
        with spawn(argv, log=folder / "haproxy.log", env=lab.env, namespace=fabric.namespace, grace=1) as process:
            balancer = cls(process, control, services)
            balancer._await(balancer._answers, READY_SECONDS)
            yield balancer

    def backends(self) -> list[BackendStatus]:
        """Every server of every service, in the order of the file; those that joined later come last."""
        return parse_status(self._ask("show stat"))

    def await_up(self, service: str, *, within: float) -> None:
        """Wait until some server of `service` takes connections. Raises DeadlineExceeded with what the checks say."""
        self._await(lambda: any(each.up for each in self.backends() if each.service == service), within)

    def add(self, service: str, backend: Backend) -> None:
        """One more server for a running service; open connections stay. Raises BadInput when it is not taken."""
        options = server_options(self._service(service))
        name = f"{service}/{backend.name}"
        said = self._ask(f"add server {name} {backend.address}:{backend.port} {options}")
        if "New server registered" not in said:
            raise BadInput(f"the balancer takes no server {name}: {said.strip()}")
        self._ask(f"enable health {name}")
        self._ask(f"enable server {name}")

    def remove(self, service: str, backend: str, *, grace: float) -> None:
        """Take a server out: no new connections at once, `grace` seconds for open ones to end, then they are shut.

        Raises BadInput for a server that is not there.
        """
        name = f"{service}/{backend}"
        self._set_state(service, backend, "maint")
        self._await_silence(service, backend, grace)
        self._ask(f"shutdown sessions server {name}")
        self._await(lambda: "Server deleted" in self._ask(f"del server {name}"), _COMMAND_SECONDS)

    def drain(self, service: str, backend: str, *, grace: float) -> None:
        """No new connections to a server; returns when all are gone, or after `grace` seconds. Health is asked as ever.

        Raises BadInput for a server that is not there.
        """
        self._set_state(service, backend, "drain")
        self._await_silence(service, backend, grace)

    def _await_silence(self, service: str, backend: str, grace: float) -> None:
        deadline = time.monotonic() + grace
        while self._sessions(service, backend) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def admit(self, service: str, backend: str, *, within: float) -> None:
        """Send clients to a server again, and wait until it takes them; with 0 seconds that is left to the health checks.

        Raises BadInput for a server that is not there, DeadlineExceeded with what the checks say.
        """
        self._set_state(service, backend, "ready")
        if within:
            self._await(
                lambda: any(each.up for each in self.backends() if (each.service, each.name) == (service, backend)), within
            )

    def _set_state(self, service: str, backend: str, state: str) -> None:
        self._service(service)
        if said := self._ask(f"set server {service}/{backend} state {state}").strip():
            raise BadInput(f"the balancer has no server {service}/{backend}: {said}")

    def _service(self, name: str) -> Service:
        if name not in self._services:
            raise BadInput(f"the balancer has no service {name!r}", hint=f"its services: {', '.join(self._services)}")
        return self._services[name]

    def _sessions(self, service: str, backend: str) -> int:
        return sum(each.sessions for each in self.backends() if (each.service, each.name) == (service, backend))

    def _answers(self) -> bool:
        try:
            return self.control.is_socket() and "# pxname" in self._ask("show stat")
        except HarnessError:
            # The control socket is there before the services' listeners are: HAProxy may yet end for want of one.
            return False

    def _ask(self, command: str) -> str:
        """A command on the control socket, which closes after one answer."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(_COMMAND_SECONDS)
            try:
                asked.connect(str(self.control))
                asked.sendall(f"{command}\n".encode())
                return b"".join(iter(lambda: asked.recv(65536), b"")).decode()
            except OSError as error:
                raise HarnessError(
                    f"the balancer does not answer {command!r}: {error}\n{self.process.tail()}".rstrip()
                ) from error

    def _await(self, reached: Callable[[], bool], within: float) -> None:
        deadline = time.monotonic() + within
        while True:
            if (code := self.process.poll()) is not None:
                raise HarnessError(f"the balancer ended with {code}\n{self.process.tail()}".rstrip())
            if reached():
                return
            if time.monotonic() > deadline:
                last = self.backends() if self.control.is_socket() else "no control socket"
                raise DeadlineExceeded(
                    f"the balancer is not as wanted after {within:g} s: {last}\n{self.process.tail()}".rstrip()
                )
            time.sleep(_POLL_SECONDS)


def parse_status(text: str) -> list[BackendStatus]:
    """What `show stat` prints: CSV, with a line for each server between those for the listener and for all."""
    rows = csv.DictReader(text.removeprefix("# ").strip().splitlines())
    return [
        BackendStatus(
            row["pxname"], row["svname"], row["status"].startswith("UP"), int(row["scur"]), row["check_status"].strip("* ")
        )
        for row in rows
        if row["svname"] not in ("FRONTEND", "BACKEND")
    ]
