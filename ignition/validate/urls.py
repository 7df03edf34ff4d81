"""URLs as Ignition judges them: Go's net/url for the shape, RFC 2397 for data URLs."""

import base64
import binascii
import re
from urllib.parse import parse_qs

INVALID_URL = "unable to parse url"
INVALID_SCHEME = "invalid url scheme"
INVALID_S3_VERSION = "invalid S3 object VersionId"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_HOST = re.compile(r"(?:[^\x00-\x20\\^`{|}/?#@%\x7f]|%25|%[89a-fA-F][0-9a-fA-F])*")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_TOKEN = r"[^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f-\U0010ffff]+"
_MEDIA = re.compile(rf"(?:{_TOKEN}/{_TOKEN})?")
_PARAMETER = re.compile(rf';({_TOKEN})=(?:{_TOKEN}|"(?:[^"\\]|\\.)*")')
_DATA = re.compile(r"[A-Za-z0-9\-_.!~*'();/?:@&=+$,%]*")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")


class BadURL(ValueError):
    """A URL that Ignition refuses; the message is Ignition's."""


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
    if any(char < " " or char == "\x7f" for char in url) or url.startswith(":"):
        raise BadURL(INVALID_URL)
    found = _SCHEME.fullmatch(url)
    scheme, rest = (found[1].lower(), found[2]) if found else ("", url)
    before, _, fragment = rest.partition("#")
    if _ESCAPE.search(fragment):
        raise BadURL(INVALID_URL)
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
        address, bracket, port = host.partition("]")
        if not bracket or _ESCAPE.search(address):
            raise BadURL(INVALID_URL)
    else:
        _, colon, digits = host.rpartition(":")
        port = colon + digits if colon else ""
        if not _HOST.fullmatch(host):
            raise BadURL(INVALID_URL)
    if port and not re.fullmatch(r":[0-9]*", port):
        raise BadURL(INVALID_URL)


def decode_data_url(url: str) -> bytes:
    """Return the bytes of a data URL; raise BadURL when it is not one."""
    if not url.startswith("data:"):
        raise BadURL("missing data prefix")
    position = 5
    found = _MEDIA.match(url, position)
    position = found.end() if found else position
    while (parameter := _PARAMETER.match(url, position)) is not None:
        position = parameter.end()
    is_base64 = url.startswith(";base64", position)
    position += 7 if is_base64 else 0
    if not url.startswith(",", position):
        raise BadURL("missing comma before data")
    data = url[position + 1 :]
    if not _DATA.fullmatch(data):
        raise BadURL("invalid data character")
    return _decode_base64(data) if is_base64 else _unescape(data)


def _unescape(data: str) -> bytes:
    if (bad := _ESCAPE.search(data)) is not None:
        raise BadURL(f"rfc2396: invalid char 0x{ord(data[bad.start()]):02x} in unescape sequence")
    return re.sub(rb"%([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), data.encode())


def _decode_base64(data: str) -> bytes:
    if (bad := _NOT_BASE64.search(data)) is not None:
        raise BadURL(f"illegal base64 data at input byte {bad.start()}")
    padding = data.find("=")
    if len(data) % 4 or (padding != -1 and (padding < len(data) - 2 or data[padding:].strip("="))):
        raise BadURL(f"illegal base64 data at input byte {len(data) if padding == -1 else padding}")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise BadURL(f"illegal base64 data: {error}") from error
