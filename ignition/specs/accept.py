"""The Accept header that Ignition sends when it fetches its config (RFC 9110 section 12.5.1; internal/resource/url.go).

`application/vnd.coreos.ignition+json;version=3.5.0, */*;q=0.1` names the newest spec that the client reads, and it reads
all older ones of spec 3 too. Releases before 2.0 name spec 2 and, with less weight, spec 1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"({_TOKEN})/({_TOKEN})")
_PARAMETER = re.compile(rf'({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")', re.DOTALL)
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_VERSION = re.compile(r"(?P<major>[0-9]{1,9})(?:\.(?P<minor>[0-9]{1,9})(?:\.[0-9]{1,9}(?P<draft>-[0-9A-Za-z.-]+)?)?)?")

MEDIA_TYPE = "application/vnd.coreos.ignition+json"


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One element of an Accept header: a type in lower case, its parameters by lower-case name, and a weight above 0 to 1."""

    media_type: str
    parameters: dict[str, str]
    weight: float


@dataclass(frozen=True, slots=True)
class Reader:
    """A spec version that a client says it reads. `minor` counts within spec 3, where a draft stands for the spec before it."""

    version: str
    major: int
    minor: int
    weight: float

    @property
    def rank(self) -> tuple[float, int, int]:
        return self.weight, self.major, self.minor


def readers(header: str) -> list[Reader]:
    """Return the Ignition specs that an Accept header names, the preferred first and, of equal weight, the newest first.

    What is malformed is passed over, and so is what has weight 0: a config has but one media type, so refusing it leaves
    nothing to send, and RFC 9110 lets a server disregard the header then.
    """
    found = [
        reader
        for media_range in media_ranges(header)
        if media_range.media_type == MEDIA_TYPE and (reader := _reader(media_range)) is not None
    ]
    return sorted(found, key=lambda reader: reader.rank, reverse=True)


def _reader(media_range: MediaRange) -> Reader | None:
    version = media_range.parameters.get("version", "")
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    minor = int(found["minor"] or 0) - (1 if found["draft"] else 0)
    return Reader(version, int(found["major"]), minor, media_range.weight)


def media_ranges(header: str) -> Iterator[MediaRange]:
    """Yield the well-formed elements of an Accept header that have a weight above 0."""
    for element in _split(header, ","):
        media_type, *texts = (part.strip(" \t") for part in _split(element, ";"))
        parameters = dict(_parameters(texts))
        weight = parameters.pop("q", "1")
        if _MEDIA_TYPE.fullmatch(media_type) and _WEIGHT.fullmatch(weight) and float(weight) > 0:
            yield MediaRange(media_type.lower(), parameters, float(weight))


def _parameters(texts: list[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        if found := _PARAMETER.fullmatch(text):
            quoted = re.sub(r"\\(.)", r"\1", found[3] or "", flags=re.DOTALL)
            yield found[1].lower(), found[2] if found[2] is not None else quoted


def _split(text: str, separator: str) -> Iterator[str]:
    """Split at a separator that stands outside of quoted strings."""
    start, is_quoted, is_escaped = 0, False, False
    for position, char in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif is_quoted and char == "\\":
            is_escaped = True
        elif char == '"':
            is_quoted = not is_quoted
        elif char == separator and not is_quoted:
            yield text[start:position]
            start = position + 1
    yield text[start:]
