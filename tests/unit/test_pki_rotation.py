"""Rotation as values: what is due, whose turn it is, what starts again, and that the files are those of mayu's role templates."""

import gzip
import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
import yaml
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.errors import BadInput
from kubeception_sim.giantnetes.cluster import Cluster, Host
from kubeception_sim.giantnetes.components import ADMINISTRATOR, administrator, of_host
from kubeception_sim.giantnetes.rotation import HEALTH, KUBELET, SERVED, USERS, files, held, pod
from kubeception_sim.giantnetes.values import Pair
from kubeception_sim.model.scenario import Role
from kubeception_sim.pki import Refused, Request
from kubeception_sim.pki.embedded import EmbeddedAuthority
from kubeception_sim.pki.rotation import Held, Turn, due, ends, plan, renew
from tests.golden.roles.cases import rendered

NOW = datetime.now(UTC)
USES = {"a": ("first",), "b": ("first", "second"), "c": ("third",), "d": ()}


def host(name: str, role: Role, last: int) -> Host:
    address = IPv4Address(f"10.77.1.{last}")
    return Host(name, role, "a", address, IPv4Address("10.77.1.1"), IPv4Network(f"10.60.{last}.0/24"))


HOSTS = (host("m1", Role.MASTER, 11), host("w1", Role.WORKER, 12))
CLUSTER = Cluster(
    "v1.20.2", IPv4Address("10.77.0.1"), IPv4Network("10.60.0.0/16"), IPv4Network("10.61.0.0/16"), "cluster.local", HOSTS
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Real ones, by the hours that they last."""
    authority = EmbeddedAuthority(tmp_path_factory.mktemp("pki"))
    authority.mount("one")
    return {hours: authority.issue(Request("one", "x", "x", client=True, ttl_hours=hours)).cert for hours in range(1, 6)}


def test_the_end_of_a_certificate_is_what_it_says(certificates: dict[int, str]) -> None:
    life, doubt = timedelta(hours=3), timedelta(minutes=1)
    assert NOW + life - doubt < ends(certificates[3]) < datetime.now(UTC) + life + doubt
    with pytest.raises(BadInput, match="not a certificate"):
        ends("nonsense")


@given(
    st.lists(st.tuples(st.sampled_from(["m1", "m2", "w"]), st.sampled_from(list(USES)), st.integers(1, 5)), max_size=12),
    st.integers(0, 6),
)
def test_after_the_plan_nothing_ends_too_early_and_nothing_was_touched_in_vain(
    certificates: dict[int, str], chosen: list[tuple[str, str, int]], hours: int
) -> None:
    hold = {(holder, name): (Request("one", f"{holder}.{name}", "x"), life) for holder, name, life in chosen}
    before = NOW + timedelta(hours=hours, minutes=30)
    every = [Held(holder, name, request, certificates[life]) for (holder, name), (request, life) in hold.items()]
    turns = plan(due(every, before), USES)
    renewed = {(turn.host, name): request for turn in turns for name, request in turn.renewed.items()}
    assert renewed == {key: request for key, (request, life) in hold.items() if life <= hours}
    assert len({turn.host for turn in turns}) == len(turns)
    for turn in turns:
        assert sorted(turn.restarts) == sorted({user for name in turn.renewed for user in USES[name]})
        assert list(turn.restarts) == sorted(turn.restarts, key=["first", "second", "third"].index)


def test_hosts_have_their_turns_in_the_order_of_the_cluster(certificates: dict[int, str]) -> None:
    pair = Pair(certificates[1], "key")
    every = held(CLUSTER, {each.name: dict.fromkeys(of_host(CLUSTER, each), pair) for each in HOSTS}, certificates[1])
    turns = plan(every, USERS)
    assert [turn.host for turn in turns] == ["m1", "w1", ADMINISTRATOR]
    assert turns[0].restarts == ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
    assert turns[0].renewed == of_host(CLUSTER, HOSTS[0])
    assert turns[1] == Turn("w1", of_host(CLUSTER, HOSTS[1]), ())
    assert turns[2] == Turn(ADMINISTRATOR, {"admin": administrator()}, ())


def test_new_certificates_have_new_keys_and_the_old_names(tmp_path: Path) -> None:
    authority = EmbeddedAuthority(tmp_path)
    authority.mount("one")
    wanted = {"a": Request("one", "m1.a", "alice", client=True), "b": Request("one", "m1.b", "bob", client=True)}
    old, new = (renew(authority, Turn("m1", wanted, ())) for _ in range(2))
    read = [{name: x509.load_pem_x509_certificate(each.cert.encode()) for name, each in made.items()} for made in (old, new)]
    for name in wanted:
        assert read[0][name].subject == read[1][name].subject
        assert read[0][name].public_key() != read[1][name].public_key()
    assert len({each.key for made in (old, new) for each in made.values()}) == 4


def test_who_renews_for_one_host_cannot_have_anothers(tmp_path: Path) -> None:
    authority = EmbeddedAuthority(tmp_path)
    authority.mount("one")
    mine, foreign = Request("one", "m1.a", "alice", client=True), Request("one", "m2.a", "bob", client=True)
    with pytest.raises(Refused):
        authority.issuer("m1", (mine,)).issue(foreign)


@cache
def written(role: str) -> dict[str, bytes]:
    """The files that mayu's template of a role writes, by their paths."""
    document: Any = json.loads(rendered(role).config)
    return {each["path"]: _data(each["contents"]) for each in document["storage"]["files"]}


def _data(contents: dict[str, str]) -> bytes:
    head, _, body = contents.get("source", "data:,").partition(",")
    data = b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)
    return gzip.decompress(data) if contents.get("compression") == "gzip" else data


def pods(role: str) -> dict[str, Any]:
    """The static pods of a role, by name: their specs."""
    found = {}
    for path, text in written(role).items():
        if path.startswith("/etc/kubernetes/manifests"):
            manifest = yaml.safe_load(text)
            found[manifest["metadata"]["name"]] = manifest["spec"]
    return found


def mounts(role: str) -> dict[str, set[str]]:
    """What each static pod mounts, by the pod's name."""
    return {name: {volume["hostPath"]["path"] for volume in spec["volumes"]} for name, spec in pods(role).items()}


@pytest.mark.parametrize(("role", "of"), [("giantnetes-master", HOSTS[0]), ("giantnetes-worker", HOSTS[1])])
def test_the_template_puts_each_certificate_where_rotation_puts_its_successor(role: str, of: Host) -> None:
    for name in of_host(CLUSTER, of):
        for path in files(name):
            assert str(path) in written(role)


@pytest.mark.parametrize(("role", "of"), [("giantnetes-master", HOSTS[0]), ("giantnetes-worker", HOSTS[1])])
def test_the_pods_that_start_again_are_those_that_mount_the_file(role: str, of: Host) -> None:
    for name in of_host(CLUSTER, of):
        for path in files(name):
            assert {each for each, mounted in mounts(role).items() if str(path) in mounted} == set(USERS[name]) - {KUBELET}


def test_a_certificate_that_nobody_mounts_is_in_a_folder_that_is_mounted_or_read_by_no_pod() -> None:
    """kube-proxy sees a new file, because it is the folder that it has."""
    folder = str(files("kube_proxy")[0].parent)
    assert [each for each, mounted in mounts("giantnetes-worker").items() if folder in mounted] == ["kube-proxy"]
    assert pod("kube_proxy") == "kube-proxy"
    unused = {name for name, users in USERS.items() if not users} - {"kube_proxy"}
    folders = {str(parent) for name in unused for path in files(name) for parent in path.parents}
    assert folders & set().union(*mounts("giantnetes-master").values()) == set()


def test_a_kubelet_reads_its_certificate_from_the_file_and_once() -> None:
    """With `rotateCertificates` the file is where it begins; from then on it would ask for another by itself."""
    texts = written("giantnetes-master")
    assert yaml.safe_load(texts["/etc/kubernetes/kubelet.yaml"])["rotateCertificates"] is True
    user = yaml.safe_load(texts["/etc/kubernetes/kubelet.conf"])["users"][0]["user"]
    assert (user["client-certificate"], user["client-key"]) == tuple(map(str, files("kubelet")))
    assert USERS["kubelet"] == (KUBELET,)


def test_what_restarts_is_asked_where_its_own_probe_asks() -> None:
    for name, spec in pods("giantnetes-master").items():
        if name in HEALTH:
            asked = spec["containers"][0]["startupProbe"]["httpGet"]
            url = urlsplit(HEALTH[name])
            assert (url.scheme, url.hostname, url.port) == (asked["scheme"].lower(), asked["host"], asked["port"])
    assert set(HEALTH) == {user for users in USERS.values() for user in users}


def test_the_ports_on_which_a_certificate_is_shown_are_those_of_the_manifests() -> None:
    specs = pods("giantnetes-master")
    command = " ".join(specs["etcd"]["containers"][0]["command"])
    assert f":{SERVED['etcd_server']}" in command.split("--listen-client-urls=")[1].split()[0]
    assert f":{SERVED['etcd_peer']}" in command.split("--listen-peer-urls=")[1].split()[0]
    assert f"--secure-port={SERVED['apiserver']}" in specs["kube-apiserver"]["containers"][0]["command"]


def test_every_certificate_of_a_host_has_a_rule_and_no_rule_is_of_none() -> None:
    assert set(of_host(CLUSTER, HOSTS[0])) == set(USERS)
