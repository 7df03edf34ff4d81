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

_ONCE_MANDATORY = {"Custom": ("config", "pin"), "Link": ("target",)}
_ABSENT_SINCE = 4
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
        for key, schema in fields(record.struct, self.release).items():
            field, value = known.get(key), record.values.get(key)
            if field is not None and value is not None:
                inner = self.value(value, field, (*at, key), (*to, field.key))
                # Go leaves out a struct in which nothing is set.
                if schema.is_pointer or not field.is_part or inner != field.type():
                    values[key] = inner
        part = type_(**values)
        finish = _FINISHERS.get(record.struct)
        return part if finish is None else finish(self, record, part, at, to)

    def value(self, value: Any, field: Field, at: Path, to: Path) -> Any:
        if not field.is_part:
            return value
        if field.is_list:
            return tuple(self.part(item, field.type, (*at, index), (*to, index)) for index, item in enumerate(value))
        return self.part(value, field.type, at, to)

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
            contents = self.read(text, (*at, key)) if key == "local" else text.encode("utf-8", "surrogateescape")
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

    def texts(self, record: Record, part: P, at: Path, to: Path) -> P:
        """Give a part the empty texts that it had before they could be absent."""
        missing = (key for key in _ONCE_MANDATORY[record.struct] if getattr(part, key) is None)
        return replace(part, **dict.fromkeys(missing, "")) if self.release.base < _ABSENT_SINCE else part


_FINISHERS: Mapping[str, Callable[[Translator, Record, Any, Path, Path], Any]] = {
    "Custom": Translator.texts,
    "Dropin": Translator.unit,
    "FileContents": Translator.resource,
    "Link": Translator.texts,
    "PasswdUser": Translator.user,
    "Resource": Translator.resource,
    "Unit": Translator.unit,
}
