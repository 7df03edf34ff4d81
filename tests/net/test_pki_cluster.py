"""A whole cluster's certificates by both authorities: OpenSSL, a second library and a real etcd say whom they believe."""

import http.client
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from time import monotonic, sleep

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from kubeception_sim.giantnetes.certificates import Certificates, issue
from kubeception_sim.giantnetes.cluster import Cluster, Host
from kubeception_sim.giantnetes.components import CLUSTER, ETCD, FRONT_PROXY, MOUNTS, of_host
from kubeception_sim.giantnetes.rotation import USERS, held
from kubeception_sim.giantnetes.values import Pair
from kubeception_sim.model.scenario import Role
from kubeception_sim.network import inside
from kubeception_sim.pki import Issued, Request
from kubeception_sim.pki.rotation import ends, plan, renew
from kubeception_sim.run import Process, spawn
from tests.net.authorities import ADDRESS, KINDS, Place, place

pytestmark = [pytest.mark.net, pytest.mark.timeout(180)]

PORT, PEER_PORT = 2379, 2380
READY_SECONDS = 30.0
REFUSED = (ssl.SSLError, ConnectionError)


def host(name: str, role: Role, address: IPv4Address, number: int) -> Host:
    return Host(name, role, "a", address, ADDRESS.ip, IPv4Network(f"10.60.{number}.0/24"))


# The first master has the address of the fabric itself, so that its etcd can be started there.
M1 = host("m1", Role.MASTER, ADDRESS.ip, 1)
HOSTS = (M1, host("m2", Role.MASTER, IPv4Address("10.77.0.12"), 2), host("w1", Role.WORKER, IPv4Address("10.77.0.13"), 3))
OUTER = Cluster(
    "v1.20.2", IPv4Address("10.77.0.9"), IPv4Network("10.60.0.0/16"), IPv4Network("10.61.0.0/16"), "cluster.local", HOSTS
)


@dataclass(frozen=True)
class Site:
    """Where a cluster's certificates were issued, and these."""

    at: Place
    certificates: Certificates
    asked: Mapping[str, Request]

    def pair(self, name: str) -> Pair:
        of, _, part = name.partition("/")
        return self.certificates.hosts[of][part]


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with place(request.param, tmp_path_factory.mktemp("pki")) as at:
        asked = {f"{each.name}/{part}": wanted for each in HOSTS for part, wanted in of_host(OUTER, each).items()}
        yield Site(at, issue(OUTER, at.authority, at.lab), asked)


def openssl_believes(certificate: str, root: str, purpose: str, folder: Path) -> str:
    """Empty when it does; else what it says. `-x509_strict` also wants what RFC 5280 wants of those who issue."""
    (folder / "root.crt").write_text(root)
    (folder / "leaf.crt").write_text(certificate)
    argv = ("openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", folder / "root.crt", folder / "leaf.crt")
    ran = subprocess.run(argv, capture_output=True, check=False, text=True)
    return ran.stderr if ran.returncode else ""


def test_every_certificate_is_believed_by_the_root_of_its_mount_and_by_no_other(site: Site, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("looked for openssl, of Debian's package openssl")
    for name, wanted in site.asked.items():
        purposes = ["sslclient"] * wanted.client + ["sslserver"] * wanted.server
        for mount, root in site.certificates.roots.items():
            said = {openssl_believes(site.pair(name).cert, root, purpose, tmp_path) for purpose in purposes}
            if mount == wanted.mount:
                assert said == {""}, name
            else:
                assert all("unable to get local issuer certificate" in each for each in said), name


def test_a_certificate_is_good_for_its_usages_only(site: Site, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("looked for openssl, of Debian's package openssl")
    for name, wanted in site.asked.items():
        for purpose, good in (("sslclient", wanted.client), ("sslserver", wanted.server)):
            said = openssl_believes(site.pair(name).cert, site.certificates.roots[wanted.mount], purpose, tmp_path)
            assert ("" if good else "purpose") in said, name
            assert good == (said == ""), name


def believes(root: str, certificate: str, between: list[str]) -> bool:
    """By RFC 5280's path validation of pyca/cryptography, which takes clients without alternative names if told so."""
    leaf = ExtensionPolicy.permit_all().may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    store = Store([x509.load_pem_x509_certificate(root.encode())])
    policies = PolicyBuilder().store(store).extension_policies(ee_policy=leaf, ca_policy=ExtensionPolicy.webpki_defaults_ca())
    try:
        policies.build_client_verifier().verify(
            x509.load_pem_x509_certificate(certificate.encode()),
            [x509.load_pem_x509_certificate(each.encode()) for each in between],
        )
    except VerificationError:
        return False
    return True


def values(certificate: x509.Certificate, kind: type[x509.SubjectAlternativeName] | type[x509.ExtendedKeyUsage]) -> list[object]:
    try:
        return list(certificate.extensions.get_extension_for_class(kind).value)
    except x509.ExtensionNotFound:
        return []


def test_a_certificate_says_what_was_asked_for_and_not_a_word_more(site: Site) -> None:
    for name, wanted in site.asked.items():
        found = x509.load_pem_x509_certificate(site.pair(name).cert.encode())
        subject = {(each.oid, each.value) for each in found.subject}
        organization = {(NameOID.ORGANIZATION_NAME, wanted.organization)} if wanted.organization else set()
        assert subject == {(NameOID.COMMON_NAME, wanted.common_name)} | organization, name
        names = [x509.DNSName(each) for each in wanted.dns] + [x509.IPAddress(each) for each in wanted.addresses]
        shown = values(found, x509.SubjectAlternativeName)
        assert set(shown) == set(names), name
        assert len(shown) == len(names), name
        usages = {ExtendedKeyUsageOID.CLIENT_AUTH: wanted.client, ExtendedKeyUsageOID.SERVER_AUTH: wanted.server}
        assert set(values(found, x509.ExtendedKeyUsage)) == {usage for usage, there in usages.items() if there}, name
        lasts = found.not_valid_after_utc - found.not_valid_before_utc
        assert abs(lasts - timedelta(hours=wanted.ttl_hours)) <= timedelta(minutes=6), name


def test_a_second_library_agrees(site: Site) -> None:
    roots = site.certificates.roots
    for name, wanted in site.asked.items():
        if wanted.client:
            found = {mount for mount in MOUNTS if believes(roots[mount], site.pair(name).cert, [])}
            assert found == {wanted.mount}, name


def test_the_signer_of_nodes_is_below_the_clusters_root_and_opens_nothing_else(site: Site) -> None:
    signer = site.certificates.signer.cert
    read = x509.load_pem_x509_certificate(signer.encode())
    for mount, root in site.certificates.roots.items():
        issuer = x509.load_pem_x509_certificate(root.encode())
        if mount == CLUSTER:
            read.verify_directly_issued_by(issuer)
        else:
            with pytest.raises(ValueError, match="does not match"):
                read.verify_directly_issued_by(issuer)
    assert ends(signer) > datetime.now(UTC) + timedelta(days=365)


def test_no_two_components_share_a_key(site: Site) -> None:
    keys = [pair.key for pairs in site.certificates.hosts.values() for pair in pairs.values()]
    assert len(set(keys)) == len(keys) == len(site.asked)


# etcd, for real


@contextmanager
def etcd(site: Site, folder: Path, *more: str) -> Iterator[Process]:
    """The etcd of the first master, on its own certificates. Its files are in `folder`."""
    if shutil.which("etcd") is None:
        pytest.skip("looked for etcd, of Debian's package etcd-server")
    write(folder, "server", site.pair("m1/etcd_server"))
    write(folder, "peer", site.pair("m1/etcd_peer"))
    (folder / "ca.crt").write_text(site.certificates.roots[ETCD])
    clients, peers = f"https://{ADDRESS.ip}:{PORT}", f"https://{ADDRESS.ip}:{PEER_PORT}"
    flags = {
        "name": "m1", "data-dir": folder / "data", "listen-client-urls": clients, "advertise-client-urls": clients,
        "listen-peer-urls": peers, "initial-advertise-peer-urls": peers, "initial-cluster": f"m1={peers}",
        "cert-file": folder / "server.crt", "key-file": folder / "server.key", "client-cert-auth": "true",
        "trusted-ca-file": folder / "ca.crt", "peer-cert-file": folder / "peer.crt", "peer-key-file": folder / "peer.key",
        "peer-client-cert-auth": "true", "peer-trusted-ca-file": folder / "ca.crt",
    }  # fmt: skip
    argv = ["etcd", *(f"--{name}={value}" for name, value in flags.items()), *more]
    namespace = site.at.fabric.namespace
    with spawn(argv, log=folder / "etcd.log", env=site.at.lab.env, namespace=namespace) as process:
        deadline, last = monotonic() + READY_SECONDS, ""
        while monotonic() < deadline:
            try:
                ask(site, folder, site.pair("m1/etcd_client"))
            except (*REFUSED, OSError) as error:
                last = str(error)
                sleep(0.05)
            else:
                break
        else:
            pytest.fail(f"etcd is not ready: {last}\n{process.tail()}")
        yield process


def write(folder: Path, name: str, pair: Pair | Issued) -> None:
    """As a whole, as a careful administrator does."""
    for suffix, text in (("crt", pair.cert), ("key", pair.key)):
        (folder / "new").write_text(text)
        (folder / "new").rename(folder / f"{name}.{suffix}")


def ask(site: Site, folder: Path, pair: Pair | Issued | None) -> tuple[int, int]:
    """Writes a key through etcd's JSON gateway, as the client that `pair` makes us.

    How the server calls that (HTTP), and the serial number of the certificate that it shows. Raises one of REFUSED.
    """
    context = ssl.create_default_context(cadata=site.certificates.roots[ETCD])
    if pair is not None:
        write(folder, "asker", pair)
        context.load_cert_chain(folder / "asker.crt", folder / "asker.key")

    def act() -> tuple[int, int]:
        plain = socket.create_connection((str(ADDRESS.ip), PORT), timeout=10)
        with plain, context.wrap_socket(plain, server_hostname=str(ADDRESS.ip)) as wrapped:
            shown = wrapped.getpeercert(binary_form=True)
            assert shown is not None
            connection = http.client.HTTPConnection(str(ADDRESS.ip))
            connection.sock = wrapped
            connection.request("POST", "/v3/kv/put", json.dumps({"key": "YQ==", "value": "YQ=="}))
            return connection.getresponse().status, x509.load_der_x509_certificate(shown).serial_number

    return inside(site.at.fabric.namespace, act)


def test_etcd_lets_in_whom_its_own_authority_certifies_and_nobody_else(site: Site, tmp_path: Path) -> None:
    """Least of all an administrator of the cluster, or a node: that is what the second authority is for."""
    with etcd(site, tmp_path):
        for name, wanted in site.asked.items():
            if wanted.mount == ETCD:
                assert ask(site, tmp_path, site.pair(name))[0] == 200, name
            elif wanted.client:
                with pytest.raises(REFUSED):
                    ask(site, tmp_path, site.pair(name))
        with pytest.raises(REFUSED):
            ask(site, tmp_path, site.certificates.signer)
        with pytest.raises(REFUSED):
            ask(site, tmp_path, None)
    assert {wanted.mount for wanted in site.asked.values()} == {CLUSTER, ETCD, FRONT_PROXY}


def test_etcd_shuts_out_who_was_revoked(site: Site, tmp_path: Path) -> None:
    authority = site.at.authority
    wanted = of_host(OUTER, HOSTS[1])["etcd_client"]
    stolen = authority.issuer("m2", (wanted,)).issue(wanted)
    revoked = tmp_path / "revoked.crl"
    revoked.write_text(authority.crl(ETCD))
    with etcd(site, tmp_path, f"--client-crl-file={revoked}"):
        assert ask(site, tmp_path, stolen)[0] == 200
        authority.revoke(ETCD, stolen.cert)
        revoked.write_text(authority.crl(ETCD))
        with pytest.raises(REFUSED):
            ask(site, tmp_path, stolen)
        assert ask(site, tmp_path, site.pair("m1/etcd_client"))[0] == 200


def test_clients_do_not_notice_that_a_host_has_had_its_turn(site: Site, tmp_path: Path) -> None:
    """Old and new certificates of both sides go together, so hosts can have their turns one after another."""
    every = held(OUTER, site.certificates.hosts, site.certificates.admin_cert.read_text())
    turn = plan(every, USERS)[0]
    with etcd(site, tmp_path):
        old = ask(site, tmp_path, site.pair("m1/etcd_client"))
        renewed = renew(site.at.authority, turn)
        assert ask(site, tmp_path, renewed["etcd_client"]) == old
        write(tmp_path, "server", renewed["etcd_server"])
        write(tmp_path, "peer", renewed["etcd_peer"])
        after = ask(site, tmp_path, site.pair("m1/etcd_client"))
        assert after == (200, x509.load_pem_x509_certificate(renewed["etcd_server"].cert.encode()).serial_number)
        assert after != old
        assert ask(site, tmp_path, renewed["etcd_client"]) == after
