"""The store of the networks of clusters: an etcd of its own in the outer cluster, in which each cluster has a user and a prefix.

    objects(image, tls, ca, password, address)   what runs it
    NetworkEtcd(address, ca, password)           what clusters have in it (`inner.doors.NetworkStore`)

It holds nothing that is not written again: configs and users by the controller, leases by the pods of machines. So its data lives
no longer than its pod. A new one is made before anybody can reach it: with authentication on, and nobody but root known.
"""

import hashlib
import hmac
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from kubeception_sim.agents.bridge import flannel
from kubeception_sim.agents.bridge.etcd import Account, Away, Etcd, Refused, encoded, span
from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.allocation import NAMESPACE
from kubeception_sim.inner.doors import Store
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.pki import Issued, Request

NAME = "network-etcd"
HOST = f"{NAME}.{NAMESPACE}.svc"
PORT, METRICS_PORT, PEER_PORT = 2379, 2381, 2380
ROOT = "root"
SELECTOR = {"app.kubernetes.io/name": NAME}
USER = 64056
"""Of the server, which needs no privilege."""
_DATA, _SECRET = "/var/lib/etcd", "/run/store"
_META = {"name": NAME, "namespace": NAMESPACE, "labels": SELECTOR}
_READ, _READWRITE = "READ", "READWRITE"
_ABSENT = ("user name not found", "role name not found")

MAKE = """\
set -eu
# A container that starts again has its data; one that was ended in the middle begins anew.
if [ -d "$DATA/store" ]; then exit 0; fi
rm -rf "$DATA/new"
client="http://127.0.0.1:$CLIENT_PORT" peer="http://127.0.0.1:$PEER_PORT"
etcd --name=default --data-dir="$DATA/new" --initial-cluster-token="$TOKEN" --initial-cluster="default=$peer" \\
  --listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" \\
  --listen-client-urls="$client" --advertise-client-urls="$client" --log-level=warn --bcrypt-cost=4 &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS="$client"
until etcdctl endpoint health >/dev/null 2>&1; do kill -0 "$server"; sleep 0.1; done
etcdctl user add root --interactive=false <"$SECRET/password" >/dev/null
etcdctl auth enable >/dev/null
kill "$server"
wait "$server" || true
mv "$DATA/new" "$DATA/store"
"""
"""Makes the data of a new store: within its pod only, so that there is no moment at which others could be before root."""


def request(mount: str, address: IPv4Address) -> Request:
    """The certificate of the server. `address` is that of its service. Pure."""
    names = (NAME, HOST, f"{HOST}.cluster.local", f"{NAME}.{NAMESPACE}")
    return Request(mount, NAME, HOST, dns=names, addresses=(address,), server=True)


def objects(image: str, tls: Issued, ca: str, password: str, address: IPv4Address) -> list[dict[str, Any]]:
    """The objects, in the order in which they are to be applied; the namespace is there. Pure.

    `image` has etcd, etcdctl and a shell; `password` is root's; `address` is one of the range of services.
    """
    data = {"ca.crt": ca, "tls.crt": tls.cert, "tls.key": tls.key, "password": password}
    revision = hashlib.sha256(f"{tls.cert}{password}".encode()).hexdigest()[:16]
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": _META, "type": "Opaque", "stringData": data},
        _object("v1", "Service", _service(address)),
        _object("apps/v1", "Deployment", _deployment(image, revision)),
    ]


def server_flags(data: str, secret: str, *, client: str, peer: str, metrics: str) -> list[str]:
    """The server's command line; URLs where it listens, and folders. Pure."""
    return [
        "etcd",
        "--name=default",
        f"--data-dir={data}/store",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        f"--listen-metrics-urls={metrics}",
        f"--cert-file={secret}/tls.crt",
        f"--key-file={secret}/tls.key",
        # Passwords are long and random: a slow hash protects none of them, and each start of a pod would wait for it.
        "--bcrypt-cost=4",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
        "--log-level=warn",
    ]


def _object(version: str, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": _META, "spec": dict(spec)}


def _service(address: IPv4Address) -> dict[str, Any]:
    ports = [{"name": "etcd", "port": PORT, "protocol": "TCP", "targetPort": PORT}]
    return {"type": "ClusterIP", "clusterIP": str(address), "selector": SELECTOR, "ports": ports}


def _deployment(image: str, revision: str) -> dict[str, Any]:
    template = {"metadata": {"labels": SELECTOR, "annotations": {"kubeception.io/secret": revision}}, "spec": _pod(image)}
    # Two of them would be two stores.
    return {"replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": SELECTOR}, "template": template}


def _pod(image: str) -> dict[str, Any]:
    flags = server_flags(
        _DATA,
        _SECRET,
        client=f"https://0.0.0.0:{PORT}",
        peer=f"http://127.0.0.1:{PEER_PORT}",
        metrics=f"http://0.0.0.0:{METRICS_PORT}",
    )
    health = {"httpGet": {"path": "/health", "port": METRICS_PORT}, "timeoutSeconds": 5}
    make = {"name": "make", "command": ["sh", "-c", MAKE], "env": _environment()}
    serve = {
        "name": "etcd",
        "command": flags,
        "ports": [{"name": "etcd", "containerPort": PORT}, {"name": "metrics", "containerPort": METRICS_PORT}],
        "readinessProbe": health | {"periodSeconds": 2},
        "livenessProbe": health | {"periodSeconds": 10, "failureThreshold": 6},
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsUser": USER,
            "runAsGroup": USER,
            "runAsNonRoot": True,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_container(image, make)],
        "containers": [_container(image, serve)],
        "volumes": [
            {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "secret", "secret": {"secretName": NAME, "defaultMode": 0o440}},
        ],
    }


def _environment() -> list[dict[str, Any]]:
    known = {"DATA": _DATA, "SECRET": _SECRET, "CLIENT_PORT": str(PORT), "PEER_PORT": str(PEER_PORT)}
    # A store without the data of the one before is another one: who was its client can tell.
    uid = {"name": "TOKEN", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}}
    return [*({"name": name, "value": value} for name, value in known.items()), uid]


def _container(image: str, what: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "volumeMounts": [
            {"name": "data", "mountPath": _DATA},
            {"name": "secret", "mountPath": _SECRET, "readOnly": True},
        ],
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        **what,
    }


class NetworkEtcd:
    """What clusters have in the store (`inner.doors.NetworkStore`).

    `address` is the one of its service, `ca` a file with the authority that certifies it, `password` root's. `url` is where it is
    for ourselves, if that is elsewhere.
    """

    def __init__(self, address: IPv4Address, ca: Path, password: str, *, url: str = "") -> None:
        self._address, self._ca, self._password = address, ca, password
        self._url = url or f"https://{address}:{PORT}"

    def ensure(self, cluster: Cluster, vni: int) -> Store:
        """See `NetworkStore`. Raises HarnessError when the store refuses or does not answer."""
        key, config = flannel.config_key(cluster.name), flannel.config(cluster.spec.network.vms, vni)
        user, password = user_of(cluster.name), password_of(self._password, cluster)
        try:
            etcd = self._as(ROOT, self._password)
            if etcd.get(key) != config:
                etcd.put(key, config)
            _have_role(etcd, cluster.name)
            _have_user(etcd, user, password, self._as(user, password))
        except (Away, Refused) as error:
            raise _failed("have the network of", cluster.name, error) from error
        return Store(NAME, self._address, PORT, SELECTOR, self._ca.read_text(), user, password)

    def drop(self, cluster: str) -> None:
        """See `NetworkStore`. Raises HarnessError when the store refuses or does not answer."""
        try:
            etcd = self._as(ROOT, self._password)
            # The user first: then nobody writes any more.
            _unless_absent(etcd, "auth/user/delete", {"name": user_of(cluster)})
            _unless_absent(etcd, "auth/role/delete", {"role": user_of(cluster)})
            etcd.delete(flannel.prefix(cluster))
        except (Away, Refused) as error:
            raise _failed("remove the network of", cluster, error) from error

    def _as(self, user: str, password: str) -> Etcd:
        return Etcd(Account(self._url, self._ca, user, password))


def user_of(cluster: str) -> str:
    """The name of a cluster's user, and of the role that it has. Pure."""
    return f"network-{cluster}"


def password_of(root: str, cluster: Cluster) -> str:
    """A cluster's password, which follows from root's and from the cluster: it is the same whenever it is asked for. Pure."""
    return hmac.new(root.encode(), f"{cluster.name} {cluster.uid}".encode(), hashlib.sha256).hexdigest()


def _have_role(etcd: Etcd, cluster: str) -> None:
    """A role that may have leases and read the config, and nothing else. One that is different is made anew."""
    role = user_of(cluster)
    wanted = [
        {"permType": _READWRITE, **span(flannel.leases_prefix(cluster))},
        {"permType": _READ, "key": encoded(flannel.config_key(cluster))},
    ]
    found = _unless_absent(etcd, "auth/role/get", {"role": role})
    if found is not None and _permissions(found.get("perm", ())) == _permissions(wanted):
        return
    _unless_absent(etcd, "auth/role/delete", {"role": role})
    etcd.ask("auth/role/add", {"name": role})
    for permission in wanted:
        etcd.ask("auth/role/grant", {"name": role, "perm": permission})


def _permissions(found: Any) -> set[tuple[str, str, str]]:
    # What is 0 in the protocol is left out by the gateway: READ is.
    return {(each.get("permType", _READ), each["key"], each.get("range_end", "")) for each in found}


def _have_user(etcd: Etcd, user: str, password: str, itself: Etcd) -> None:
    found = _unless_absent(etcd, "auth/user/get", {"name": user})
    if found is None:
        etcd.ask("auth/user/add", {"name": user, "password": password})
    if found is None or user not in found.get("roles", ()):
        etcd.ask("auth/user/grant", {"user": user, "role": user})
    with suppress(Refused):
        itself.authenticate()
        return
    etcd.ask("auth/user/changepw", {"name": user, "password": password})


def _unless_absent(etcd: Etcd, path: str, content: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The answer; None when there is no such user or role."""
    try:
        return etcd.ask(path, content)
    except Refused as error:
        if any(text in str(error) for text in _ABSENT):
            return None
        raise


def _failed(what: str, cluster: str, error: Exception) -> HarnessError:
    return HarnessError(
        f"the store of networks cannot {what} {cluster}: {error}",
        hint=f"kubectl --namespace {NAMESPACE} get pods --selector app.kubernetes.io/name={NAME}",
    )
