"""mayu, the subject under test: its config file, its process, its HTTP API. Met only as a machine's operator meets it."""

import json
import os
import select
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from kubeception_sim.errors import HarnessError
from kubeception_sim.lab import Lab
from kubeception_sim.machines import BootImage
from kubeception_sim.model.scenario import Role, Scenario
from kubeception_sim.network import BRIDGE, Fabric, bridge_of
from kubeception_sim.run import Process, run, spawn

PORT = 4081
ADMIN = ("127.0.0.1", 4080)  # for who is on mayu's own machine, and that is the fabric
TFTP_ROOT = Path("/usr/lib/ipxe")
START_SECONDS = 20.0
ANSWER_SECONDS = 5.0
_PACKAGE_ROOT = Path(__file__).parents[2]

_KERNEL_ARGUMENTS = (
    "ignition.firstboot",
    "ignition.platform.id=metal",
    "ignition.config.url={{ ignition_url }}",
    "testbed.rootfs={{ image.url }}/rootfs",
    "testbed.report={{ report_url }}",
    "quiet",
    "console=ttyS0",
    "net.ifnames=0",
    "rd.systemd.gpt_auto=0",
    "systemd.gpt_auto=0",
    # Ciphers would test themselves at every start of the kernel, on an emulated processor for seconds.
    "cryptomgr.notests",
)
# iPXE has asked DHCP already; asking again in the initrd costs seconds on an emulated CPU.
_STATIC_ADDRESS = "ip={{ host.address }}::{{ network.gateway }}:{{ network.netmask }}::eth0:none"


@dataclass(frozen=True)
class Profiles:
    """What machines are to become: a template and values by the name of a profile, and the hosts' own values by theirs."""

    templates: Mapping[str, Path]
    values: Mapping[str, Mapping[str, Any]]
    hosts: Mapping[str, Mapping[str, Any]]


def own_profiles(scenario: Scenario, values: Mapping[str, Any]) -> Profiles:
    """The profiles that a scenario brings itself. `values` go to each, under its own."""
    return Profiles(
        {profile.name: profile.ignition.absolute() for profile in scenario.profiles},
        {profile.name: {**values, **profile.values} for profile in scenario.profiles},
        {machine.name: machine.values for machine in scenario.machines},
    )


def role_profile(role: Role) -> str:
    """The profile of the machines with a role, and the name of mayu's template for it."""
    return f"giantnetes-{role}"


def role_template(role: Role, folder: Path, server: IPv4Address) -> Path:
    """mayu's own template for a role, as `mayu init` gives it to an operator."""
    argv = (
        sys.executable,
        "-m",
        "mayu_py",
        "init",
        role_profile(role),
        folder / role,
        "--interface",
        BRIDGE,
        "--address",
        f"{server}/24",
    )
    run(argv, timeout=START_SECONDS, env={"PYTHONPATH": os.fspath(_PACKAGE_ROOT)})
    return folder / role / f"{role_profile(role)}.bu"


def config(scenario: Scenario, image: BootImage, profiles: Profiles) -> dict[str, Any]:
    """mayu's config file for a scenario, as data."""
    return {
        "networks": _networks(scenario),
        "http": {"port": PORT},
        "tftp": {"root": os.fspath(TFTP_ROOT)},
        "images": {
            scenario.image: {
                **served(image),
                "args": [*_KERNEL_ARGUMENTS, _STATIC_ADDRESS, f"testbed.sha256={image.rootfs_sha256}"],
            }
        },
        "profiles": [
            {
                "name": name,
                "image": scenario.image,
                "ignition": os.fspath(template),
                "values": dict(profiles.values[name]),
            }
            for name, template in profiles.templates.items()
        ],
        "hosts": [
            {
                "name": machine.name,
                "serial": machine.serial,
                "uuid": machine.uuid,
                "macs": [machine.mac],
                "address": str(machine.address),
                "profile": role_profile(machine.role) if machine.role else machine.profile,
                "values": dict(profiles.hosts.get(machine.name, {})),
            }
            for machine in scenario.machines
        ],
        "unknown_hosts": "ignore",
    }


def served(image: BootImage) -> dict[str, Any]:
    """What mayu serves of an image."""
    return {
        "directory": os.fspath(image.kernel.parent),
        "kernel": image.kernel.name,
        "initrd": image.initrd.name,
        "files": {"rootfs": image.rootfs.name},
    }


def _networks(scenario: Scenario) -> list[dict[str, str]]:
    seats = [(rack.name, bridge_of(rack.name), rack.gateway, rack.subnet) for rack in scenario.fabric.racks]
    alone = ("rack", BRIDGE, scenario.fabric.server, scenario.fabric.subnet)
    return [
        {"name": name, "interface": bridge, "address": str(address), "subnet": str(subnet), "gateway": str(address)}
        for name, bridge, address, subnet in seats or [alone]
    ]


class Mayu:
    """A running `mayu serve` in a fabric."""

    def __init__(self, process: Process, connect: Callable[[], socket.socket], address: IPv4Address) -> None:
        self._process = process
        self._connect = connect
        self._address = address

    @classmethod
    @contextmanager
    def serve(cls, lab: Lab, fabric: Fabric, address: IPv4Address, settings: Mapping[str, Any]) -> Iterator["Mayu"]:
        """Start it and wait until every worker serves. Raises HarnessError with the end of its log when it does not."""
        path = lab.directory / "mayu.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        read, write = os.pipe()
        argv = (sys.executable, "-m", "mayu_py", "serve", "--config", path, "--ready-fd", str(write))
        env = {**lab.env, "PYTHONPATH": os.fspath(_PACKAGE_ROOT)}
        with spawn(argv, log=lab.directory / "mayu.log", env=env, namespace=fabric.namespace, pass_fds=(write,)) as process:
            os.close(write)
            try:
                _await_ready(read, process)
            finally:
                os.close(read)
            yield cls(process, fabric.socket, address)

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self._process.log

    def death(self) -> str:
        """How it ended and the end of its log; empty while it runs."""
        code = self._process.poll()
        return "" if code is None else f"mayu ended with {code}:\n{self._process.tail()}"

    def get(self, path: str) -> Any:
        """GET a JSON document. Raises HarnessError when it does not answer as it should."""
        return self._ask("GET", path, (str(self._address), PORT))

    def config(self, host: str) -> Any:
        """The Ignition config that a host would be served now, decoded. Nothing is noted. Raises HarnessError as `get` does."""
        return self._ask("GET", f"/v1/hosts/{host}/ignition", ADMIN)

    def give(self, host: str, values: Mapping[str, Any]) -> None:
        """Lay values over those of the host's template, as an operator does. Raises HarnessError as `get` does."""
        self._ask("PATCH", f"/v1/hosts/{host}", ADMIN, json.dumps({"values": values}))

    def _ask(self, method: str, path: str, where: tuple[str, int], body: str | None = None) -> Any:
        asked = f"{method} {path}"
        connection = HTTPConnection(*where, timeout=ANSWER_SECONDS)
        try:
            connection.sock = self._connect()
            connection.sock.settimeout(ANSWER_SECONDS)
            connection.sock.connect(where)
            connection.request(method, path, body, {} if body is None else {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = answer.read()
        except (OSError, HTTPException) as error:
            raise HarnessError(f"mayu does not answer {asked}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise HarnessError(f"mayu answers {asked} with {answer.status}: {told.decode(errors='replace').strip()}")
        try:
            return json.loads(told)
        except ValueError as error:
            raise HarnessError(f"mayu answers {asked} with no JSON: {error}") from error

    def workers(self) -> dict[str, tuple[int, bool]]:
        """Worker -> (pid, ready)."""
        return {row["worker"]: (row["pid"], row["ready"]) for row in self.get("/v1/workers")}


def _await_ready(descriptor: int, process: Process) -> None:
    # The pipe reaches its end when mayu dies: nobody waits for the dead.
    readable, _, _ = select.select([descriptor], [], [], START_SECONDS)
    if not readable or os.read(descriptor, 16) != b"ready\n":
        raise HarnessError(f"mayu is not ready after {START_SECONDS:g} s\n{process.tail()}".rstrip())
