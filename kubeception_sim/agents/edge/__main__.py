"""`python -m kubeception_sim.agents.edge clusters|ingresses`: HAProxy that follows the API (see the package).

clusters          in the outer cluster: the way to the pods of machines; names are below --domain
ingresses         in an inner cluster: the way to what its Ingresses name
--folder PATH     where HAProxy's files are, for this program alone (/run/edge)
--health PORT     where to serve HTTP: /healthz, /readyz, /metrics (9083)
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
from kubeception_sim.agents.edge.config import CLUSTERS, HEALTH_PORT, INGRESSES
from kubeception_sim.agents.edge.follow import Follower
from kubeception_sim.agents.edge.proxy import Proxy
from kubeception_sim.agents.health import Health

_log = logging.getLogger("kubeception.edge")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. The exit code: 0, or 1 when it cannot start."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    with Proxy(options.folder) as proxy:
        try:
            client = api.connect()
            make = {
                CLUSTERS: lambda: Follower.of_clusters(client, proxy, options.domain),
                INGRESSES: lambda: Follower.of_ingresses(client, proxy),
            }
            follower = make[options.what]()
            health = Health(("0.0.0.0", options.health), lambda: follower.problem, lambda: _metrics(follower, proxy))
        except (OSError, ConfigError) as error:
            _log.error("cannot start: %s", error)
            return 1
        for number in (signal.SIGTERM, signal.SIGINT):
            # A handler must not take the locks of the loop that it interrupts.
            signal.signal(number, lambda *_: threading.Thread(target=follower.stop).start())
        threading.Thread(target=health.serve_forever, name="health", daemon=True).start()
        _log.info("follows %s", options.what)
        follower.run()
        health.shutdown()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kubeception_sim.agents.edge", description="The entrance of inner clusters.")
    parser.add_argument("what", choices=(CLUSTERS, INGRESSES), help="what is followed")
    parser.add_argument("--domain", default="", help="below it are the names of clusters")
    parser.add_argument("--folder", type=Path, default=Path("/run/edge"), help="where HAProxy's files are")
    parser.add_argument("--health", type=int, default=HEALTH_PORT, help="port for HTTP: /healthz, /readyz, /metrics")
    options = parser.parse_args(arguments)
    if options.what == CLUSTERS and not options.domain:
        parser.error("which domain? --domain")
    return options


def _metrics(follower: Follower, proxy: Proxy) -> Mapping[str, float]:
    return {
        "kubeception_edge_reloads_total": proxy.reloads,
        "kubeception_edge_failures_total": follower.failures,
        "kubeception_edge_api_lost": follower.api_lost,
    }


if __name__ == "__main__":
    sys.exit(main())
