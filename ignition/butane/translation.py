"""The way of a document: its types, its unknown keys, its rules, what is generated from it, and the rules of the result."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from ignition import model
from ignition.butane import boot_disk
from ignition.butane.boot_device import with_boot_device
from ignition.butane.decoding import Fault, Record, decode
from ignition.butane.files import Files
from ignition.butane.grub import with_grub_users
from ignition.butane.inline_configs import Finding
from ignition.butane.mounts import with_mount_units
from ignition.butane.parts import Translator
from ignition.butane.places import entry, unused_keys
from ignition.butane.releases import NoRelease, Release, release_of
from ignition.butane.source_rules import check_source
from ignition.butane.sources import Sourced
from ignition.butane.trees import with_trees
from ignition.butane.unmarshal import BadMerge
from ignition.document import Node
from ignition.errors import Entry, Problem, Severity
from ignition.model import dotted
from ignition.rules.walk import broken_rules

_DUPLICATE = "duplicate entry defined"
_NO_CLEVIS = "clevis is not supported in this spec version"
_BAD_SOURCE = "source config is invalid"
_BAD_RESULT = "config generated was invalid"


@dataclass(frozen=True)
class Translation:
    """A translated config, None when the document cannot be translated, and every problem found."""

    config: model.Config | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a document: a config, or the reason why there is none, as Butane's last line gives it."""

    config: model.Config | None = None
    entries: tuple[Entry, ...] = ()
    failure: str = ""
    faults: tuple[Problem, ...] = ()
    """What the failure says, each at its place, when the entries do not."""


def translate(document: Node, files: Files | None = None, *, strict: bool = False) -> Translation:
    """Translate a Butane document and check the result; errors and warnings are located in the document.

    `files` has the local files that the document may embed. `strict` makes an error of every warning.
    """
    outcome = run(document, files)
    problems = (*outcome.entries, *outcome.faults)
    if strict:
        problems = tuple(dataclasses.replace(problem, severity=Severity.ERROR) for problem in problems)
    return Translation(None if strict and problems else outcome.config, problems)


def run(document: Node, files: Files | None) -> Outcome:
    """Translate a document, and keep what Butane would print."""
    try:
        release = release_of(document)
        decoded = decode(document, release)
    except (NoRelease, BadMerge) as error:
        return Outcome(failure=str(error), faults=(Entry(Severity.ERROR, error.mark, "", str(error)),))
    if decoded.faults:
        return Outcome(failure=_unmarshal_failure(decoded.faults), faults=tuple(map(_fault_entry, decoded.faults)))
    return _Run(document, files, release, decoded.record).outcome()


def _unmarshal_failure(faults: tuple[Fault, ...]) -> str:
    return "\n  ".join(["yaml: unmarshal errors:", *(fault.go_message for fault in faults)])


def _fault_entry(fault: Fault) -> Entry:
    return Entry(Severity.ERROR, fault.mark, dotted(fault.path), fault.message)


@dataclass
class _Run:
    """One translation after the document has been decoded."""

    document: Node
    files: Files | None
    release: Release
    record: Record

    def outcome(self) -> Outcome:
        found = [*unused_keys(self.record, self.document, self.release)]
        found += self.entries(check_source(self.record, self.release))
        if _has_errors(found):
            return Outcome(None, tuple(found), _BAD_SOURCE)
        generated, findings = self.generate()
        found += self.entries(findings)
        if _has_errors(found):
            return Outcome(None, tuple(found), _BAD_SOURCE)
        found += self.entries(self.broken(generated))
        if _has_errors(found):
            return Outcome(None, tuple(found), _BAD_RESULT)
        return Outcome(generated.config, tuple(found))

    def entries(self, findings: Iterable[Finding]) -> list[Entry]:
        return [entry(severity, self.document, path, message) for severity, path, message in findings]

    def generate(self) -> tuple[Sourced, list[Finding]]:
        """Return the config with all that is generated, and what was found on the way."""
        translator = Translator(self.release, self.files)
        config = translator.config(self.record)
        result = with_mount_units(Sourced(config, translator.sources), self.record, self.release)
        result, findings = with_trees(result, self.record, self.files)
        findings = [*translator.findings, *findings]
        if any(finding.severity is Severity.ERROR for finding in findings):
            return result, findings
        result = with_boot_device(result, self.record, self.release)
        findings += boot_disk.doubts(result, self.release)
        result = with_grub_users(result, self.record, self.release)
        return result, [*findings, *self.forbidden(result)]

    def forbidden(self, result: Sourced) -> list[Finding]:
        """Return what Ignition knows and a variant does not support."""
        volumes = result.config.storage.luks if result.config.storage and self.release.variant == "flatcar" else ()
        return [
            Finding(Severity.ERROR, result.sources.of(("storage", "luks", index, "clevis")), _NO_CLEVIS)
            for index, volume in enumerate(volumes)
            if volume.clevis is not None
        ]

    def broken(self, result: Sourced) -> list[Finding]:
        """Return the rules of Ignition that the result breaks; Butane looks for duplicates first."""
        found = broken_rules(result.config, self.release.spec_minor)
        ordered = sorted(found, key=lambda broken: broken.message != _DUPLICATE)
        return [Finding(broken.severity, result.sources.of(broken.path), broken.message) for broken in ordered]


def _has_errors(entries: Iterable[Entry]) -> bool:
    return any(found.is_error for found in entries)
