"""One contract for both authorities: certificates that chain to their own root alone, issuers that get their own and no other."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric
from kubeception_sim.pki import Authority, Issued, Refused, Request
from kubeception_sim.pki.bao import BaoAuthority
from kubeception_sim.pki.embedded import EmbeddedAuthority
from kubeception_sim.pki.server import Server

pytestmark = [pytest.mark.net, pytest.mark.timeout(180)]

ADDRESS = IPv4Interface("10.77.0.1/24")
CLIENT = Request("one", "alice-client", "system:node:alice", "system:nodes", client=True, ttl_hours=24)
SERVER = Request(
    "one", "alice-server", "alice", dns=("alice", "alice.rack"), addresses=(IPv4Address("10.77.0.11"),), server=True, ttl_hours=24
)
BOBS = Request("one", "bob-client", "system:node:bob", "system:nodes", client=True, ttl_hours=24)
OTHER = Request("two", "alice-other", "alice", client=True, ttl_hours=24)


def _silent(what: str, done: float) -> None:
    pass


@contextmanager
def openbao(root: Path) -> Iterator[tuple[Authority, Server]]:
    with (
        Lab.create(root) as lab,
        Fabric.create(lab, address=ADDRESS, advertise=False) as fabric,
        Server.start(lab, fabric.namespace, ADDRESS.ip, _silent) as server,
    ):
        yield BaoAuthority(server), server


@pytest.fixture(scope="module", params=["embedded", "openbao"])
def authority(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    folder = tmp_path_factory.mktemp("pki")
    if request.param == "embedded":
        made = EmbeddedAuthority(folder)
        made.mount("one")
        made.mount("two")
        yield made
        return
    with openbao(folder) as (by, _):
        by.mount("one")
        by.mount("two")
        yield by


@pytest.fixture(scope="module")
def alice(authority: Authority) -> dict[str, Issued]:
    issuer = authority.issuer("alice", (CLIENT, SERVER, OTHER))
    return {request.name: issuer.issue(request) for request in (CLIENT, SERVER, OTHER)}


def read(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.cert.encode())


def test_a_mount_has_one_root_whoever_asks(authority: Authority) -> None:
    root = x509.load_pem_x509_certificate(authority.mount("one").encode())
    assert authority.mount("one") == authority.mount("one") != authority.mount("two")
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_names_usages_and_life_are_what_was_asked_for(alice: dict[str, Issued]) -> None:
    client, server = read(alice[CLIENT.name]), read(alice[SERVER.name])
    assert client.subject.rfc4514_string() in ("CN=system:node:alice,O=system:nodes", "O=system:nodes,CN=system:node:alice")
    usages = [each.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value for each in (client, server)]
    assert [list(usage) for usage in usages] == [[ExtendedKeyUsageOID.CLIENT_AUTH], [ExtendedKeyUsageOID.SERVER_AUTH]]
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sorted(names.get_values_for_type(x509.DNSName)) == ["alice", "alice.rack"]
    assert names.get_values_for_type(x509.IPAddress) == [IPv4Address("10.77.0.11")]
    left = client.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)


def test_each_certificate_has_a_key_of_its_own(alice: dict[str, Issued]) -> None:
    publics = set()
    for issued in alice.values():
        key = serialization.load_pem_private_key(issued.key.encode(), None).public_key()
        form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        assert key.public_bytes(*form) == read(issued).public_key().public_bytes(*form)
        publics.add(key.public_bytes(*form))
    assert len(publics) == len(alice)


def test_a_certificate_is_believed_by_its_own_authority_only(
    authority: Authority, alice: dict[str, Issued], tmp_path: Path
) -> None:
    """By OpenSSL, which is what HAProxy and curl use; Go's rules are in the cluster's own tests."""
    certificate = tmp_path / "client.crt"
    certificate.write_text(alice[CLIENT.name].cert)
    verdicts = []
    for mount in ("one", "two"):
        root = tmp_path / f"{mount}.crt"
        root.write_text(authority.mount(mount))
        verdicts.append(
            subprocess.run(["openssl", "verify", "-CAfile", root, certificate], capture_output=True, check=False).returncode
        )
    assert verdicts[0] == 0
    assert verdicts[1] != 0


def test_an_issuer_gets_its_own_and_no_other(authority: Authority) -> None:
    issuer = authority.issuer("carol", (CLIENT,))
    assert "BEGIN CERTIFICATE" in issuer.issue(CLIENT).cert
    for foreign in (BOBS, SERVER, OTHER):
        with pytest.raises(Refused):
            issuer.issue(foreign)


def test_a_role_is_not_bent_to_other_names(authority: Authority) -> None:
    issuer = authority.issuer("dave", (CLIENT,))
    for bent in (
        replace(CLIENT, common_name="system:kube-controller-manager"),
        replace(CLIENT, dns=("kubernetes",)),
        replace(CLIENT, addresses=(IPv4Address("10.61.0.1"),)),
        replace(CLIENT, ttl_hours=24 * 365),
    ):
        with pytest.raises(Refused):
            issuer.issue(bent)


def test_an_intermediate_signs_certificates_and_no_authorities(authority: Authority) -> None:
    made = read(authority.intermediate("one", "signer"))
    limits = made.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, 0)
    root = x509.load_pem_x509_certificate(authority.mount("one").encode())
    made.verify_directly_issued_by(root)


def test_what_is_revoked_is_on_the_list(authority: Authority) -> None:
    issued = authority.issuer("erin", (CLIENT,)).issue(CLIENT)
    authority.revoke("one", issued)
    listed = x509.load_pem_x509_crl(authority.crl("one").encode())
    assert listed.get_revoked_certificate_by_serial_number(read(issued).serial_number) is not None


def test_a_mount_that_is_removed_is_gone(authority: Authority) -> None:
    first = authority.mount("three")
    authority.unmount("three")
    authority.unmount("three")
    assert authority.mount("three") != first


def test_openbao_hands_a_token_over_once(tmp_path: Path) -> None:
    with openbao(tmp_path) as (by, _):
        by.mount("one")
        issuer = by.issuer("alice", (CLIENT,))
        thief = type(issuer)(*(getattr(issuer, name) for name in ("_server", "_host", "_wrapped")))  # type: ignore[call-arg]
        issuer.issue(CLIENT)
        with pytest.raises(Refused, match="unwrapped before"):
            thief.issue(CLIENT)


def test_openbao_that_is_killed_has_lost_nothing_when_it_starts_again(tmp_path: Path) -> None:
    with Lab.create(tmp_path) as lab, Fabric.create(lab, address=ADDRESS, advertise=False) as fabric:
        with Server.start(lab, fabric.namespace, ADDRESS.ip, _silent) as server:
            root = BaoAuthority(server).mount("one")
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait(10)
        with Server.start(lab, fabric.namespace, ADDRESS.ip, _silent) as server:
            again = BaoAuthority(server)
            assert again.mount("one") == root
            assert "BEGIN CERTIFICATE" in again.issuer("alice", (CLIENT,)).issue(CLIENT).cert


def test_the_keys_of_a_lab_are_its_owners_alone(tmp_path: Path) -> None:
    with (
        Lab.create(tmp_path) as lab,
        Fabric.create(lab, address=ADDRESS, advertise=False) as fabric,
        Server.start(lab, fabric.namespace, ADDRESS.ip, _silent),
    ):
        folder = lab.directory / "openbao"
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / "keys.json").stat().st_mode & 0o077 == 0
