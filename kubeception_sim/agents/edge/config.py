"""What HAProxy of the outer cluster is told: gates -> haproxy.cfg. Pure; twice the same for the same gates.

Clients come through the balancer, which says who they are (PROXY protocol, version 2), and that is handed on. A name that
nobody has gets nothing: TLS is closed, HTTP gets 404.
"""

from collections.abc import Iterable

from kubeception_sim.agents.edge.gates import Gate, Server

CLUSTERS, INGRESSES = "clusters", "ingresses"
"""What may be followed."""
HEALTH_PORT = 9083
API_PORT, HTTP_PORT, HTTPS_PORT = 6443, 8080, 8443
"""Where it listens: names of APIs, HTTP, and TLS of what runs in clusters."""
SOCKET = "haproxy.sock"
"""In its folder: for status, and for handing listeners on."""
MASTER_PORT, WORKER_PORT = 6443, 30080
"""Where the pod of a machine lets connections in."""

HEAD = """\
global
  log stdout format raw local0 notice
  stats socket {folder}/haproxy.sock mode 600 level admin expose-fd listeners
  maxconn 4000
  # A worker that was replaced goes on for the connections that it has; watches may last for ever.
  hard-stop-after 30m

defaults
  log global
  mode tcp
  balance leastconn
  option redispatch 1
  retries 3
  option clitcpka
  option srvtcpka
  timeout connect 5s
  timeout check 5s
  timeout http-request 10s
  timeout http-keep-alive 60s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
"""
IDLE = "  option idle-close-on-response"
"""At a reload a client that is silent keeps its connection until its next answer says that it is the last."""
TLS = """\
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
  tcp-request content reject"""


def render(
    gates: Iterable[Gate], domain: str, folder: str, ports: tuple[int, int, int] = (API_PORT, HTTP_PORT, HTTPS_PORT)
) -> str:
    """The file. Below `domain` are the names of clusters; `folder` is HAProxy's own."""
    api_port, http_port, https_port = ports
    found = {each.cluster: each for each in gates}
    api = (f"  use_backend api-{name} if {{ req.ssl_sni -i api.{name}.{domain} }}" for name in found)
    https = (f"  use_backend https-{name} if {{ req.ssl_sni -i -m end .{name}.{domain} }}" for name in found)
    http = (f"  use_backend http-{name} if {{ req.hdr(host),host_only -i -m end .{name}.{domain} }}" for name in found)
    return "\n".join(
        [
            HEAD.format(folder=folder),
            _frontend("api", "tcp", api_port, (TLS, *api)),
            _frontend("https", "tcp", https_port, (TLS, *https)),
            _frontend("http", "http", http_port, (IDLE, *http, "  default_backend nobody")),
            "backend nobody\n  mode http\n  http-request deny deny_status 404\n",
            *(_backends(each) for each in found.values()),
        ]
    )


def _frontend(name: str, mode: str, port: int, rules: Iterable[str]) -> str:
    return "\n".join([f"frontend {name}", f"  mode {mode}", f"  bind :{port} accept-proxy", *rules, ""])


def _backends(gate: Gate) -> str:
    return "\n".join(
        [
            _backend(f"api-{gate.cluster}", "tcp", gate.masters, MASTER_PORT, ""),
            _backend(f"https-{gate.cluster}", "tcp", gate.workers, WORKER_PORT, " send-proxy-v2 check-send-proxy"),
            _backend(f"http-{gate.cluster}", "http", gate.workers, WORKER_PORT, " send-proxy-v2 check-send-proxy"),
        ]
    )


def _backend(name: str, mode: str, servers: Iterable[Server], port: int, options: str) -> str:
    checked = f"check inter 2s fall 2 rise 1 on-marked-down shutdown-sessions{options}"
    lines = [f"backend {name}", f"  mode {mode}", *(f"  server {each.name} {each.address}:{port} {checked}" for each in servers)]
    return "".join(f"{line}\n" for line in lines)
