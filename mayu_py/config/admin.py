"""Rules for the admin face: where it listens, its certificate, who may come in."""

import re
import ssl
from collections.abc import Iterator

from ignition.document import Problem
from mayu_py.config.findings import URL_NAME, unique
from mayu_py.core.faces import Admin, AdminTls
from mayu_py.core.settings import Settings

_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


def _listener(settings: Settings) -> Iterator[Problem]:
    face = settings.admin
    if not 1 <= face.port <= 65535:
        yield face.origin.error(f"{face.port} is no TCP port", "port", hint="1 to 65535; 4080 is the default")
    elif face.port == settings.http.port:
        yield face.origin.error(f"the boot face has port {face.port}", "port", hint="4080 is the default")
    if face.tls is None and face.address is not None and not face.address.is_loopback:
        hint = "`tls: {certificate, key}`, or leave `address` out"
        yield face.origin.error("without TLS the admin face listens on the loopback only", "address", hint=hint)
    if face.files is not None and not face.files.is_dir():
        yield face.origin.error(f"there is no folder {face.files}", "files")


def _tls(settings: Settings) -> Iterator[Problem]:
    face = settings.admin
    if face.tls is None:
        return
    yield from _files(face.tls)
    if face.access.is_open:
        hint = "`tokens`, or `tls.client_ca` and `tls.certificates`"
        yield face.origin.warning("nobody has credentials, so only this machine may use the admin face", "tls", hint=hint)


def _files(tls: AdminTls) -> Iterator[Problem]:
    missing = False
    for key in ("certificate", "key", "client_ca"):
        path = getattr(tls, key)
        if path is not None and not path.is_file():
            missing = True
            yield tls.origin.error(f"there is no file {path}", key)
    if (tls.client_ca is None) != (not tls.certificates):
        there, lacking = ("certificates", "client_ca") if tls.client_ca is None else ("client_ca", "certificates")
        hint = "certificates: {ann: operate} gives roles to common names, client_ca verifies them"
        yield tls.origin.error(f"there is no `{lacking}` beside `{there}`", there, hint=hint)
    if not missing:
        yield from _readable(tls)


def _readable(tls: AdminTls) -> Iterator[Problem]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key, password="")
    except (OSError, ssl.SSLError) as error:
        hint = "PEM, the chain in `certificate`, its key without a passphrase in `key`"
        yield tls.origin.error(f"{tls.certificate} and {tls.key} cannot be used: {_why(error)}", "certificate", hint=hint)
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
        except (OSError, ssl.SSLError) as error:
            yield tls.origin.error(f"{tls.client_ca} holds no certificate: {_why(error)}", "client_ca", hint="PEM")


def _why(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)


def _tokens(settings: Settings) -> Iterator[Problem]:
    face: Admin = settings.admin
    yield from unique(((token.name, token.origin, ("name",)) for token in face.tokens), "the token name")
    yield from unique(((token.sha256.lower(), token.origin, ("sha256",)) for token in face.tokens), "the digest")
    for token in face.tokens:
        if not URL_NAME.fullmatch(token.name):
            yield token.origin.error(f"{token.name!r} cannot name a token", "name", hint="letters, digits, '.', '_' and '-'")
        if not _DIGEST.fullmatch(token.sha256):
            hint = "64 hex digits; `mayu token new NAME` prints the line. The token itself does not belong into the config"
            yield token.origin.error("this is no SHA-256", "sha256", hint=hint)


RULES = (_listener, _tls, _tokens)
