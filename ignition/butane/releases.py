"""The releases of Butane's language that are translated here, and what a document says about its own."""

import re
from dataclasses import dataclass

from ignition.butane.unmarshal import BadMerge, merged_entries, repeated_keys, unmarshal_fault
from ignition.document import Kind, MapNode, Mark, Node, ScalarNode
from ignition.document.go_yaml import content_mark

_SEMVER = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})(?:-([0-9A-Za-z.-]*))?(?:\+([0-9A-Za-z.-]*))?")


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a variant.

    `base` counts Butane's base schemas (base/v0_`base`) from 1; `fcos` is the minor version of the variant fcos, -1 for another.
    """

    variant: str
    minor: int
    base: int
    fcos: int = -1

    @property
    def version(self) -> str:
        return f"1.{self.minor}.0"

    @property
    def spec_minor(self) -> int:
        """The minor version of the Ignition spec that documents are translated to."""
        return self.base - 1

    @property
    def spec(self) -> str:
        return f"3.{self.spec_minor}.0"


_RELEASES = {
    (release.variant, release.version): release
    for release in (
        *(Release("fcos", minor, base, minor) for minor, base in enumerate((1, 2, 3, 3, 4, 5, 6, 7))),
        Release("flatcar", 0, 4),
        Release("flatcar", 1, 5),
    )
}
_OTHERS = {
    "fcos": {"1.8.0-experimental"},
    "fiot": {"1.0.0", "1.1.0-experimental"},
    "flatcar": {"1.2.0-experimental"},
    "openshift": {*(f"4.{minor}.0" for minor in range(8, 23)), "4.23.0-experimental"},
    "r4e": {"1.0.0", "1.1.0", "1.2.0-experimental"},
}
"""What Butane 0.29 translates as well."""


_SCOPE = "fcos 1.0.0 to 1.7.0 and flatcar 1.0.0 and 1.1.0 are translated"


class NoRelease(Exception):
    """No translation exists for a document. The message is Butane's where Butane would refuse it, too."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.mark = mark


def release_of(document: Node) -> Release:
    """Return the release that a document is written in; raise NoRelease when it names none of those known here."""
    header = _header(document)
    variant, version = (header[key].text if key in header else "" for key in ("variant", "version"))
    if not variant:
        raise NoRelease(document.mark, "error parsing variant; must be specified")
    mark = header["version" if version else "variant"].mark
    number = _normal(version)
    if number is None:
        raise NoRelease(mark, "error parsing version; must be a valid semver")
    release = _RELEASES.get((variant, number))
    if release is None:
        raise NoRelease(mark, _refusal(variant, number))
    return release


def _refusal(variant: str, version: str) -> str:
    if (variant, version) == ("rhcos", "0.1.0"):
        page = "https://coreos.github.io/butane/upgrading-openshift/"
        return f"rhcos variant has been removed; use openshift variant instead: {page}"
    if version in _OTHERS.get(variant, ()):
        return f"variant {variant} with version {version} is out of scope here: {_SCOPE}"
    return f"No translator exists for variant {variant} with version {version}"


def _header(document: Node) -> dict[str, ScalarNode]:
    """Return variant and version, the only two fields that Butane decodes before it knows the release."""
    try:
        faults = _header_faults(document)
    except BadMerge as error:
        raise NoRelease(error.mark, f"Error unmarshaling yaml: {error}") from error
    if faults:
        lines = "".join(f"\n  {fault}" for fault in faults)
        raise NoRelease(content_mark(document), f"Error unmarshaling yaml: yaml: unmarshal errors:{lines}")
    fields = {key: value for key, value in _fields(document) if isinstance(value, ScalarNode)}
    return {key: value for key, value in fields.items() if value.kind is not Kind.NULL}


def _fields(document: Node) -> list[tuple[str, Node]]:
    entries = merged_entries(document) if isinstance(document, MapNode) else ()
    return [(key.text, value) for key, value in entries if key.text in ("variant", "version")]


def _header_faults(document: Node) -> list[str]:
    if isinstance(document, ScalarNode) and document.kind is Kind.NULL:
        return []
    if not isinstance(document, MapNode):
        return [unmarshal_fault(document, "config.commonFields")]
    if repeated := repeated_keys(document):
        return [fault for _, fault in repeated]
    return [unmarshal_fault(value, "string") for _, value in _fields(document) if not isinstance(value, ScalarNode)]


def _normal(version: str) -> str | None:
    """Return a version as coreos/go-semver writes it, None for text that it does not read."""
    found = _SEMVER.fullmatch(version)
    if found is None:
        return None
    numbers = ".".join(str(int(number)) for number in found.groups()[:3])
    return numbers + (f"-{found[4]}" if found[4] else "") + (f"+{found[5]}" if found[5] else "")
