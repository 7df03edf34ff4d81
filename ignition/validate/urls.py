"""URLs as Ignition judges them, by the rules of Go's net/url."""

import re
from urllib.parse import parse_qs

from ignition.validate.dataurls import BadURL, decode_data_url

INVALID_URL = "unable to parse url"
INVALID_SCHEME = "invalid url scheme"
INVALID_S3_VERSION = "invalid S3 object VersionId"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_HOST = re.compile(r"(?:[^\x00-\x20\\^`{|}/?#@%\x7f]|%25|%[89a-fA-F][0-9a-fA-F])*")
_ZONE = re.compile(r"(?:[^\x00-\x20\\^`{|}/?#@%\x7f]|%[0-9a-fA-F]{2})*")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")


def check_source(url: str, minor: int) -> None:
    """Raise BadURL unless Ignition can fetch from `url` in spec 3.`minor`. The empty URL is an empty file."""
    if not url:
        return
    scheme, rest = split_scheme(url)
    if scheme == "s3":
        versions = parse_qs(rest.partition("#")[0].partition("?")[2], keep_blank_values=True).get("versionId")
        if versions is not None and not versions[0]:
            raise BadURL(INVALID_S3_VERSION)
    elif scheme == "data":
        decode_data_url(url)
    elif scheme not in ("http", "https", "tftp") and not (scheme == "gs" and minor >= 2):
        raise BadURL(INVALID_SCHEME)


def split_scheme(url: str) -> tuple[str, str]:
    """Return the scheme in lower case and what follows it; raise BadURL for what Go's url.Parse refuses."""
    before, hash_sign, fragment = url.partition("#")
    if _CONTROL.search(before) or url.startswith(":") or _ESCAPE.search(fragment):
        raise BadURL(INVALID_URL)
    found = _SCHEME.fullmatch(before)
    scheme, before = (found[1].lower(), found[2]) if found else ("", before)
    rest = before + hash_sign + fragment
    path, _, _ = before.partition("?")
    if not path.startswith("/"):
        # Go keeps "scheme:text" opaque; without a scheme the first segment must not look like one.
        if not scheme and ":" in path.partition("/")[0]:
            raise BadURL(INVALID_URL)
        if not scheme and _ESCAPE.search(path):
            raise BadURL(INVALID_URL)
        return scheme, rest
    if path.startswith("//") and (scheme or not path.startswith("///")):
        authority, slash, path = path[2:].partition("/")
        _check_authority(authority)
        path = slash + path
    if _ESCAPE.search(path):
        raise BadURL(INVALID_URL)
    return scheme, rest


def _check_authority(authority: str) -> None:
    user, at, host = authority.rpartition("@")
    if at and (not _USER.fullmatch(user) or _ESCAPE.search(user)):
        raise BadURL(INVALID_URL)
    if host.startswith("["):
        address, bracket, port = host.rpartition("]")
        address, _, zone = address.partition("%25")
        if not bracket or not _HOST.fullmatch(address) or not _ZONE.fullmatch(zone):
            raise BadURL(INVALID_URL)
    else:
        _, colon, digits = host.rpartition(":")
        port = colon + digits if colon else ""
        if not _HOST.fullmatch(host):
            raise BadURL(INVALID_URL)
    if port and not re.fullmatch(r":[0-9]*", port):
        raise BadURL(INVALID_URL)
