"""The ignition section, and everything else that names a source."""

from typing import TypeVar

from ignition import model
from ignition.legacy import types
from ignition.legacy.outcome import Effect, Journal, quoted
from ignition.model import Path

R = TypeVar("R", bound=model.Resource)

_SECTION: Path = ("ignition",)
_APPENDED = "spec 2 added its entries after the others, spec 3 merges them by name and the referenced config wins"
_SPEC_3 = "the config it names must be of spec 3, too"


def migrate_ignition(old: types.Ignition, journal: Journal) -> model.Ignition:
    if old.proxy is not None and journal.target == 0:
        journal.refuse((*_SECTION, "proxy"), "spec 3.0.0 knows no proxy", "migrate to 3.1.0 or newer")
    return model.Ignition(
        config=None if old.config is None else _config(old.config, journal),
        proxy=None if old.proxy is None else _proxy(old.proxy, journal),
        security=None if old.security is None or old.security.tls is None else _security(old.security.tls, journal),
        timeouts=old.timeouts,
    )


def _config(old: types.IgnitionConfig, journal: Journal) -> model.IgnitionConfig:
    path: Path = (*_SECTION, "config")
    merge = []
    for reference, origin in journal.distinct((*path, "append"), old.append, lambda reference: reference.source):
        was, became = f"append {quoted(reference.source)}", f"merge {quoted(reference.source)}"
        journal.changed(origin, was, became, f"{_APPENDED}; {_SPEC_3}", Effect.MAY_DIFFER)
        merge.append((_resource(model.ConfigReference, reference, origin, journal), origin))
    replace = None
    if old.replace is not None:
        origin = (*path, "replace")
        journal.kept(origin, f"replace {quoted(old.replace.source)}", "replace", _SPEC_3, Effect.MAY_DIFFER)
        replace = _resource(model.ConfigReference, old.replace, origin, journal)
    return model.IgnitionConfig(merge=journal.placed((*path, "merge"), merge), replace=replace)


def _proxy(old: model.Proxy, journal: Journal) -> model.Proxy:
    path: Path = (*_SECTION, "proxy", "noProxy")
    exempt = journal.placed(path, journal.distinct(path, old.no_proxy))
    return model.Proxy(http_proxy=old.http_proxy or None, https_proxy=old.https_proxy or None, no_proxy=exempt)


def _security(old: types.TLS, journal: Journal) -> model.Security:
    path: Path = (*_SECTION, "security", "tls", "certificateAuthorities")
    references = journal.distinct(path, old.certificate_authorities, lambda reference: reference.source)
    authorities = [(_resource(model.CaReference, reference, origin, journal), origin) for reference, origin in references]
    return model.Security(tls=model.TLS(certificate_authorities=journal.placed(path, authorities)))


def migrate_contents(old: types.FileContents, path: Path, journal: Journal) -> model.Resource:
    """Return what a file holds. Without a source it is empty, and nothing is unpacked or verified."""
    if not old.source:
        if old.compression or (old.verification and old.verification.hash):
            journal.dropped(path, "compression and verification", "nothing is fetched without a source, and so neither was used")
        return model.Resource(source="data:,")
    return _resource(model.Resource, old, path, journal, old.compression)


def _resource(type_: type[R], old: types.Reference, path: Path, journal: Journal, compression: str = "") -> R:
    """Return a resource of spec 3; refuse the scheme that it lost."""
    if old.source.partition(":")[0].lower() == "oem":
        hint = "embed the contents as a data URL, or serve them over https"
        journal.refuse((*path, "source"), f"spec 3 has no oem scheme: {quoted(old.source)}", hint)
    headers = []
    for index, header in enumerate(old.http_headers):
        origin = (*path, "httpHeaders", index)
        if header.value:
            headers.append(model.HTTPHeader(name=header.name, value=header.value))
        else:
            journal.dropped(origin, f"header {header.name} without a value", "spec 3 sends no empty header", Effect.MAY_DIFFER)
    if headers and journal.target == 0:
        journal.refuse((*path, "httpHeaders"), "spec 3.0.0 knows no HTTP headers", "migrate to 3.1.0 or newer")
    return type_(compression=compression or None, http_headers=tuple(headers), source=old.source, verification=old.verification)
