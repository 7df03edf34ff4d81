"""Kubernetes DNS-Based Service Discovery 1.1.0, section by section: which records a cluster has."""

from ipaddress import IPv4Address, ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.agents.dns.zone import Record, Type, Zone, records

DOMAIN = "cluster.local"
OWNER = "web.shop.svc.cluster.local"
HTTPS = {"name": "https", "port": 443, "protocol": "TCP"}


def service(name: str = "web", namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def headless(name: str = "web", **spec: Any) -> dict[str, Any]:
    return service(name, clusterIP="None", **spec)


def endpoint(*addresses: str, **fields: Any) -> dict[str, Any]:
    return {"addresses": list(addresses), **fields}


def piece(*endpoints: dict[str, Any], of: str = "web", ports: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    metadata = {"name": f"{of}-abcde", "namespace": "shop", "labels": {"kubernetes.io/service-name": of}}
    return {"metadata": metadata, "endpoints": list(endpoints), "ports": ports if ports is not None else [HTTPS]}


def pod(address: str, namespace: str = "shop", phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": namespace}, "status": {"phase": phase, "podIP": address}}


def zone(*services: dict[str, Any], slices: list[dict[str, Any]] | None = None, pods: list[dict[str, Any]] | None = None) -> Zone:
    return records(services, slices or [], pods or [], DOMAIN)


def data(found: Zone, name: str, kind: Type) -> list[str]:
    return [record.data for record in found.names.get(name, ()) if record.type is kind]


def test_2_2_the_schema_has_a_version() -> None:
    assert data(zone(), "dns-version.cluster.local", Type.TXT) == ["1.1.0"]


def test_2_3_1_a_cluster_ip_has_an_a_record() -> None:
    assert zone(service(clusterIP="10.61.0.9")).names[OWNER] == (Record(Type.A, "10.61.0.9"),)


def test_2_3_1_two_families_have_a_and_aaaa() -> None:
    found = zone(service(clusterIP="10.61.0.9", clusterIPs=["10.61.0.9", "fd00::9"]))
    assert found.names[OWNER] == (Record(Type.A, "10.61.0.9"), Record(Type.AAAA, "fd00::9"))


def test_2_3_2_each_named_port_has_a_srv_record_and_an_unnamed_one_has_none() -> None:
    ports = [HTTPS, {"name": "dns", "port": 53, "protocol": "UDP"}, {"port": 80}]
    found = zone(service(clusterIP="10.61.0.9", ports=ports))
    assert found.names[f"_https._tcp.{OWNER}"] == (Record(Type.SRV, OWNER, 443),)
    assert found.names[f"_dns._udp.{OWNER}"] == (Record(Type.SRV, OWNER, 53),)
    assert sum(record.type is Type.SRV for entries in found.names.values() for record in entries) == 2


def test_2_3_3_a_cluster_ip_has_a_ptr_record() -> None:
    assert data(zone(service(clusterIP="10.61.0.9")), "9.0.61.10.in-addr.arpa", Type.PTR) == [OWNER]


def test_2_4_1_each_ready_endpoint_has_an_a_record_under_the_service_and_under_its_hostname() -> None:
    slices = [
        piece(endpoint("10.60.1.5", hostname="db-0"), endpoint("10.60.1.6"), endpoint("10.60.1.7", conditions={"ready": False}))
    ]
    found = zone(headless(), slices=slices)
    assert data(found, OWNER, Type.A) == ["10.60.1.5", "10.60.1.6"]
    assert data(found, f"db-0.{OWNER}", Type.A) == ["10.60.1.5"]
    assert data(found, f"10-60-1-6.{OWNER}", Type.A) == ["10.60.1.6"]


def test_2_4_1_a_headless_service_without_ready_endpoints_does_not_exist() -> None:
    assert OWNER not in zone(headless(), slices=[piece(endpoint("10.60.1.7", conditions={"ready": False}))]).names


def test_2_4_1_endpoints_of_unknown_readiness_are_ready() -> None:
    assert data(zone(headless(), slices=[piece(endpoint("10.60.1.7", conditions={}))]), OWNER, Type.A) == ["10.60.1.7"]


def test_2_1_a_service_may_publish_what_is_not_ready() -> None:
    slices = [piece(endpoint("10.60.1.7", conditions={"ready": False}))]
    assert data(zone(headless(publishNotReadyAddresses=True), slices=slices), OWNER, Type.A) == ["10.60.1.7"]


def test_2_1_or_says_so_with_the_old_annotation() -> None:
    old = headless()
    old["metadata"]["annotations"] = {"service.alpha.kubernetes.io/tolerate-unready-endpoints": "true"}
    slices = [piece(endpoint("10.60.1.7", conditions={"ready": False}))]
    assert data(zone(old, slices=slices), OWNER, Type.A) == ["10.60.1.7"]


def test_2_4_1_several_addresses_of_one_hostname_are_all_there() -> None:
    slices = [piece(endpoint("10.60.1.5", hostname="db")), piece(endpoint("10.60.2.5", hostname="db"))]
    assert data(zone(headless(), slices=slices), f"db.{OWNER}", Type.A) == ["10.60.1.5", "10.60.2.5"]


def test_2_4_2_each_endpoint_has_a_srv_record_for_each_named_port() -> None:
    ports = [HTTPS, {"name": "raft", "port": 2380, "protocol": "TCP"}, {"name": "", "port": 1}]
    found = zone(headless(), slices=[piece(endpoint("10.60.1.5", hostname="db-0"), endpoint("10.60.1.6"), ports=ports)])
    targets = (f"10-60-1-6.{OWNER}", f"db-0.{OWNER}")
    assert found.names[f"_https._tcp.{OWNER}"] == tuple(Record(Type.SRV, target, 443) for target in targets)
    assert found.names[f"_raft._tcp.{OWNER}"] == tuple(Record(Type.SRV, target, 2380) for target in targets)


def test_2_4_3_an_endpoint_has_a_ptr_record() -> None:
    found = zone(headless(), slices=[piece(endpoint("10.60.1.5", hostname="db-0"))])
    assert data(found, "5.1.60.10.in-addr.arpa", Type.PTR) == [f"db-0.{OWNER}"]


def test_2_5_an_external_name_is_an_alias() -> None:
    found = zone(service(type="ExternalName", externalName="www.example.com."))
    assert found.names[OWNER] == (Record(Type.CNAME, "www.example.com"),)


def test_2_6_the_name_of_a_pod_exists_while_the_pod_does_and_in_its_own_namespace() -> None:
    found = zone(pods=[pod("10.60.1.5"), pod("10.60.1.6", phase="Succeeded")])
    assert data(found, "10-60-1-5.shop.pod.cluster.local", Type.A) == ["10.60.1.5"]
    assert "10-60-1-6.shop.pod.cluster.local" not in found.names
    assert "10-60-1-5.default.pod.cluster.local" not in found.names


def test_endpoints_of_a_service_of_the_same_name_elsewhere_are_not_taken() -> None:
    other = piece(endpoint("10.60.1.5"))
    other["metadata"]["namespace"] = "default"
    assert OWNER not in zone(headless(), slices=[other]).names


def test_what_has_names_below_it_exists_itself() -> None:
    found = zone(service(clusterIP="10.61.0.9", ports=[HTTPS]))
    assert found.names["shop.svc.cluster.local"] == ()
    assert found.names[f"_tcp.{OWNER}"] == ()


def test_names_of_the_domain_are_ours_and_others_are_not() -> None:
    found = zone(service(clusterIP="10.61.0.9"))
    assert found.covers("nowhere.cluster.local")
    assert found.covers("9.0.61.10.in-addr.arpa")
    assert not found.covers("10.0.61.10.in-addr.arpa")
    assert not found.covers("notcluster.local")


def test_a_service_without_an_address_yet_has_no_name() -> None:
    assert OWNER not in zone(service(clusterIP="")).names


names = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
addresses = st.integers(1, 250).map(lambda number: str(IPv4Address("10.60.1.0") + number))
ports = st.lists(
    st.builds(lambda name, port: {"name": name, "port": port}, names | st.just(""), st.integers(1, 65535)), max_size=3
)
endpoints = st.builds(
    lambda address, ready: endpoint(address, conditions={"ready": ready}), addresses, st.sampled_from([True, False, None])
)
some_services = st.lists(
    st.one_of(
        st.builds(lambda name, address, ports: service(name, clusterIP=address, ports=ports), names, addresses, ports),
        st.builds(headless, names),
        st.builds(lambda name: service(name, type="ExternalName", externalName="www.example.com"), names),
    ),
    max_size=6,
    unique_by=lambda each: each["metadata"]["name"],
)


@given(some_services, st.data())
def test_whatever_the_cluster_its_names_hang_together(services: list[dict[str, Any]], draw: st.DataObject) -> None:
    slices = [
        piece(*draw.draw(st.lists(endpoints, max_size=3)), of=each["metadata"]["name"], ports=draw.draw(ports))
        for each in services
    ]
    found = records(services, slices, [pod(draw.draw(addresses))], DOMAIN)
    for name, entries in found.names.items():
        assert name == name.lower()
        if found.covers(name) and name.endswith(DOMAIN) and name != DOMAIN:
            assert name.partition(".")[2] in found.names, "a name hangs in the air"
        assert len(set(entries)) == len(entries)
        # RFC 1034, 3.6.2: an alias has nothing beside it.
        assert len(entries) == 1 or all(record.type is not Type.CNAME for record in entries)
        for record in entries:
            if record.type in (Type.SRV, Type.PTR):
                assert data(found, record.data, Type.A), "leads nowhere"
            if record.type is Type.PTR:
                address = next(text for text in data(found, record.data, Type.A) if ip_address(text).reverse_pointer == name)
                assert address
    unready = {
        address
        for each in slices
        for one in each["endpoints"]
        if one["conditions"]["ready"] is False
        for address in one["addresses"]
    }
    ready = {
        address
        for each in slices
        for one in each["endpoints"]
        if one["conditions"]["ready"] is not False
        for address in one["addresses"]
    }
    for each in services:
        if each["spec"].get("clusterIP") == "None":
            served = set(data(found, f"{each['metadata']['name']}.shop.svc.{DOMAIN}", Type.A))
            assert served <= ready
            assert not served & (unready - ready)
