"""What HAProxy is told: one TCP listener for each service, with the servers behind it and how their health is asked. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path

CHECK_MILLISECONDS = 500
FALL = 2
RISE = 1


class Health(StrEnum):
    """How a server is asked whether it serves."""

    TCP = "tcp"
    """It accepts a connection."""
    API_SERVER = "api-server"
    """It answers GET /readyz over TLS with 200, as an API server does that has its etcd."""


@dataclass(frozen=True)
class Backend:
    """A server behind a service. `name` is what the balancer's status calls it."""

    name: str
    address: IPv4Address
    port: int


@dataclass(frozen=True)
class Service:
    """Where clients connect, and the servers that they reach there. `ca` judges the servers' certificates in health checks;
    without one any certificate will do. What clients send is passed on as it is: TLS ends in the servers. `source` is whom
    servers see; with `tells_client` they are told who the client is (PROXY protocol, version 2), also by health checks."""

    name: str
    address: IPv4Address
    port: int
    backends: tuple[Backend, ...]
    health: Health = Health.API_SERVER
    ca: Path | None = None
    source: IPv4Address | None = None
    tells_client: bool = False


def haproxy_config(services: tuple[Service, ...], socket: Path) -> str:
    """The configuration file; `socket` is for status and commands."""
    return "\n".join([_HEAD.format(socket=socket), *(_listener(service) for service in services)])


def server_options(service: Service) -> str:
    """What a server's line says beside its address. Servers that join later inherit no defaults, so all is said on the line."""
    match service.health:
        case Health.TCP:
            asked = "check"
        case Health.API_SERVER:
            judged = f"verify required ca-file {service.ca}" if service.ca else "verify none"
            asked = f"check check-ssl {judged}"
    seen = f" source {service.source}" if service.source else ""
    told = " send-proxy-v2 check-send-proxy" if service.tells_client else ""
    return f"{asked} inter {CHECK_MILLISECONDS} fall {FALL} rise {RISE} on-marked-down shutdown-sessions{seen}{told}"


def _listener(service: Service) -> str:
    lines = [f"listen {service.name}", f"  bind {service.address}:{service.port}"]
    if service.health is Health.API_SERVER:
        lines += ["  option httpchk GET /readyz", "  http-check expect status 200"]
    options = server_options(service)
    lines += [f"  server {backend.name} {backend.address}:{backend.port} {options}" for backend in service.backends]
    return "".join(f"{line}\n" for line in lines)


# A connection that one server refuses goes to the next at once (redispatch 1), so a dead server costs new clients nothing even
# before its checks have failed. Watches are silent for minutes: only keep-alives of the kernel end them, not a timeout. A server
# that is slow is not asked again before it has had five seconds to answer: handshakes that nobody waits for any more are what an
# API server on an emulated processor suffocates of. One that is gone refuses at once, or after `timeout connect`.
_HEAD = """\
global
  log stdout format raw local0 notice
  stats socket {socket} mode 600 level admin
  stats timeout 30s

defaults
  mode tcp
  log global
  balance leastconn
  option redispatch 1
  retries 3
  option clitcpka
  option srvtcpka
  timeout connect 1s
  timeout check 5s
  timeout client 1h
  timeout server 1h
"""
