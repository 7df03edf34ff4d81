"""One contract for both authorities: certificates that chain to their own root alone, issuers that get their own and no other."""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from hvac.exceptions import Forbidden

from kubeception_sim.errors import HarnessError
from kubeception_sim.pki import Authority, Issued, Refused, Request
from kubeception_sim.pki.bao import BaoAuthority, parameters
from kubeception_sim.pki.server import Server
from tests.net.authorities import ADDRESS, KINDS, network, openbao, place, silent

pytestmark = [pytest.mark.net, pytest.mark.timeout(180)]

CLIENT = Request("one", "alice-client", "system:node:alice", "system:nodes", client=True, ttl_hours=24)
SERVER = Request(
    "one", "alice-server", "alice", dns=("alice", "alice.rack"), addresses=(IPv4Address("10.77.0.11"),), server=True, ttl_hours=24
)
BOBS = Request("one", "bob-client", "system:node:bob", "system:nodes", client=True, ttl_hours=24)
OTHER = Request("two", "alice-other", "alice", client=True, ttl_hours=24)


@pytest.fixture(scope="module", params=KINDS)
def authority(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with place(request.param, tmp_path_factory.mktemp("pki")) as at:
        at.authority.mount("one")
        at.authority.mount("two")
        yield at.authority


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
    spared = authority.issuer("erin", (CLIENT,)).issue(CLIENT)
    authority.revoke("one", issued.cert)
    listed = x509.load_pem_x509_crl(authority.crl("one").encode())
    assert listed.get_revoked_certificate_by_serial_number(read(issued).serial_number) is not None
    assert listed.get_revoked_certificate_by_serial_number(read(spared).serial_number) is None
    root = x509.load_pem_x509_certificate(authority.mount("one").encode())
    assert listed.is_signature_valid(root.public_key())  # type: ignore[arg-type]


def test_a_mount_revokes_its_own_only(authority: Authority, alice: dict[str, Issued]) -> None:
    with pytest.raises(HarnessError, match="two"):
        authority.revoke("two", alice[CLIENT.name].cert)
    for nowhere in (authority.crl, lambda mount: authority.intermediate(mount, "x")):
        with pytest.raises(HarnessError):
            nowhere("nowhere")


def test_both_authorities_put_the_same_extensions_into_a_certificate(alice: dict[str, Issued]) -> None:
    found = {name: {each.oid: each.critical for each in read(issued).extensions} for name, issued in alice.items()}
    always = {
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
        ExtensionOID.KEY_USAGE: True,
        ExtensionOID.EXTENDED_KEY_USAGE: False,
    }
    for name, extensions in found.items():
        expected = always | ({ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False} if name == SERVER.name else {})
        assert {oid: is_critical for oid, is_critical in extensions.items() if oid != ExtensionOID.BASIC_CONSTRAINTS} == expected
        usage = read(alice[name]).extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.digital_signature, usage.key_cert_sign, usage.key_encipherment) == (True, False, False)


def test_a_mount_that_is_removed_is_gone(authority: Authority) -> None:
    first = authority.mount("three")
    authority.unmount("three")
    authority.unmount("three")
    assert authority.mount("three") != first


def test_openbao_hands_a_token_over_once(tmp_path: Path) -> None:
    with openbao(tmp_path) as (by, _):
        by.mount("one")
        issuer = by.issuer("alice", (CLIENT,))
        thief = type(issuer)(*(getattr(issuer, name) for name in ("_server", "_host", "_wrapped")))
        issuer.issue(CLIENT)
        with pytest.raises(Refused, match="unwrapped before"):
            thief.issue(CLIENT)


def test_a_hosts_token_opens_nothing_else_in_openbao(tmp_path: Path) -> None:
    """With the token itself, past our own client: other paths, and parameters that our client does not know."""
    with openbao(tmp_path) as (by, server):
        by.mount("one")
        issuer = by.issuer("alice", (CLIENT,))
        issuer.issue(CLIENT)
        token = issuer._token

        def refused(method: str, path: str, **body: str) -> bool:
            try:
                server.ask(lambda client: client.adapter.request(method, f"/v1/{path}", json=body or None), token)
            except Forbidden:
                return True
            return False

        own = parameters(CLIENT)
        assert not refused("post", f"one/issue/{CLIENT.name}", **own)
        for more in ({"uri_sans": "spiffe://x"}, {"other_sans": "1.2.3;utf8:x"}, {"not_after": "2099-01-01T00:00:00Z"}):
            assert refused("post", f"one/issue/{CLIENT.name}", **own, **more), more
        for method, path in (
            ("post", f"one/sign/{CLIENT.name}"),
            ("post", f"one/sign-verbatim/{CLIENT.name}"),
            ("post", "one/root/sign-intermediate"),
            ("post", "one/revoke"),
            ("post", f"one/roles/{CLIENT.name}"),
            ("get", f"one/roles/{CLIENT.name}"),
            ("get", "one/certs?list=true"),
            ("delete", "one/root"),
            ("get", "sys/mounts"),
            ("post", "sys/mounts/two"),
            ("post", "sys/policy/pki-alice"),
            ("post", "auth/token/create"),
            ("post", "auth/token/renew-self"),
        ):
            assert refused(method, path), path


def test_an_engine_without_a_root_is_given_one(tmp_path: Path) -> None:
    with openbao(tmp_path) as (by, server):
        server.ask(lambda client: client.sys.enable_secrets_engine("pki", path="half"))
        assert "BEGIN CERTIFICATE" in by.mount("half")


def test_openbao_that_does_not_answer_is_a_failure_of_the_harness(tmp_path: Path) -> None:
    with openbao(tmp_path) as (by, server):
        by.mount("one")
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        with pytest.raises(HarnessError, match="does not answer"):
            by.mount("one")


def test_data_whose_keys_are_lost_is_told_with_what_to_do(tmp_path: Path) -> None:
    with network(tmp_path) as (lab, fabric):
        with Server.start(lab, fabric.namespace, ADDRESS.ip, silent):
            pass
        (lab.directory / "openbao/keys.json").unlink()
        again = Server.start(lab, fabric.namespace, ADDRESS.ip, silent)
        with pytest.raises(HarnessError, match="keys are not in") as raised, again:
            pass
        assert "remove" in raised.value.hint


def test_openbao_that_is_killed_has_lost_nothing_when_it_starts_again(tmp_path: Path) -> None:
    with network(tmp_path) as (lab, fabric):
        with Server.start(lab, fabric.namespace, ADDRESS.ip, silent) as server:
            root = BaoAuthority(server).mount("one")
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait(10)
        with Server.start(lab, fabric.namespace, ADDRESS.ip, silent) as server:
            again = BaoAuthority(server)
            assert again.mount("one") == root
            assert "BEGIN CERTIFICATE" in again.issuer("alice", (CLIENT,)).issue(CLIENT).cert


def test_the_keys_of_a_lab_are_its_owners_alone(tmp_path: Path) -> None:
    with network(tmp_path) as (lab, fabric), Server.start(lab, fabric.namespace, ADDRESS.ip, silent):
        folder = lab.directory / "openbao"
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / "keys.json").stat().st_mode & 0o077 == 0
