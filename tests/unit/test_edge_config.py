"""What HAProxy is told, outside and inside: pods of machines, and Ingresses, become its configuration."""

import base64
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.agents.api import Object
from kubeception_sim.agents.edge import config, ingress
from kubeception_sim.agents.edge.gates import Gate, Server, gates, kept
from kubeception_sim.agents.edge.ingress import Route

GOLDEN = Path(__file__).parents[1] / "golden/edge"
FOLDER, DOMAIN = "/run/edge", "clusters.example"
BLUE = Gate("blue", (Server("master-0", "10.60.1.4"),), (Server("worker-0", "10.60.2.4"), Server("worker-1", "10.60.3.4")))


def pod(cluster: str, vm: str, address: str, **more: Any) -> Object:
    role = vm.rsplit("-", 1)[0]
    labels = {"kubeception.io/cluster": cluster, "kubeception.io/vm": vm, "kubeception.io/role": role, "app": "x"}
    conditions = [{"type": "Ready", "status": more.pop("ready", "True")}]
    metadata = {"namespace": more.pop("namespace", f"cluster-{cluster}"), "name": f"{vm}-abc", "labels": labels, **more}
    return kept({"metadata": metadata, "status": {"podIP": address, "conditions": conditions, "phase": "Running"}})


MACHINES = [pod("blue", "worker-1", "10.60.3.4"), pod("blue", "master-0", "10.60.1.4"), pod("blue", "worker-0", "10.60.2.4")]


def test_the_machines_that_serve_are_the_gate_of_their_cluster() -> None:
    assert gates(MACHINES) == (BLUE,)


def test_who_is_not_ready_or_leaves_is_not_asked() -> None:
    others = [
        pod("blue", "master-1", "10.60.1.5", ready="False"),
        pod("blue", "master-2", "10.60.1.6", deletionTimestamp="2026-01-02T03:04:05Z"),
        pod("blue", "worker-2", ""),
        kept({"metadata": {"namespace": "default", "name": "web"}}),
    ]
    assert gates([*MACHINES, *others]) == (BLUE,)


def test_a_label_alone_makes_nobody_a_machine_of_a_cluster() -> None:
    """Somebody with a namespace of their own would get another's clients."""
    thief = pod("blue", "master-1", "10.60.9.9", namespace="cluster-red")
    assert gates([*MACHINES, thief]) == (BLUE,)


def test_what_does_not_matter_of_a_pod_is_no_change() -> None:
    assert pod("blue", "worker-0", "10.60.2.4") == pod("blue", "worker-0", "10.60.2.4", annotations={"seen": "now"})


def test_the_entrance_of_two_clusters() -> None:
    assert config.render([BLUE, Gate("red")], DOMAIN, FOLDER) == (GOLDEN / "clusters.cfg").read_text()


RULE = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "hello", "port": {"number": 80}}}}
META = {"namespace": "default", "name": "hello"}


def an_ingress(**spec: Any) -> dict[str, Any]:
    return {"metadata": META, "spec": {"rules": [{"host": "Hello.blue.clusters.example", "http": {"paths": [RULE]}}], **spec}}


SERVICE = {"metadata": META, "spec": {"ports": [{"name": "web", "port": 80, "targetPort": 8000}]}}
ENDPOINTS = {
    "metadata": META,
    "subsets": [{"addresses": [{"ip": "10.80.2.7"}, {"ip": "10.80.1.9"}], "ports": [{"name": "web", "port": 8000}]}],
}
PAIR = {name: base64.b64encode(text).decode() for name, text in (("tls.crt", b"CERT"), ("tls.key", b"KEY"))}
SECRET = {"metadata": {"namespace": "default", "name": "hello-tls"}, "data": PAIR}


def render(*ingresses: dict[str, Any], secrets: tuple[dict[str, Any], ...] = ()) -> ingress.Wanted:
    return ingress.render(ingresses, [SERVICE], [ENDPOINTS], secrets, folder=FOLDER)


def test_an_ingress_with_tls() -> None:
    paths = [RULE, {**RULE, "path": "/api", "pathType": "Exact"}, {**RULE, "path": "/api/", "pathType": "Prefix"}]
    rules = [
        {"host": "*.blue.clusters.example", "http": {"paths": [RULE]}},
        {"host": "hello.blue.clusters.example", "http": {"paths": paths}},
    ]
    tls = [{"hosts": ["hello.blue.clusters.example"], "secretName": "hello-tls"}]
    wanted = render(an_ingress(rules=rules, tls=tls), secrets=(SECRET,))
    assert wanted.text == (GOLDEN / "ingresses.cfg").read_text()
    assert wanted.certificates == {"default_hello-tls.pem": b"CERT\nKEY"}
    assert not wanted.problems


def test_what_an_ingress_names_and_is_not_there_is_told() -> None:
    nowhere = {**RULE, "backend": {"service": {"name": "nobody", "port": {"number": 80}}}}
    wanted = render(an_ingress(rules=[{"http": {"paths": [nowhere]}}], tls=[{"secretName": "none"}]))
    assert wanted.problems == (
        "default/hello: no service 'nobody' with this port",
        "default/hello: no secret 'none' with tls.crt and tls.key",
    )
    assert "https.sock" not in wanted.text


def test_a_class_of_somebody_else_is_theirs() -> None:
    other = {"metadata": {**META, "annotations": {"kubernetes.io/ingress.class": "nginx"}}, "spec": an_ingress()["spec"]}
    assert render(an_ingress(ingressClassName="nginx"), other) == render()
    assert render(an_ingress(ingressClassName="kubeception")) == render(an_ingress())


def test_a_port_may_be_named_and_all_that_has_no_rule_goes_to_the_default() -> None:
    named = {"service": {"name": "hello", "port": {"name": "web"}}}
    text = render(an_ingress(rules=[], defaultBackend=named)).text
    assert "  use_backend default_hello_80\n" in text
    assert "  server 0 10.80.1.9:8000 check inter 2s\n  server 1 10.80.2.7:8000 check inter 2s\n" in text


@given(st.text(max_size=20), st.text(max_size=20))
def test_what_a_customer_writes_is_no_language_of_haproxys(host: str, path: str) -> None:
    """Nothing of a host or path can end a line, open an expression, or begin a comment."""
    rule = {**RULE, "path": path}
    wanted = render(an_ingress(rules=[{"host": host, "http": {"paths": [rule]}}]))
    assert wanted.problems or all(
        each.count("{") == each.count("}") and "#" not in each for each in wanted.text.splitlines() if "use_backend" in each
    )
    assert len(wanted.text.splitlines()) - len(render(an_ingress(rules=[])).text.splitlines()) in (0, 6)


def test_rules_are_asked_in_the_order_of_kubernetes() -> None:
    routes = [
        Route("", "/", False, "any"),
        Route("*.x.example", "/", False, "wild"),
        Route("a.x.example", "/", False, "root"),
        Route("a.x.example", "/foo/bar", False, "long"),
        Route("a.x.example", "/foo", False, "short"),
        Route("a.x.example", "/foo", True, "exact"),
    ]
    assert [each.backend for each in sorted(routes, key=lambda each: each.rank)] == [
        "exact",
        "long",
        "short",
        "root",
        "wild",
        "any",
    ]
