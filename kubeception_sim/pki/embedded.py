"""An authority in this process, with the keys of its roots in a folder that only root may read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
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
            built = _builder(subject, subject, key.public_key(), ROOT_DAYS * 24)
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
        built = _builder(
            _name(request.common_name, request.organization), root.certificate.subject, key.public_key(), request.ttl_hours
        )
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
        certificate = built.sign(root.key, hashes.SHA256())
        return Issued(_pem(certificate), keys.pem(key), _serial(certificate))

    def intermediate(self, mount: str, common_name: str) -> Issued:
        """Below the mount's root."""
        root, key = self._root(mount), keys.new_key()
        built = _builder(_name(common_name, ""), root.certificate.subject, key.public_key(), ROOT_DAYS * 12)
        certificate = _as_authority(built, 0).sign(root.key, hashes.SHA256())
        return Issued(_pem(certificate), keys.pem(key), _serial(certificate))

    def revoke(self, mount: str, issued: Issued) -> None:
        """On the list from now on."""
        with (self._folder / mount / "revoked").open("a") as file:
            file.write(f"{x509.load_pem_x509_certificate(issued.cert.encode()).serial_number}\n")

    def crl(self, mount: str) -> str:
        """Signed anew at every call."""
        root, now = self._root(mount), datetime.now(UTC)
        built = x509.CertificateRevocationListBuilder().issuer_name(root.certificate.subject)
        built = built.last_update(now).next_update(now + timedelta(days=1))
        revoked = self._folder / mount / "revoked"
        for serial in revoked.read_text().split() if revoked.exists() else ():
            built = built.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(int(serial)).revocation_date(now).build()
            )
        return built.sign(root.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def unmount(self, name: str) -> None:
        """With its keys."""
        if (self._folder / name).exists():
            remove_tree(self._folder / name)

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


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, hours: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(hours=hours))
    )


def _as_authority(built: x509.CertificateBuilder, below: int | None) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return built.add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True).add_extension(
        usage, critical=True
    )


def _write(path: Path, text: str) -> None:
    """With its mode from the start; whole or not at all."""
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.rename(path)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _serial(certificate: x509.Certificate) -> str:
    text = f"{certificate.serial_number:x}"
    return bytes.fromhex(text.zfill(len(text) + len(text) % 2)).hex(":")
