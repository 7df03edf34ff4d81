"""`python -m kubeception_sim.agents.dns`: cluster DNS, as a pod of the cluster that it serves.

--domain NAME     the cluster's domain (cluster.local)
--address ADDR    where to serve DNS (0.0.0.0), port --port (53)
--health PORT     where to serve HTTP (8080)
--upstream FILE   a resolv.conf; names of others are asked there, or refused when it names no server
"""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightkube.core.exceptions import ConfigError

from kubeception_sim.agents import api
from kubeception_sim.agents.dns.follow import Follower
from kubeception_sim.agents.dns.server import Server, listen
from kubeception_sim.agents.dns.upstream import RESOLV_CONF, Upstream
from kubeception_sim.agents.health import Health

_log = logging.getLogger("kubeception.dns")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. The exit code: 0, or 1 when it cannot start."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        client = api.connect()
        upstream = Upstream.of(options.upstream.read_text())
        server = Server(*listen(options.address, options.port), upstream)
        follower = Follower(client, options.domain, lambda zone: setattr(server, "zone", zone))
        health = Health((options.address, options.health), lambda: _problem(server, follower), lambda: _metrics(server, follower))
    except (OSError, ConfigError) as error:
        _log.error("cannot start: %s", error)
        return 1
    # A handler must not wait for the loop that it interrupts.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.stop).start())
    threading.Thread(target=health.serve_forever, name="health", daemon=True).start()
    follower.start()
    _log.info("serves %s on %s:%d", options.domain, options.address, options.port)
    server.serve()
    follower.stop()
    health.shutdown()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kubeception_sim.agents.dns", description="Cluster DNS.")
    parser.add_argument("--domain", default="cluster.local", help="the cluster's domain")
    parser.add_argument("--address", default="0.0.0.0", help="where to serve")
    parser.add_argument("--port", type=int, default=53, help="port for DNS, UDP and TCP")
    parser.add_argument("--health", type=int, default=8080, help="port for HTTP: /healthz, /readyz, /metrics")
    parser.add_argument("--upstream", type=Path, default=RESOLV_CONF, help="a resolv.conf with the servers for names of others")
    return parser.parse_args(arguments)


def _problem(server: Server, follower: Follower) -> str:
    """Not the loss of the API: an old zone is better than none, and all replicas lose it at once."""
    if server.zone is not None:
        return ""
    missing = [
        f"{name}: {mirror.problem or 'not listed yet'}" for name, mirror in follower.mirrors.items() if mirror.objects() is None
    ]
    return "\n".join(missing) or "no zone yet"


def _metrics(server: Server, follower: Follower) -> Mapping[str, float]:
    counts = {f'kubeception_dns_answers_total{{kind="{name}"}}': float(value) for name, value in sorted(server.counts.items())}
    return counts | {
        "kubeception_dns_names": float(len(server.zone.names) if server.zone else 0),
        "kubeception_dns_zone_builds_total": float(follower.builds),
        "kubeception_dns_zone_build_seconds": follower.build_seconds,
        "kubeception_dns_api_lost": float(any(mirror.problem for mirror in follower.mirrors.values())),
    }


if __name__ == "__main__":
    sys.exit(main())
