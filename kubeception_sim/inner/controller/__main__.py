"""`python -m kubeception_sim.inner.controller`: makes the clusters that the outer API has, and ends those that it has no more.

--settings FILE      what it is told (`inner.controller.settings`); /run/controller/settings.json in its pod
--kubeconfig FILE    the outer API, from outside; in a pod, its service account
--health ADDRESS     where to serve HTTP: /healthz (start it anew?), /readyz, /metrics, /problems (JSON, by cluster)

It keeps nothing: ended at any moment and started again, elsewhere too, it goes on. Two at once disturb each other no more than
two passes do: numbers are claimed through the API, and everything else is applied until it is so.
"""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import kopf
from kopf._core.engines.peering import Identity
from lightkube import KubeConfig
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError

from kubeception_sim.agents.api import client_of
from kubeception_sim.agents.health import Health
from kubeception_sim.errors import KubeceptionError
from kubeception_sim.inner.certificates import ClusterPki
from kubeception_sim.inner.config import RoleValues
from kubeception_sim.inner.controller.api import Api
from kubeception_sim.inner.controller.handlers import Login, registry
from kubeception_sim.inner.controller.inside import InsideApi
from kubeception_sim.inner.controller.passes import Passes
from kubeception_sim.inner.controller.reconcile import Reconciler
from kubeception_sim.inner.controller.renewing import AskedPods
from kubeception_sim.inner.controller.settings import FILE, Settings
from kubeception_sim.inner.doors import Doors
from kubeception_sim.inner.store import NetworkEtcd
from kubeception_sim.pki.access import Access
from kubeception_sim.pki.tenants import NAMESPACE

_log = logging.getLogger("kubeception.controller")

SETTINGS = Path("/run/controller") / FILE
HEALTH = "0.0.0.0:9082"


def main(arguments: Sequence[str] | None = None) -> int:
    """Until SIGTERM. The exit code: 0, 1 when a bug has ended a pass, or that of the error because of which it cannot start."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    for name in ("httpx2", "kopf"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        settings = Settings.read(options.settings)
        config = KubeConfig.from_file(options.kubeconfig) if options.kubeconfig else KubeConfig.from_env()
        host, _, port = options.health.rpartition(":")
        return _run(settings, config, (host, int(port)))
    except KubeceptionError as error:
        _log.error("%s%s", error.message, f" ({error.hint})" if error.hint else "")
        return error.exit_code
    except (OSError, ConfigError, ValueError) as error:
        _log.error("cannot start: %s", error)
        return 1


def _run(settings: Settings, config: KubeConfig, address: tuple[str, int]) -> int:
    with closing(client_of(config)) as client:
        passes = Passes(reconciler(settings, Api(client)).reconcile)
        health = Health(
            address, lambda: "", passes.metrics, sick=lambda: passes.sick, pages={"/problems": lambda: dict(passes.problems())}
        )
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        threads = [
            threading.Thread(target=health.serve_forever, name="health", daemon=True),
            threading.Thread(target=passes.run, name="passes"),
        ]
        for thread in threads:
            thread.start()
        try:
            watch(passes, lambda: _chosen(config), stop)
        finally:
            passes.stop()
            threads[-1].join()
            health.shutdown()
            health.server_close()
    return 1 if passes.sick else 0


def watch(passes: Passes, login: Login, stop: threading.Event) -> None:
    """Have kopf watch, until `stop` is set."""
    kopf.run(
        registry=registry(passes.poke, login),
        standalone=True,
        # Or kopf would ask who runs it, and in an image without users that has no name.
        identity=Identity("kubeception"),
        clusterwide=True,
        stop_flag=stop,
    )


def reconciler(settings: Settings, api: Api) -> Reconciler:
    """All of it wired together: nowhere else is."""
    access = Access(settings.openbao.url, settings.openbao.ca, settings.openbao.read_token(), NAMESPACE)
    pki = ClusterPki(access, settings.domain, lambda what, _: _log.info("%s", what))
    network = settings.network
    store = NetworkEtcd(network.address, network.ca, network.read_password(), url=network.url)
    doors = Doors(
        pki,
        store,
        RoleValues(settings.etcd_image, settings.admin_keys, emulated=settings.accelerator == "tcg"),
        settings.giantnetes(),
    )
    inside = InsideApi(pki.administrator, settings.domain)
    return Reconciler(api, doors, inside, settings.addons_image, lambda: datetime.now(UTC), AskedPods(), settings.renew_at)


def _chosen(config: KubeConfig) -> SingleConfig:
    found = config.get()
    assert found is not None, "without a default, lightkube raises where there is no context"
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kubeception_sim.inner.controller", description="Makes inner clusters.")
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="what it is told (%(default)s)")
    parser.add_argument("--kubeconfig", type=Path, help="the outer API; without, the pod's service account or $KUBECONFIG")
    parser.add_argument("--health", default=HEALTH, metavar="ADDRESS:PORT", help="where to serve HTTP (%(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
