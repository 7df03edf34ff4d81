"""Rules for what Ignition fetches: sources, hashes, headers, proxies."""

from collections.abc import Sequence

from ignition import model
from ignition.rules.dataurls import BadURL
from ignition.rules.places import Place
from ignition.rules.urls import INVALID_SCHEME, INVALID_URL, check_source, split_scheme

_HASH_DIGITS = {"sha512": 128, "sha256": 64}


def check_resource(resource: model.Resource, place: Place) -> None:
    if resource.compression not in (None, "", "gzip"):
        place.error("invalid compression method", "compression")
    if resource.verification and resource.verification.hash is not None and resource.source is None:
        place.error("source must be specified if verification is specified", "verification", "hash")
    place.error(_source_fault(resource.source, place.minor), "source")
    if resource.http_headers:
        place.error(_scheme_fault(resource.source), "httpHeaders")


def check_config_reference(reference: model.ConfigReference, place: Place) -> None:
    if place.minor == 0:
        place.error(_source_fault(reference.source, place.minor), "source")
    else:
        check_resource(reference, place)


def check_ca_reference(reference: model.CaReference, place: Place) -> None:
    if place.minor == 0:
        place.error(_source_fault(reference.source, place.minor) if reference.source else INVALID_SCHEME, "source")
    else:
        check_resource(reference, place)


def check_ignition_config(config: model.IgnitionConfig, place: Place) -> None:
    _check_required(config.merge, "merge", place)


def check_tls(tls: model.TLS, place: Place) -> None:
    _check_required(tls.certificate_authorities, "certificateAuthorities", place)


def _check_required(resources: Sequence[model.Resource], key: str, place: Place) -> None:
    """Configs to merge and CAs must say where they are; what is wrong with the source is said of the whole, too."""
    if place.minor == 0:
        return
    for index, resource in enumerate(resources):
        fault = _source_fault(resource.source, place.minor) if resource.source else "source is required"
        place.error(fault, key, index)


def _source_fault(source: str | None, minor: int) -> str | None:
    try:
        check_source(source or "", minor)
    except BadURL as error:
        return str(error)
    return None


def _scheme_fault(source: str | None) -> str | None:
    """Return why headers cannot be sent to a source."""
    try:
        scheme = split_scheme(source)[0] if source else None
    except BadURL as error:
        return str(error)
    if scheme is None:
        return INVALID_URL
    return None if scheme in ("http", "https") else "cannot use HTTP headers with this source scheme"


def check_verification(verification: model.Verification, place: Place) -> None:
    if verification.hash is None:
        return
    function, dash, digest = verification.hash.partition("-")
    digits = _HASH_DIGITS.get(function) if function != "sha256" or place.minor >= 1 else None
    if not dash:
        place.error("malformed hash specifier", "hash")
    elif digits is None:
        place.error("unrecognized hash function", "hash")
    elif len(digest.encode()) != digits:
        place.error("incorrect size for hash sum", "hash")


def check_header(header: model.HTTPHeader, place: Place) -> None:
    if not header.name:
        place.error("HTTP header name can't be empty", "name")
    if header.value == "":
        place.error("unable to parse HTTP header", "value")


def check_proxy(proxy: model.Proxy, place: Place) -> None:
    for key, url in (("httpProxy", proxy.http_proxy), ("httpsProxy", proxy.https_proxy)):
        if url is None:
            continue
        try:
            scheme = split_scheme(url)[0]
        except BadURL as error:
            place.error(str(error), key)
            continue
        if scheme not in ("http", "https"):
            place.error("proxies must be http(s)", key)
        elif scheme == "http" and key == "httpsProxy":
            place.warning("insecure plaintext HTTP proxy specified for HTTPS resources", key)
