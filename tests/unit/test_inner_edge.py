"""The entrance's objects: who is let in, who sees whom, and that the levels fit together."""

from base64 import b64decode
from ipaddress import IPv4Address

import yaml

from kubeception_sim.agents.edge import config, ingress
from kubeception_sim.inner import edge
from kubeception_sim.inner import ingress as inner
from kubeception_sim.inner.certificates import Administrator
from kubeception_sim.inner.doors import EDGE
from kubeception_sim.inner.wanted_pod import API_PORT, INGRESS_PORT
from kubeception_sim.network.haproxy import server_options
from kubeception_sim.scenario.entering import kubeconfig

BALANCER = IPv4Address("10.77.0.2")
OUTER = {each["kind"]: each for each in edge.objects("agent:1", "clusters.example", BALANCER, 2)}
INNER = {each["kind"]: each for each in inner.objects("agent:1")}


def test_nobody_but_the_balancer_is_let_in() -> None:
    spec = OUTER["NetworkPolicy"]["spec"]
    assert spec["podSelector"]["matchLabels"] == OUTER["Deployment"]["spec"]["template"]["metadata"]["labels"] == EDGE
    (rule,) = spec["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": "10.77.0.2/32"}}]
    assert [each["port"] for each in rule["ports"]] == [config.API_PORT, config.HTTP_PORT, config.HTTPS_PORT]


def test_the_balancer_comes_to_the_ports_of_nodes_as_itself_and_tells_who_the_client_is() -> None:
    nodes = {each["name"]: each["nodePort"] for each in OUTER["Service"]["spec"]["ports"]}
    found = edge.services((), BALANCER)
    assert {each.name: each.port for each in found} == {"api": 6443, "http": 80, "https": 443}
    assert {each.name for each in found} == nodes.keys()
    for each in found:
        assert "source 10.77.0.2 send-proxy-v2 check-send-proxy" in server_options(each)


def test_the_source_of_a_connection_survives_the_node() -> None:
    assert OUTER["Service"]["spec"]["externalTrafficPolicy"] == INNER["Service"]["spec"]["externalTrafficPolicy"] == "Local"


def test_each_level_listens_where_the_one_before_sends() -> None:
    (port,) = INNER["Service"]["spec"]["ports"]
    assert (port["nodePort"], port["targetPort"]) == (INGRESS_PORT, ingress.PORT)
    assert (config.MASTER_PORT, config.WORKER_PORT) == (API_PORT, INGRESS_PORT)


def test_neither_has_a_privilege_or_may_change_anything() -> None:
    for found, kind in ((OUTER, "Deployment"), (INNER, "DaemonSet")):
        pod = found[kind]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert {verb for rule in found["ClusterRole"]["rules"] for verb in rule["verbs"]} == {"list", "watch"}


def test_an_administrator_comes_by_the_entrance_and_knows_whom_to_expect() -> None:
    found = yaml.safe_load(kubeconfig("blue", Administrator("CA", "CERT", "KEY"), BALANCER))
    (cluster,), (user,) = found["clusters"], found["users"]
    assert cluster["cluster"]["server"] == "https://10.77.0.2:6443"
    assert cluster["cluster"]["tls-server-name"] == "api.blue.clusters.example"
    assert b64decode(cluster["cluster"]["certificate-authority-data"]) == b"CA"
    assert [b64decode(each) for each in user["user"].values()] == [b"CERT", b"KEY"]
