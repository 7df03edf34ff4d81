"""The certificates of a cluster as values: one a component, no name too many, and roles that allow nothing else."""

import re
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

import pytest

from kubeception_sim.giantnetes.cluster import Cluster, Host
from kubeception_sim.giantnetes.components import CLUSTER, ETCD, FRONT_PROXY, administrator, of_host
from kubeception_sim.model.scenario import Role
from kubeception_sim.pki import Request
from kubeception_sim.pki.bao import policy_text, role, role_of

GATEWAY = IPv4Address("10.77.1.1")


def host(name: str, role: Role, last: int) -> Host:
    return Host(name, role, "a", IPv4Address(f"10.77.1.{last}"), GATEWAY, IPv4Network(f"10.60.{last}.0/24"))


HOSTS = (host("m1", Role.MASTER, 11), host("m2", Role.MASTER, 12), host("w1", Role.WORKER, 13))
OUTER = Cluster(
    "v1.20.2", IPv4Address("10.77.0.1"), IPv4Network("10.60.0.0/16"), IPv4Network("10.61.0.0/16"), "cluster.local", HOSTS
)
ALL = [request for each in HOSTS for request in of_host(OUTER, each).values()]


def test_no_two_components_share_a_certificate() -> None:
    assert len({(request.mount, request.name) for request in ALL}) == len(ALL)
    assert len({role_of(request) for request in ALL if request.mount == CLUSTER}) == sum(each.mount == CLUSTER for each in ALL)


def test_the_api_server_has_every_name_that_clients_use_and_no_other() -> None:
    asked = of_host(OUTER, HOSTS[0])["apiserver"]
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    assert asked.dns == ("m1", "localhost", *service)
    assert [str(address) for address in asked.addresses] == ["10.61.0.1", "10.77.0.1", "10.77.1.11", "127.0.0.1"]
    assert (asked.client, asked.server) == (False, True)


def test_a_worker_has_a_certificate_for_its_proxy_and_gets_its_own_by_bootstrapping() -> None:
    (only,) = of_host(OUTER, HOSTS[2]).values()
    assert (only.mount, only.common_name, only.client, only.server, only.dns) == (CLUSTER, "system:kube-proxy", True, False, ())


@pytest.mark.parametrize("name", ["etcd_server", "etcd_peer", "etcd_client", "apiserver_etcd_client"])
def test_what_opens_etcd_is_of_etcds_authority(name: str) -> None:
    assert of_host(OUTER, HOSTS[0])[name].mount == ETCD


def test_the_front_proxy_has_an_authority_to_itself() -> None:
    assert [request.name for request in ALL if request.mount == FRONT_PROXY] == ["m1-front-proxy-client", "m2-front-proxy-client"]


def test_identities_are_those_that_kubernetes_has_roles_for() -> None:
    found = {name: (each.common_name, each.organization) for name, each in of_host(OUTER, HOSTS[0]).items()}
    assert found["controller_manager"] == ("system:kube-controller-manager", "")
    assert found["scheduler"] == ("system:kube-scheduler", "")
    assert found["kubelet"] == ("system:node:m1", "system:nodes")
    assert found["admin"][1] == administrator().organization == "system:masters"
    assert [name for name, (_, group) in found.items() if group == "system:masters"] == ["admin"]


@pytest.mark.parametrize("request_", ALL, ids=lambda each: each.name)
def test_a_role_allows_its_certificate_and_nothing_beside_it(request_: Request) -> None:
    allowed = role(request_)
    assert set(allowed["allowed_domains"]) == {request_.common_name, *request_.dns}
    assert (allowed["client_flag"], allowed["server_flag"]) == (request_.client, request_.server)
    assert allowed["organization"] == ([request_.organization] if request_.organization else [])
    assert allowed["allow_ip_sans"] == bool(request_.addresses)
    assert [key for key in ("allow_any_name", "allow_subdomains", "allow_glob_domains", "allow_localhost") if allowed[key]] == []


def test_the_tokens_of_two_hosts_open_no_path_in_common() -> None:
    texts = [policy_text(tuple(of_host(OUTER, each).values())) for each in HOSTS]
    paths = [set(re.findall(r'^path "(.*)" ', text, re.MULTILINE)) for text in texts]
    assert [len(found) for found in paths] == [len(of_host(OUTER, each)) for each in HOSTS]
    assert [one & other for one, other in combinations(paths, 2)] == [set(), set(), set()]


def test_a_token_may_ask_with_its_own_parameters_only() -> None:
    """OpenBao's roles do not hold common names that are no host names, nor addresses: a token could be anybody."""
    assert (
        policy_text((of_host(OUTER, HOSTS[2])["kube_proxy"],))
        == """\
path "g8s/issue/w1-kube-proxy" {
  capabilities = ["update"]
  allowed_parameters = {
    "common_name" = ["system:kube-proxy"]
    "alt_names" = [""]
    "ip_sans" = [""]
    "ttl" = ["720h"]
    "private_key_format" = ["pkcs8"]
  }
}
"""
    )
