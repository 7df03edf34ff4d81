"""Records to the parts of an Ignition config (coreos/butane, base/v0_*/translate.go): what the document says itself.

Sugar is turned into Ignition's terms where it stands: contents into data URLs, files of keys and units into keys and units.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ignition import model
from ignition.butane.contents import data_url, plain_data_url
from ignition.butane.decoding import Record
from ignition.butane.files import NO_FILES, Files, LocalFileError
from ignition.butane.inline_configs import Finding
from ignition.butane.releases import Release
from ignition.butane.schema import fields
from ignition.butane.sources import Sources
from ignition.errors import Severity
from ignition.model import Path
from ignition.model.shape import Field, replace
from ignition.model.shape import fields as part_fields

P = TypeVar("P", bound=model.Part)

_LINE_END = re.compile(r"\r?\n")


class Translator:
    """Translates one document; `findings` has what is wrong with its local files, by path in the document."""

    def __init__(self, release: Release, files: Files | None) -> None:
        self.release = release
        self.files = files
        self.sources = Sources()
        self.findings: list[Finding] = []

    def config(self, record: Record) -> model.Config:
        """Return the Ignition config that a document describes, without what is generated from it."""
        self.sources.add(("version",), ("ignition", "version"))
        return self.part(record, model.Config, (), ()).in_version(self.release.spec)

    def part(self, record: Record, type_: type[P], at: Path, to: Path) -> P:
        known = {field.attribute: field for field in part_fields(type_)}
        values: dict[str, Any] = {}
        for key in fields(record.struct, self.release):
            field, value = known.get(key), record.values.get(key)
            if field is not None and value is not None:
                values[key] = self.value(value, field, (*at, key), (*to, field.key))
        part = type_(**{key: value for key, value in values.items() if value is not None})
        finish = _FINISHERS.get(record.struct)
        return part if finish is None else finish(self, record, part, at, to)

    def value(self, value: Any, field: Field, at: Path, to: Path) -> Any:
        if not field.is_part:
            return tuple(map(_text, value)) if field.is_list else _text(value)
        if field.is_list:
            return tuple(self.part(item, field.type, (*at, index), (*to, index)) for index, item in enumerate(value))
        part = self.part(value, field.type, at, to)
        # Go leaves out a struct in which nothing is set.
        return None if part == field.type() else part

    def read(self, path: str, at: Path) -> bytes | None:
        """Return the contents of a local file; None when that cannot be had, which is reported."""
        if self.files is None:
            self.error(at, NO_FILES)
            return None
        try:
            return self.files.read(path)
        except LocalFileError as error:
            self.error(at, str(error))
            return None

    def error(self, at: Path, message: str) -> None:
        self.findings.append(Finding(Severity.ERROR, at, message))

    def resource(self, record: Record, part: P, at: Path, to: Path) -> P:
        for key in ("local", "inline"):
            text = record.text(key)
            if text is None:
                continue
            contents = self.read(text, (*at, key)) if key == "local" else _bytes(text)
            if contents is None:
                return part
            part = self.embedded(part, contents, (*at, key), to)
        return part

    def embedded(self, part: P, contents: bytes, at: Path, to: Path) -> P:
        """Put contents into a resource."""
        self.sources.add(at, (*to, "source"))
        if self.release.base == 1:
            return replace(part, source=plain_data_url(contents))
        given = getattr(part, "compression", None)
        url, compression = data_url(contents, may_compress=not given)
        if given:
            return replace(part, source=url)
        self.sources.add(at, (*to, "compression"))
        return replace(part, source=url, compression=compression)

    def user(self, record: Record, part: model.PasswdUser, at: Path, to: Path) -> model.PasswdUser:
        here, keys = (*at, "ssh_authorized_keys_local"), list(part.ssh_authorized_keys)
        names = record.texts("ssh_authorized_keys_local")
        if not names:
            return part
        self.sources.add(here, (*to, "sshAuthorizedKeys"))
        if self.files is None:
            self.error(here, NO_FILES)
            return part
        for index, name in enumerate(names):
            contents = self.read(name, (*here, index)) or b""
            for line in filter(None, _LINE_END.split(contents.decode("utf-8", "replace"))):
                self.sources.add((*here, index), (*to, "sshAuthorizedKeys", len(keys)))
                keys.append(line)
        return replace(part, ssh_authorized_keys=tuple(keys))

    def unit(self, record: Record, part: P, at: Path, to: Path) -> P:
        """Read what a unit or drop-in takes from a file."""
        name = record.text("contents_local")
        contents = self.read(name, (*at, "contents_local")) if name else None
        if contents is None:
            return part
        self.sources.add((*at, "contents_local"), (*to, "contents"))
        return replace(part, contents=contents.decode("utf-8", "replace"))

    def link(self, record: Record, part: model.Link, at: Path, to: Path) -> model.Link:
        """Give a link the empty target that it had before targets could be absent."""
        return replace(part, target="") if part.target is None and self.release.base < 4 else part


_FINISHERS: Mapping[str, Callable[[Translator, Record, Any, Path, Path], Any]] = {
    "Dropin": Translator.unit,
    "FileContents": Translator.resource,
    "Link": Translator.link,
    "PasswdUser": Translator.user,
    "Resource": Translator.resource,
    "Unit": Translator.unit,
}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(value: Any) -> Any:
    """Return a value as JSON can hold it: bytes that are no UTF-8 become U+FFFD."""
    return _bytes(value).decode("utf-8", "replace") if isinstance(value, str) else value
