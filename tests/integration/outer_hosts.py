"""A cluster's hosts as far as a rotation meets them: files, containers that see what there was when they started, TLS servers."""

import base64
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from kubeception_sim.giantnetes.bringup import OuterCluster, write_kubeconfig
from kubeception_sim.giantnetes.certificates import Certificates
from kubeception_sim.giantnetes.cluster import Cluster, Host
from kubeception_sim.giantnetes.components import ADMINISTRATOR, MOUNTS, administrator, of_host
from kubeception_sim.giantnetes.rotation import HEALTH, SERVED, files, pod
from kubeception_sim.giantnetes.values import Pair, pki_values
from kubeception_sim.machines import MachineState
from kubeception_sim.model.scenario import Role
from kubeception_sim.model.timeline import Timeline
from kubeception_sim.pki.embedded import EmbeddedAuthority
from kubeception_sim.run import Completed

STAGED = "/run/giantnetes-turn/"
PODS = (*(name for name in HEALTH if name != "kubelet"), "kube-proxy")


@dataclass
class Container:
    id: str
    files: dict[str, bytes]
    running: bool = True


class SimulatedHost:
    """One machine. `stuck` are static pods that do not start again once they have ended, `ill` those that do not answer, and
    `stubborn` those that only SIGKILL ends."""

    def __init__(self, host: Host, files: dict[str, bytes]) -> None:
        self.host = host
        self.files = files
        self.staged: dict[str, bytes] = {}
        self.kubelet = 100
        self.power = MachineState.RUNNING
        self.stuck: set[str] = set()
        self.ill: set[str] = set()
        self.stubborn: set[str] = set()
        self.started = 0
        names = PODS if host.role is Role.MASTER else ("kube-proxy",)
        self.pods = {name: self._container() for name in names}

    def _container(self) -> Container:
        self.started += 1
        return Container(f"c{self.started}", dict(self.files))

    def state(self) -> MachineState:
        return self.power

    def push(self, source: Path, target: str) -> None:
        for path in source.rglob("*"):
            if path.is_file():
                self.staged[f"{target}/{path.relative_to(source)}"] = path.read_bytes()

    def execute(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None, check: bool = True) -> Completed:
        code, said = self._run(tuple(argv))
        assert code == 0 or not check, argv
        return Completed(tuple(argv), code, said, "", timeout)

    def _run(self, argv: tuple[str, ...]) -> tuple[int, str]:
        match argv:
            case ("sh", "-c", script, "texts", *paths):
                assert "base64" in script
                found = [path for path in paths if path in self.files]
                return 0, "".join(f"{path}\n{base64.b64encode(self.files[path]).decode()}\n" for path in found)
            case ("sh", "-c", _):
                self.files.update({path.removeprefix(STAGED.rstrip("/")): data for path, data in self.staged.items()})
                self.staged.clear()
                return 0, ""
            case ("cat", path):
                return 0, self._text(path)
            case ("systemctl", "restart", _):
                self.kubelet += 1
                return 0, ""
            case ("systemctl", *_):
                return 0, f"{self.kubelet}\n"
            case ("curl", *_, url):
                name = next(name for name, each in HEALTH.items() if each == url)
                runs = name == "kubelet" or self.pods[name].running
                return (0 if runs and name not in self.ill else 22), ""
            case ("ctr", _, _, "containers", *_, wanted):
                return 0, "".join(f"{each.id}\n" for name, each in self.pods.items() if f"=={name}," in wanted)
            case ("ctr", _, _, "tasks", "list"):
                rows = [f"{each.id} {pid} {'RUNNING' if each.running else 'STOPPED'}\n" for pid, each in self._pids().items()]
                return 0, "TASK PID STATUS\n" + "".join(rows)
            case ("ctr", _, _, "tasks", "kill", _, signal, killed):
                self._end(killed, signal)
                return 0, ""
        raise AssertionError(argv)

    def _pids(self) -> dict[int, Container]:
        return dict(enumerate(self.pods.values(), 1000))

    def _text(self, path: str) -> str:
        if path.startswith("/proc/"):
            _, _, pid, _, inside = path.split("/", 4)
            container = self._pids()[int(pid)]
            # kube-proxy mounts the folder: it sees what is there now.
            seen = self.files if container is self.pods["kube-proxy"] else container.files
            return seen[f"/{inside}"].decode()
        return self.files[path].decode()

    def _end(self, killed: str, signal: str) -> None:
        name = next(name for name, each in self.pods.items() if each.id == killed)
        if name in self.stubborn and signal != "SIGKILL":
            return
        self.pods[name].running = False
        if name not in self.stuck:
            self.pods[name] = self._container()


@dataclass
class SimulatedMayu:
    """Configs with a file for each certificate and key, and one that says the id, which is over all values."""

    cluster: Cluster
    values: dict[str, dict[str, Any]]

    def config(self, host: str) -> Mapping[str, Any]:
        listed = {
            str(path): pair[kind]
            for name, pair in self.values[host]["pki"].items()
            for path, kind in zip(files(name), ("cert", "key"), strict=True)
        }
        identity = hashlib.sha256(json.dumps(self.values[host], sort_keys=True).encode()).hexdigest()[:16]
        listed["/usr/local/bin/giantnetes-joined"] = f'"giantnetes/config": "{identity}"'
        entries = [
            {"path": path, "mode": 0o600, "contents": {"source": "data:;base64," + base64.b64encode(text.encode()).decode()}}
            for path, text in listed.items()
        ]
        return {"storage": {"files": entries}}

    def give(self, host: str, values: Mapping[str, Any]) -> None:
        self.values[host] |= values

    def files(self, host: str) -> dict[str, bytes]:
        return {
            each["path"]: base64.b64decode(each["contents"]["source"].partition(",")[2])
            for each in self.config(host)["storage"]["files"]
        }


@dataclass
class Servers:
    """What listens on the hosts' ports, all on the loopback: each handshake shows what its container has in its files."""

    hosts: Mapping[str, SimulatedHost]
    folder: Path
    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    listening: list[socket.socket] = field(default_factory=list)

    def open(self) -> None:
        for host in self.hosts.values():
            for name, port in SERVED.items() if host.host.role is Role.MASTER else ():
                listener = socket.create_server(("127.0.0.1", 0))
                self.listening.append(listener)
                self.ports[str(host.host.address), port] = listener.getsockname()[1]
                threading.Thread(target=self._serve, args=(listener, host, name), daemon=True).start()

    def close(self) -> None:
        for listener in self.listening:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def connect(self) -> socket.socket:
        """A socket for which the hosts' addresses are there."""
        ports = self.ports

        class Rerouted(socket.socket):
            def connect(self, address: Any) -> None:
                super().connect(("127.0.0.1", ports[address]))

        return Rerouted()

    def _serve(self, listener: socket.socket, host: SimulatedHost, name: str) -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            user = pod(name)
            assert user is not None
            seen = host.pods[user].files
            pair = self.folder / f"{host.host.name}-{name}.pem"
            pair.write_bytes(b"".join(seen[str(path)] for path in files(name)))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair)
            try:
                with context.wrap_socket(raw, server_side=True) as shaken:
                    shaken.recv(1)
            except OSError:
                continue


@dataclass
class Site:
    """A cluster of simulated hosts, with what happened to its balancer and its nodes."""

    bench: Any
    hosts: Mapping[str, SimulatedHost]
    mayu: SimulatedMayu
    outer: OuterCluster
    happened: list[str]
    told: dict[str, str]


def _node(host: Host, config: str) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True"}
    return {"metadata": {"name": host.name, "annotations": {"giantnetes/config": config}}, "status": {"conditions": [ready]}}


class _Observer:
    def __init__(self, told: dict[str, str]) -> None:
        self._told = told

    def update(self, name: str, change: Callable[[Timeline], Timeline]) -> None:
        self._told[name] = change(Timeline(name, name)).config_id


def cluster() -> Cluster:
    """Three masters and a worker."""
    named = [(f"master-{n}", Role.MASTER) for n in (1, 2, 3)] + [("worker-1", Role.WORKER)]
    hosts = tuple(
        Host(name, role, "a", IPv4Address(f"10.77.1.{n}"), IPv4Address("10.77.1.1"), IPv4Network(f"10.60.{n}.0/24"))
        for n, (name, role) in enumerate(named, 11)
    )
    pods, services = IPv4Network("10.60.0.0/16"), IPv4Network("10.61.0.0/16")
    return Cluster("v1.20.2", IPv4Address("10.77.0.1"), pods, services, "cluster.local", hosts)


def site(folder: Path) -> tuple[Site, Servers]:
    """All of it, with certificates by the embedded authority."""
    of, by = cluster(), EmbeddedAuthority(folder / "roots")
    roots = {mount: by.mount(mount) for mount in MOUNTS}
    pairs: dict[str, dict[str, Pair]] = {}
    for host in of.hosts:
        made = {name: by.issue(request) for name, request in of_host(of, host).items()}
        pairs[host.name] = {name: Pair(each.cert, each.key) for name, each in made.items()}
    own = by.issuer(ADMINISTRATOR, (administrator(),)).issue(administrator())
    pki = folder / "pki"
    pki.mkdir()
    for name, text in (("ca.crt", roots["g8s"]), ("admin.crt", own.cert), ("admin.key", own.key)):
        (pki / name).write_text(text)
    certificates = Certificates(
        by, roots, Pair("", ""), pairs, pki / "ca.crt", pki / "admin.crt", pki / "admin.key"
    )  # fmt: skip
    mayu = SimulatedMayu(of, {name: {"pki": pki_values(held)} for name, held in pairs.items()})
    hosts = {host.name: SimulatedHost(host, mayu.files(host.name)) for host in of.hosts}
    servers = Servers(hosts, folder)
    happened: list[str] = []
    told: dict[str, str] = {}
    write_kubeconfig(folder / "kubeconfig", of, certificates)

    class Kubectl:
        kubeconfig = folder / "kubeconfig"

        def __call__(self, *words: str) -> None:
            happened.append(" ".join(words))

        def get(self, *words: str, timeout: float) -> Any:
            return {"items": [_node(host, told.get(host.name, "")) for host in of.hosts] if words == ("nodes",) else []}

    balancer = SimpleNamespace(
        drain=lambda service, name, *, grace: happened.append(f"drain {service}/{name}"),
        admit=lambda service, name, *, within: happened.append(f"admit {service}/{name}"),
    )
    unused = cast("Any", None)
    outer = OuterCluster(
        of, cast("Any", Kubectl()), certificates, unused, unused, cast("Any", balancer), unused, servers.connect, applied=True
    )  # fmt: skip
    bench = SimpleNamespace(
        outer=outer,
        machines=hosts,
        mayu=mayu,
        lab=SimpleNamespace(directory=folder),
        observer=_Observer(told),
        scenario=SimpleNamespace(name="simulated"),
    )
    servers.open()
    return Site(bench, hosts, mayu, outer, happened, told), servers
