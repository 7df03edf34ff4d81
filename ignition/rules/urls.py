"""URLs as Ignition judges them, by the rules of Go's net/url."""

import re

from ignition.rules.dataurls import BadURL, decode_data_url

INVALID_URL = "unable to parse url"
INVALID_SCHEME = "invalid url scheme"
INVALID_S3_VERSION = "invalid S3 object VersionId"
INVALID_ARN = "invalid S3 ARN format"

_ARN_SINCE = 4
_ARN_SECTIONS = 6

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PLAIN = re.compile(r"(https?)(://[A-Za-z0-9.-]++(?::[0-9]+)?(?:/[A-Za-z0-9._~/=?&-]*+)?)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_ESCAPED = re.compile(r"%([0-9a-fA-F]{2})")
_HOST = re.compile(r"(?:[^\x00-\x20\\^`{|}/?#@%\x7f]|%25|%[89a-fA-F][0-9a-fA-F])*")
_ZONE = re.compile(r"(?:[^\x00-\x20\\^`{|}/?#@%\x7f]|%[0-9a-fA-F]{2})*")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")


def check_source(url: str, minor: int) -> None:
    """Raise BadURL unless Ignition can fetch from `url` in spec 3.`minor`. The empty URL is an empty file."""
    if not url:
        return
    scheme, rest = split_scheme(url)
    if scheme == "s3":
        _check_version(rest)
    elif scheme == "data":
        decode_data_url(url)
    elif scheme == "arn" and minor >= _ARN_SINCE:
        _check_arn(rest)
    elif scheme not in ("http", "https", "tftp") and not (scheme == "gs" and minor >= 2):
        raise BadURL(INVALID_SCHEME)


def _check_arn(rest: str) -> None:
    """Raise for what follows `arn:` unless it names an object, or one behind an access point."""
    name = rest.partition("#")[0].partition("?")[0]
    sections = ["arn", *name.split(":", _ARN_SECTIONS - 2)]
    if name.startswith("/") or len(sections) < _ARN_SECTIONS or sections[2] != "s3":
        raise BadURL(INVALID_ARN)
    if name.count("/") < (2 if sections[-1].startswith("accesspoint/") else 1):
        raise BadURL(INVALID_ARN)
    _check_version(rest)


def _check_version(rest: str) -> None:
    """Raise when the first versionId of the query is empty. Go drops pairs with a semicolon or a wrong escape."""
    for pair in rest.partition("#")[0].partition("?")[2].split("&"):
        key, _, value = pair.partition("=")
        if ";" not in pair and not _ESCAPE.search(pair) and _ESCAPED.sub(_unescaped, key) == "versionId":
            if not value:
                raise BadURL(INVALID_S3_VERSION)
            return


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def split_scheme(url: str) -> tuple[str, str]:
    """Return the scheme in lower case and what follows it; raise BadURL for what Go's url.Parse refuses."""
    if plain := _PLAIN.fullmatch(url):
        return plain[1], plain[2].removeprefix(":")
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
