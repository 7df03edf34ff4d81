"""kopf: it watches, and says which cluster something changed about. What is done about it is not its business.

So there are event handlers only: kopf writes nothing, neither finalizers nor annotations of its own, and what it does not know
after a restart nobody needs. Clusters are watched, and of what belongs to them what others write: deployments, pods, namespaces.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kopf
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import User

from kubeception_sim.inner import schema
from kubeception_sim.inner.wanted import CLUSTER

_MANAGED = {CLUSTER: kopf.PRESENT}
_FOLLOWED = (("", "v1", "pods"), ("", "v1", "namespaces"), ("apps", "v1", "deployments"))

Poke = Callable[[str, object], None]
Login = Callable[[], SingleConfig]


def registry(poke: Poke, login: Login) -> kopf.OperatorRegistry:
    """What kopf is to do. `login` says who the API server is, and how to log in, whenever it is asked."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found)
    def log_in(**_: Any) -> kopf.ConnectionInfo:
        return connection(login())

    @kopf.on.startup(registry=found)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        # Ours are written by ourselves; kopf's would be about its handlers.
        settings.posting.enabled = False
        # One that is gone without a word is told by its bookmarks, which come each minute (`inactivity_timeout`).
        settings.watching.connect_timeout = 10.0

    @kopf.on.event(schema.GROUP, schema.VERSION, schema.PLURAL, registry=found)
    def cluster(body: kopf.Body, **_: Any) -> None:
        poke(body["metadata"]["name"], version(body))

    def part(labels: Mapping[str, str], **_: Any) -> None:
        poke(labels[CLUSTER], None)

    for group, api, plural in _FOLLOWED:
        kopf.on.event(group, api, plural, labels=_MANAGED, registry=found)(part)
    return found


def version(body: Mapping[str, Any]) -> str:
    """What changes when there is something to do: not with the status, which we write."""
    metadata = body["metadata"]
    known = [metadata.get(key) for key in ("uid", "generation", "deletionTimestamp", "annotations", "finalizers")]
    return json.dumps(known, sort_keys=True)


def connection(config: SingleConfig) -> kopf.ConnectionInfo:
    """lightkube's way to log in, for kopf: one file says it to both. A token in a file is read anew each time."""
    cluster, user = config.cluster, config.user or User()
    token = _path(config, user.token_file).read_text().strip() if user.token_file else user.token
    return kopf.ConnectionInfo(
        server=cluster.server,
        ca_path=_path(config, cluster.certificate_auth) if cluster.certificate_auth else None,
        ca_data=cluster.certificate_auth_data,
        insecure=cluster.insecure,
        scheme="Bearer" if token else None,
        token=token,
        certificate_path=_path(config, user.client_cert) if user.client_cert else None,
        certificate_data=user.client_cert_data,
        private_key_path=_path(config, user.client_key) if user.client_key else None,
        private_key_data=user.client_key_data,
    )


def _path(config: SingleConfig, name: str) -> Path:
    return Path(config.abs_file(name))
