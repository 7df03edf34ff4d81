"""A real Kubernetes without nodes, on loopback: etcd, the API server, and the controllers that make and end what is declared.

Nothing runs a pod: what a kubelet would say of one, a test says (`Kubernetes.tell`).
"""

import json
import secrets
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
from lightkube import KubeConfig

from kubeception_sim.agents.api import client_of
from kubeception_sim.artifacts import kubernetes
from kubeception_sim.artifacts.store import Store, default_cache
from kubeception_sim.inner.certificates import Administrator
from kubeception_sim.inner.controller.api import Api
from kubeception_sim.lab import Lab
from kubeception_sim.pki.keys import service_account_pair
from kubeception_sim.run import Process, require, spawn

SECONDS = 60.0
OUTSIDE = "api.blue.k8s.example"
"""A name of the API server, as that of a cluster `blue` has it at the entrance."""
CONTROLLERS = "namespace,deployment,replicaset,garbagecollector,serviceaccount"
_STEP_SECONDS = 0.1


@dataclass(frozen=True)
class Kubernetes:
    """Where it is, and who may everything there."""

    url: str
    ca: Path
    token: str
    logs: Path
    port: int
    administrator: Administrator

    def kubeconfig(self) -> dict[str, Any]:
        """For a file, which is JSON as YAML may be."""
        named = {"name": "test"}
        return {
            "clusters": [named | {"cluster": {"server": self.url, "certificate-authority": str(self.ca)}}],
            "users": [named | {"user": {"token": self.token}}],
            "contexts": [named | {"context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }

    def client(self) -> httpx2.Client:
        """A client of its API, as the controller makes its own."""
        return client_of(KubeConfig.from_dict(self.kubeconfig()))

    def tell(self, api: Api, namespace: str, pod: str, status: Mapping[str, Any]) -> None:
        """Say of a pod what a kubelet would."""
        api.merge(f"/api/v1/namespaces/{namespace}/pods/{pod}/status", {"status": dict(status)})

    def join(self, api: Api, name: str, *, memory: str = "64Gi", cpu: str = "64") -> None:
        """Have a node that is Ready, and says so."""
        api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        self.say_ready(api, name, ready=True, memory=memory, cpu=cpu)

    def say_ready(self, api: Api, name: str, *, ready: bool, memory: str = "64Gi", cpu: str = "64") -> None:
        """What a node, or the controller of nodes, says of it. The taints are that controller's, which does not run here."""
        condition = {"type": "Ready", "status": "True" if ready else "Unknown", "reason": "x", "message": "x"}
        has = {"memory": memory, "cpu": cpu, "pods": "110"}
        api.merge(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [condition], "allocatable": has, "capacity": has}})
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
        api.merge(f"/api/v1/nodes/{name}", {"spec": {"taints": [] if ready else [taint]}})


@contextmanager
def serving(lab: Lab) -> Iterator[Kubernetes]:
    """For the length of a block. Skips when a program is missing: none is built for a test of this tier."""
    programs = _programs()
    require("etcd", "etcd-server")
    client, peer, port, manager = _free_ports(4)
    folder, authority, token = lab.subdirectory("kubernetes"), trustme.CA(), secrets.token_hex(16)
    _write_keys(folder, authority, token)
    etcd = [
        "etcd",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        "--log-level=warn",
    ]
    found = Kubernetes(f"https://127.0.0.1:{port}", folder / "ca.crt", token, folder, port, _administrator(authority))
    (folder / "kubeconfig").write_text(json.dumps(found.kubeconfig()))
    with ExitStack() as stack:
        stack.enter_context(spawn(etcd, log=folder / "etcd.log", env=lab.env))
        server = stack.enter_context(spawn(_server(programs, folder, client, port), log=folder / "api.log", env=lab.env))
        _wait(found, server)
        stack.enter_context(spawn(_manager(programs, folder, manager), log=folder / "manager.log", env=lab.env))
        yield found


def _server(programs: Path, folder: Path, etcd: int, port: int) -> list[str]:
    return [
        str(programs / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--service-cluster-ip-range=10.81.0.0/16",
        "--authorization-mode=RBAC",
        f"--tls-cert-file={folder / 'tls.crt'}",
        f"--tls-private-key-file={folder / 'tls.key'}",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.test",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        f"--service-account-key-file={folder / 'accounts.pub'}",
    ]


def _manager(programs: Path, folder: Path, port: int) -> list[str]:
    return [
        str(programs / "kube-controller-manager"),
        f"--kubeconfig={folder / 'kubeconfig'}",
        f"--controllers={CONTROLLERS}",
        "--leader-elect=false",
        "--port=0",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'manager'}",
        # They ask again after so long what an API server's group has: the definition of clusters comes later.
        "--min-resync-period=1h",
    ]


def _write_keys(folder: Path, authority: trustme.CA, token: str) -> None:
    issued = authority.issue_cert("127.0.0.1", OUTSIDE)
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
    issued.private_key_pem.write_to_path(str(folder / "tls.key"))
    private, public = service_account_pair()
    (folder / "accounts.key").write_text(private)
    (folder / "accounts.pub").write_text(public)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')


def _administrator(authority: trustme.CA) -> Administrator:
    issued = authority.issue_cert("admin", common_name="admin", organization_name="system:masters")
    pair = issued.cert_chain_pems[0].bytes().decode(), issued.private_key_pem.bytes().decode()
    return Administrator(authority.cert_pem.bytes().decode(), *pair)


def _programs() -> Path:
    wanted = kubernetes.expected(default_cache())
    is_ours = isinstance(kubernetes.chosen(), kubernetes.LocalDirectory)
    if not is_ours and Store(default_cache(), kubernetes.KIND).find(wanted.key) is None:
        pytest.skip(f"the programs of Kubernetes {wanted.version} are not in {wanted.directory}")
    return wanted.directory


def _wait(found: Kubernetes, server: Process) -> None:
    until = time.monotonic() + SECONDS
    with httpx2.Client(base_url=found.url, verify=ssl.create_default_context(cafile=found.ca), trust_env=False) as client:
        last = "nothing"
        while last != "ok":
            assert server.poll() is None, server.tail()
            assert time.monotonic() < until, f"{last}\n{server.tail()}"
            try:
                last = client.get("/readyz", headers={"Authorization": f"Bearer {found.token}"}).text
            except httpx2.HTTPError as error:
                last = str(error)
            time.sleep(_STEP_SECONDS)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
