"""Machines of inner clusters, and what the pki step makes of their values, with certificates that are none."""

import gzip
import json
from pathlib import Path
from typing import Any

from ignition.rules import decode_data_url, validate
from kubeception_sim.agents.issue.render import render
from kubeception_sim.inner.allocation import Vm, machines, names
from kubeception_sim.inner.certificates import requests
from kubeception_sim.inner.config import RoleValues
from kubeception_sim.inner.resource import Cluster, Masters, Pool, Role, Spec

TEMPLATES = Path(__file__).parents[1] / "mayu_py/templates"
VALUES = RoleValues("kubeception.local/etcd:3", ("ssh-ed25519 AAAA alice",))
# What the pki step finds in the cluster's store.
NODE = {"ca": "the authority\n", "bootstrap_token": "07401b.f395accd246ae52d"}
MASTER = {
    "etcd_ca": "etcd's authority\n",
    "front_proxy_ca": "the front proxy's authority\n",
    "signer": {"cert": "the signer\n", "key": "private-signer\n"},
    "service_account": {"key": "private-service-accounts\n", "public": "public\n"},
}


def of(masters: int = 1, **workers: int) -> Cluster:
    pools = tuple(Pool(name, count, labels={"disk": "fast"} if name == "fast" else {}) for name, count in workers.items())
    return Cluster("rack", Spec(masters=Masters(masters), pools=pools))


def vms_of(cluster: Cluster) -> tuple[Vm, ...]:
    return machines(cluster, {name: number for number, name in enumerate(names(cluster), 1)})


def values(cluster: Cluster, name: str, role_values: RoleValues = VALUES) -> dict[str, Any]:
    vms = vms_of(cluster)
    found = role_values(cluster, vms, next(vm for vm in vms if vm.name == name))
    # They go through a ConfigMap.
    return dict(json.loads(json.dumps(found)))


def config(cluster: Cluster, name: str, role_values: RoleValues = VALUES) -> dict[str, Any]:
    """The Ignition config, with certificates by the names that are asked for."""
    vm = next(vm for vm in vms_of(cluster) if vm.name == name)
    found = values(cluster, name, role_values)
    found["values"]["kubernetes"] |= NODE | (MASTER if vm.role is Role.MASTER else {})
    asked = requests(cluster, vm, "rack.example")
    pairs = {each: {"cert": f"certificate of {each}\n", "key": f"private-{each}-key\n"} for each in asked}
    made = render((TEMPLATES / f"giantnetes-{vm.role}.bu").read_text(), found, pairs)
    assert validate(made).problems == ()
    return dict(json.loads(made))


def files(found: dict[str, Any]) -> dict[str, str]:
    opened = {}
    for file in found["storage"]["files"]:
        data = decode_data_url(file["contents"]["source"])
        opened[file["path"]] = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    return opened


def units(found: dict[str, Any]) -> dict[str, str]:
    return {unit["name"]: unit.get("contents", "") for unit in found["systemd"]["units"]}
