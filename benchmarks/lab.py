"""Where a benchmark runs: per server two namespaces joined by a cable, one CPU for the server, another for the load."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SERVER = "10.99.0.1"
CLIENT = "10.99.255.1"
# Room for every client that a run makes up: a server that has run out of addresses answers nobody.
SUBNET = "10.0.0.0/8"
POOL = ("10.100.0.1", "10.199.250.250")
SERVER_CPU = "0"
LOAD_CPU = "1"
START_SECONDS = 60.0
ROOT = Path(__file__).parents[1]
FIRST_MAC = 0x000C01020304
_TICKS = os.sysconf("SC_CLK_TCK")
LEAST_CPU_SECONDS = 1 / _TICKS
"""Less cannot be told from nothing."""


@dataclass(frozen=True)
class Cable:
    """Two namespaces with an `eth0` each: the server's is SERVER, the client's CLIENT."""

    server: str
    client: str


@contextlib.contextmanager
def cable() -> Iterator[Cable]:
    """A cable of its own for each server, so that no server hears what is meant for another."""
    token = secrets.token_hex(3)
    ends = Cable(f"kbs{token}", f"kbc{token}")
    with contextlib.ExitStack() as undo:
        for name in (ends.server, ends.client):
            _ip("netns", "add", name)
            undo.callback(_ip, "netns", "del", name)
        peer = ("peer", "name", "eth0", "netns", ends.client)
        _ip("-n", ends.server, "link", "add", "eth0", "type", "veth", *peer)
        for name, address in ((ends.server, SERVER), (ends.client, CLIENT)):
            _ip("-n", name, "address", "add", f"{address}/{SUBNET.partition('/')[2]}", "dev", "eth0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "eth0", "up")
        yield ends


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def pinned(namespace: str, cpu: str, argv: Sequence[str]) -> list[str]:
    """The argv that runs a program in a namespace, on one CPU, before whatever else the machine is busy with."""
    return ["ip", "netns", "exec", namespace, "nice", "-n", "-20", "taskset", "-c", cpu, *argv]


@contextlib.contextmanager
def server(ends: Cable, argv: Sequence[str], port: int, log: Path, protocol: str = "udp") -> Iterator[int]:
    """A running server, from the moment its port is bound (`udp`) or listened on (`tcp`); gives its pid."""
    with log.open("wb") as output:
        command = pinned(ends.server, SERVER_CPU, argv)
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT, start_new_session=True)
    try:
        _await_port(process, port, log, protocol)
        yield process.pid
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        # Its own session: what it has forked goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path, protocol: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    # 0A is a listening socket; a UDP socket that is bound shows the wildcard as its remote end.
    wanted = f":{port:04X} 00000000:0000 {'0A' if protocol == 'tcp' else ''}"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if wanted in Path(f"/proc/{process.pid}/net/{protocol}").read_text():
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} has not bound {protocol} port {port}:\n{log.read_text(errors='replace')}")


def load(ends: Cable, argv: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Runs a load generator to its end, whatever its exit code."""
    command = pinned(ends.client, LOAD_CPU, argv)
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, check=False)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all below it, dead children included."""
    return sum(family(pid).values()) / _TICKS


def family(pid: int) -> dict[int, int]:
    """A process and all below it, each with its CPU time in clock ticks."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
                ticks[int(entry.name)] = sum(map(int, fields[11:15]))
    members = [pid]
    for member in members:
        members += children.get(member, [])
    return {member: ticks[member] for member in members if member in ticks}


def await_idle(pid: int, patience: float = 1.5) -> None:
    """Waits until a server has worked off what an overload has left in its queue, or for `patience` seconds."""
    deadline = time.monotonic() + patience
    before = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(0.1)
        now = cpu_seconds(pid)
        if now - before <= 0.01:
            return
        before = now


MAYU_CONFIG = """\
networks:
  - name: rack
    interface: eth0
    address: {address}
    subnet: {subnet}
    range: {{start: {pool[0]}, end: {pool[1]}}}
tftp: {{root: {folder}}}
boot: {{bios: file, uefi_x64: file}}
images:
  node: {{directory: {folder}, kernel: file, initrd: file}}
profiles:
  - name: node
    image: node
    ignition: node.bu
    values: {{ssh_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI core@rack, motd: Welcome to the rack.}}
unknown_hosts: enrol
default_profile: node
hosts:
{hosts}
"""


def mac(number: int) -> str:
    """The MAC of a known host; perfdhcp counts up in the same way."""
    return ":".join(f"{FIRST_MAC + number:012x}"[at : at + 2] for at in range(0, 12, 2))


def serial(number: int) -> str:
    """The serial of a known host."""
    return f"S{number:06d}"


def address(number: int) -> str:
    """The address of a known host, for up to 15,000 of them."""
    return f"10.99.{number // 250 + 1}.{number % 250 + 1}"


EMPTY_TEMPLATE = "variant: fcos\nversion: 1.4.0\n"


def mayu(folder: Path, macs: Sequence[str] = (), template: str = EMPTY_TEMPLATE) -> list[str]:
    """The argv of the whole server, all of its workers, for a folder that holds `file`. The MACs are its known hosts."""
    hosts = "\n".join(
        f"  - {{name: n{i}, serial: {serial(i)}, macs: ['{mac}'], address: {address(i)}, profile: node,"
        f" values: {{position: row 1 rack {i // 40} unit {i % 40}, secret: secret of {i}}}}}"
        for i, mac in enumerate(macs)
    )
    (folder / "node.bu").write_text(template)
    config = folder / "mayu.yaml"
    config.write_text(MAYU_CONFIG.format(address=SERVER, subnet=SUBNET, pool=POOL, folder=folder, hosts=hosts or "  []"))
    return [sys.executable, "-m", "mayu_py", "serve", "--config", str(config)]


NGINX_CONFIG = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  open_file_cache max=20000;
  client_body_temp_path {folder}/body;
  server {{ listen {address}:80 backlog=4096; root {root}; default_type application/octet-stream; }}
}}
"""


def nginx(folder: Path, root: Path) -> list[str]:
    """The argv of nginx with static files, as well tuned as it is for them: open files are kept, nothing is logged."""
    config = folder / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(folder=folder, root=root, address=SERVER))
    return ["nginx", "-p", str(folder), "-c", str(config)]
