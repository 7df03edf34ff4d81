"""An authority in this process, with the keys of its roots in a folder that only root may read."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubeception_sim.errors import HarnessError
from kubeception_sim.lab import remove_tree
from kubeception_sim.pki import keys
from kubeception_sim.pki.authority import Issued, Refused, Request

ROOT_DAYS = 3650
_SKEW = timedelta(minutes=5)  # clocks of hosts that have just booted


@dataclass(frozen=True)
class _Root:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class EmbeddedAuthority:
    """See `Authority`. What it has issued it does not keep; what it has revoked it does."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def mount(self, name: str) -> str:
        """The root's certificate; made at the first call."""
        path = self._folder / name
        if not (path / "ca.crt").exists():
            key = keys.new_key()
            subject = _name(name, "")
            built = _builder(subject, subject, key.public_key(), key.public_key(), ROOT_DAYS * 24)
            root = _as_authority(built, None).sign(key, hashes.SHA256())
            path.mkdir(mode=0o700, exist_ok=True)
            _write(path / "ca.key", keys.pem(key))
            _write(path / "ca.crt", _pem(root))
        return (path / "ca.crt").read_text()

    def issuer(self, host: str, requests: Sequence[Request]) -> "EmbeddedIssuer":
        """Good for exactly these."""
        return EmbeddedIssuer(self, host, frozenset(requests))

    def issue(self, request: Request) -> Issued:
        """Whatever is asked for; issuers ask for what they may."""
        root, key = self._root(request.mount), keys.new_key()
        subject = _name(request.common_name, request.organization)
        built = _builder(subject, root.certificate.subject, key.public_key(), root.key.public_key(), request.ttl_hours)
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in request.dns]
        names += [x509.IPAddress(address) for address in request.addresses]
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        usages = [
            usage
            for wanted, usage in (
                (request.client, ExtendedKeyUsageOID.CLIENT_AUTH),
                (request.server, ExtendedKeyUsageOID.SERVER_AUTH),
            )
            if wanted
        ]
        if usages:
            built = built.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        built = built.add_extension(_key_usage(signature=True), critical=True)
        return Issued(_pem(built.sign(root.key, hashes.SHA256())), keys.pem(key))

    def intermediate(self, mount: str, common_name: str) -> Issued:
        """Below the mount's root."""
        root, key = self._root(mount), keys.new_key()
        subject, issuer = _name(common_name, ""), root.certificate.subject
        built = _builder(subject, issuer, key.public_key(), root.key.public_key(), ROOT_DAYS * 12)
        return Issued(_pem(_as_authority(built, 0).sign(root.key, hashes.SHA256())), keys.pem(key))

    def revoke(self, mount: str, cert: str) -> None:
        """On the list from now on."""
        certificate = x509.load_pem_x509_certificate(cert.encode())
        try:
            certificate.verify_directly_issued_by(self._root(mount).certificate)
        except (ValueError, InvalidSignature) as error:
            raise HarnessError(f"{mount} has not issued {certificate.subject.rfc4514_string()}") from error
        with (self._folder / mount / "revoked").open("a") as file:
            file.write(f"{certificate.serial_number} {datetime.now(UTC).isoformat(timespec='seconds')}\n")

    def crl(self, mount: str) -> str:
        """Signed anew at every call, good for a day. Its number (RFC 5280, 5.2.3) is the time in microseconds."""
        root, now = self._root(mount), datetime.now(UTC)
        built = x509.CertificateRevocationListBuilder().issuer_name(root.certificate.subject)
        built = built.last_update(now - _SKEW).next_update(now + timedelta(days=1))
        built = built.add_extension(x509.CRLNumber(int(now.timestamp() * 1e6)), critical=False)
        built = built.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()), critical=False)
        for revoked in self._revoked(mount):
            built = built.add_revoked_certificate(revoked)
        return built.sign(root.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def unmount(self, name: str) -> None:
        """With its keys."""
        if (self._folder / name).exists():
            remove_tree(self._folder / name)

    def _revoked(self, mount: str) -> Iterator[x509.RevokedCertificate]:
        path = self._folder / mount / "revoked"
        for line in path.read_text().splitlines() if path.exists() else ():
            serial, at = line.split()
            yield x509.RevokedCertificateBuilder(int(serial), datetime.fromisoformat(at)).build()

    def _root(self, mount: str) -> _Root:
        path = self._folder / mount
        try:
            certificate = x509.load_pem_x509_certificate((path / "ca.crt").read_bytes())
            key = serialization.load_pem_private_key((path / "ca.key").read_bytes(), None)
        except FileNotFoundError as error:
            raise HarnessError(f"there is no mount {mount}") from error
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return _Root(certificate, key)


class EmbeddedIssuer:
    """See `Issuer`."""

    def __init__(self, authority: EmbeddedAuthority, host: str, requests: frozenset[Request]) -> None:
        self._authority = authority
        self._host = host
        self._requests = requests

    def issue(self, request: Request) -> Issued:
        """If it is one of those it was made for."""
        if request not in self._requests:
            raise Refused(f"{self._host} may not have {request.name} of {request.mount}")
        return self._authority.issue(request)


def _name(common_name: str, organization: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, issuers: ec.EllipticCurvePublicKey, hours: int
) -> x509.CertificateBuilder:
    """With the identifiers of both keys (RFC 5280, 4.2.1.1 and 4.2.1.2): two roots of one name are told apart by them."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(hours=hours))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuers), critical=False)
    )


def _as_authority(built: x509.CertificateBuilder, below: int | None) -> x509.CertificateBuilder:
    limits = x509.BasicConstraints(ca=True, path_length=below)
    return built.add_extension(limits, critical=True).add_extension(_key_usage(authority=True), critical=True)


def _key_usage(*, signature: bool = False, authority: bool = False) -> x509.KeyUsage:
    """Signatures in handshakes, or those of an authority: keys on curves encipher nothing (RFC 5480, 3)."""
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, text: str) -> None:
    """With its mode from the start; whole or not at all."""
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.rename(path)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
