"""Keys and signing requests, PEM."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

RSA_BITS = 2048


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key on P-256: a tenth of the time of RSA, and read by everything in the cluster."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: CertificateIssuerPrivateKeyTypes) -> str:
    """The private key, PKCS #8."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def signing_request(key: ec.EllipticCurvePrivateKey, common_name: str) -> str:
    """PKCS #10."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def service_account_pair() -> tuple[str, str]:
    """Private and public key for tokens of service accounts. RSA: what every version of Kubernetes signs them with."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()
