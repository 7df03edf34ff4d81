"""The certificates of a cluster as values: one a component, no name too many, and roles that allow nothing else."""

import re
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.giantnetes.cluster import Cluster, Host
from kubeception_sim.giantnetes.components import ADMINISTRATOR, CLUSTER, ETCD, FRONT_PROXY, administrator, of_host
from kubeception_sim.model.scenario import Role
from kubeception_sim.pki import Request
from kubeception_sim.pki.bao import policy_text, role

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


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
PARTS = ("apiserver", "etcd", "server", "kubelet-client", "kube-proxy", "administrator")
# Names that look like other hosts' certificates, which is where two could meet.
HOST_NAMES = st.one_of(LABELS, st.lists(st.sampled_from(("a", *PARTS)), min_size=1, max_size=3).map("-".join))


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    names = draw(st.lists(HOST_NAMES, min_size=1, max_size=6, unique=True))
    masters = draw(st.integers(1, len(names)))
    roles = [Role.MASTER] * masters + [Role.WORKER] * (len(names) - masters)
    hosts = tuple(host(name, role, 11 + i) for i, (name, role) in enumerate(zip(names, roles, strict=True)))
    api = draw(st.sampled_from([IPv4Address("10.77.0.1"), *(each.address for each in hosts)]))
    return Cluster(
        "v1.20.2", api, OUTER.pods, IPv4Network("10.61.0.0/16"), draw(st.sampled_from(["cluster.local", "g8s"])), hosts
    )


@given(clusters())
def test_whatever_hosts_are_called_each_certificate_is_one_components_of_one_host(cluster: Cluster) -> None:
    found = [request for each in cluster.hosts for request in of_host(cluster, each).values()] + [administrator()]
    assert len({(request.mount, request.name) for request in found}) == len(found)
    assert ADMINISTRATOR not in {each.name for each in cluster.hosts}


@given(clusters())
def test_only_servers_have_names_and_addresses_and_they_are_those_of_their_host(cluster: Cluster) -> None:
    service = {"kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{cluster.domain}"}
    for each in cluster.masters:
        for name, request in of_host(cluster, each).items():
            own_names, own_addresses = {each.name, "localhost"}, {each.address, IPv4Address("127.0.0.1")}
            match name:
                case "apiserver":
                    expected = (own_names | service, own_addresses | {cluster.api, IPv4Address("10.61.0.1")})
                case "etcd_server" | "etcd_peer":
                    expected = (own_names, own_addresses)
                case _:
                    expected = (set(), set())
            assert (set(request.dns), set(request.addresses)) == expected
            assert len(request.addresses) == len(set(request.addresses))


def test_what_a_master_holds_is_this_and_nothing_else() -> None:
    """Mount, subject and usages of each: a line more is a way in more."""
    found = {
        (each.mount, f"{each.organization}/{each.common_name}", "c" * each.client + "s" * each.server): name
        for name, each in of_host(OUTER, HOSTS[0]).items()
        if name not in ("etcd_server", "etcd_peer")
    }
    assert found == {
        (CLUSTER, "/kube-apiserver", "s"): "apiserver",
        (CLUSTER, "/kube-apiserver-kubelet-client", "c"): "apiserver_kubelet_client",
        (CLUSTER, "/system:kube-controller-manager", "c"): "controller_manager",
        (CLUSTER, "/system:kube-scheduler", "c"): "scheduler",
        (CLUSTER, "/system:kube-proxy", "c"): "kube_proxy",
        (CLUSTER, "system:nodes/system:node:m1", "c"): "kubelet",
        (CLUSTER, "system:masters/m1-admin", "c"): "admin",
        (ETCD, "/kube-apiserver-etcd-client", "c"): "apiserver_etcd_client",
        (ETCD, "/kube-etcd-healthcheck-client", "c"): "etcd_client",
        (FRONT_PROXY, "/front-proxy-client", "c"): "front_proxy_client",
    }
    members = [of_host(OUTER, HOSTS[0])[name] for name in ("etcd_server", "etcd_peer")]
    assert [(each.mount, each.common_name, each.client, each.server) for each in members] == [(ETCD, "m1", True, True)] * 2


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
    assert [request.name for request in ALL if request.mount == FRONT_PROXY] == ["m1.front-proxy-client", "m2.front-proxy-client"]


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


def test_a_value_does_not_end_the_string_that_it_is_in() -> None:
    text = policy_text((Request("one", "x", 'a"]\n}\npath "*" {', client=True),))
    assert [line for line in text.splitlines() if line.startswith("path")] == ['path "one/issue/x" {']


def test_a_token_may_ask_with_its_own_parameters_only() -> None:
    """OpenBao's roles do not hold common names that are no host names, nor addresses: a token could be anybody."""
    assert (
        policy_text((of_host(OUTER, HOSTS[2])["kube_proxy"],))
        == """\
path "g8s/issue/w1.kube-proxy" {
  capabilities = ["update"]
  allowed_parameters = {
    "common_name" = ["system:kube-proxy"]
    "alt_names" = [""]
    "ip_sans" = [""]
    "exclude_cn_from_sans" = ["true"]
    "ttl" = ["720h"]
    "private_key_format" = ["pkcs8"]
  }
}
"""
    )
