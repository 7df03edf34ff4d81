"""`python -m kubeception_sim.agents.policy`: NetworkPolicy of the node that it runs on, in the node's own network.

--node NAME       the node ($NODE_NAME)
--health PORT     where to serve HTTP, on the node's loopback only (9797)
--remove          take the table away, and end: the pods of the node are then open

The table stays when the program ends: a pod that is isolated stays so.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from lightkube.core.exceptions import ConfigError

from kubeception_sim.agents import api
from kubeception_sim.agents.health import Health
from kubeception_sim.agents.policy import kernel
from kubeception_sim.agents.policy.follow import Follower

_log = logging.getLogger("kubeception.policy")

LOOPBACK = "127.0.0.1"
HEALTH_PORT = 9797


def main(arguments: Sequence[str] | None = None) -> int:
    """Follow until SIGTERM. The exit code: 0, or 1 when it cannot start."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        if options.remove:
            kernel.remove()
            return 0
        follower = Follower(api.connect(), options.node, kernel)
        health = Health((LOOPBACK, options.health), lambda: follower.problem, lambda: _metrics(follower))
    except (OSError, ConfigError, kernel.Refused) as error:
        _log.error("cannot start: %s", error)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        # A handler must not take the locks of the loop that it interrupts.
        signal.signal(number, lambda *_: threading.Thread(target=follower.stop).start())
    threading.Thread(target=health.serve_forever, name="health", daemon=True).start()
    _log.info("enforces the policies of the pods of %s", options.node)
    follower.run()
    health.shutdown()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kubeception_sim.agents.policy", description="NetworkPolicy of one node.")
    parser.add_argument("--node", default=os.environ.get("NODE_NAME", ""), help="the node's name in the API ($NODE_NAME)")
    parser.add_argument("--health", type=int, default=HEALTH_PORT, help="port for HTTP: /healthz, /readyz, /metrics")
    parser.add_argument("--remove", action="store_true", help="take the table away, and end")
    options = parser.parse_args(arguments)
    if not options.node and not options.remove:
        parser.error("which node? --node, or $NODE_NAME")
    return options


def _metrics(follower: Follower) -> Mapping[str, float]:
    gates = {"ingress": follower.ruleset.ingress, "egress": follower.ruleset.egress}
    counts: dict[str, float] = {}
    for direction, found in gates.items():
        counts[f'kubeception_policy_isolated{{direction="{direction}"}}'] = len(found)
        counts[f'kubeception_policy_rules{{direction="{direction}"}}'] = sum(map(len, set(found.values())))
    return counts | {
        "kubeception_policy_applies_total": follower.applies,
        "kubeception_policy_apply_seconds": follower.apply_seconds,
        "kubeception_policy_failures_total": follower.failures,
        "kubeception_policy_enforced": not follower.problem,
        "kubeception_policy_api_lost": follower.api_lost,
    }


if __name__ == "__main__":
    sys.exit(main())
