"""`python -m kubeception_sim.agents.bridge setup|run`: the network of a machine's pod (place.py has its environment).

setup   before the machine starts: bridge, VXLAN, cable and rules. May be done again; ends with 1 when it cannot be done
run     keeps them, and the machine's lease, until the machine is off after SIGTERM. HTTP is on --health (9081): /healthz (bridge,
        VXLAN, address and rules are there), /readyz (and the peers are known), /peers (JSON), /metrics

NETWORK_ETCD                        environment: the store's URL
/run/network/{ca.crt,user,password} its authority, and this cluster's user

Why it ends is the container's termination message too (`kubectl describe pod`).
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kubeception_sim.agents.bridge import leases, place
from kubeception_sim.agents.bridge.etcd import Account, Etcd
from kubeception_sim.agents.bridge.kernel import Network, Refused
from kubeception_sim.agents.bridge.leases import TTL_SECONDS, Leases
from kubeception_sim.agents.bridge.place import Place
from kubeception_sim.agents.bridge.sidecar import Sidecar
from kubeception_sim.agents.health import Health

_log = logging.getLogger("kubeception.bridge")

PORT = 9081
SECRET = Path("/run/network")
_TERMINATION = Path("/dev/termination-log")
_TERMINATION_LIMIT = 4096


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit code."""
    options = _options(arguments)
    try:
        where = place.read(environment)
        if options.verb == "setup":
            network = Network(where)
            # Done again, it does not cut the machine off from those that it knows.
            network.apply(network.peers())
            return 0
        return _run(where, _account(environment, options.secret), options)
    except KeyError as error:
        return _ended(f"{error} is missing")
    except (place.Unfit, Refused, ValueError, OSError) as error:
        return _ended(str(error))


def _run(where: Place, account: Account, options: argparse.Namespace) -> int:
    found = Leases(where, Etcd(account), ttl=options.ttl)
    sidecar, stop = Sidecar(Network(where), found, grace=options.ttl), threading.Event()
    with Health(
        ("", options.health),
        lambda: sidecar.problem,
        sidecar.metrics,
        sick=lambda: sidecar.sick,
        pages={"/peers": sidecar.pages},
    ) as health:
        for number in (signal.SIGTERM, signal.SIGINT):
            # A handler must not take the locks of the loop that it interrupts.
            signal.signal(number, lambda *_: threading.Thread(target=sidecar.stop).start())
        following = (where.cluster, account, sidecar.changed, stop)
        threading.Thread(target=leases.follow, args=following, name="leases", daemon=True).start()
        threading.Thread(target=health.serve_forever, name="health", daemon=True).start()
        sidecar.run()
        stop.set()
        health.shutdown()
    return 0


def _account(environment: Mapping[str, str], secret: Path) -> Account:
    user, password = ((secret / name).read_text().strip() for name in ("user", "password"))
    return Account(environment["NETWORK_ETCD"], secret / "ca.crt", user, password)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kubeception_sim.agents.bridge", description="A machine's network.")
    parser.add_argument("verb", choices=("setup", "run"))
    parser.add_argument("--health", type=int, default=PORT, help="port for HTTP: /healthz, /readyz, /peers, /metrics")
    parser.add_argument("--secret", type=Path, default=SECRET, help="the folder with ca.crt, user and password")
    parser.add_argument("--ttl", type=int, default=TTL_SECONDS, help="seconds that the lease lives without being kept")
    return parser.parse_args(arguments)


def _ended(message: str) -> int:
    _log.error("%s", message)
    # Not made where there is none: only a container has one.
    with suppress(OSError), _TERMINATION.open("r+") as file:
        file.write(message[:_TERMINATION_LIMIT])
    return 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(main(sys.argv[1:], os.environ))
