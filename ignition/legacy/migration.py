"""Bytes of spec 2 to a config of spec 3."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from ignition import rules
from ignition.document import Kind, MapNode, Mark, Node, ScalarNode
from ignition.document.json_reader import JSONSyntax, read_json
from ignition.errors import Entry, Problem, Severity
from ignition.legacy import types
from ignition.legacy.accounts import migrate_passwd
from ignition.legacy.disks import migrate_disks, migrate_filesystems, migrate_raid
from ignition.legacy.fetching import migrate_ignition
from ignition.legacy.nodes import FileEntry, migrate_directories, migrate_files, migrate_links
from ignition.legacy.outcome import Journal, Migration, MountPoints
from ignition.legacy.units import migrate_systemd, networkd_files
from ignition.legacy.unused import report_unused_keys
from ignition.model import IGNITION, Config, Storage, encode, read
from ignition.specs import NEWEST, spec_named

_SOURCES = {f"2.{minor}.0": minor for minor in range(5)}
_GO_MAX_DEPTH = 10_000
_CLOUD_CONFIG = re.compile(rb"#cloud-config\s*(\n|\Z)")
_NOWHERE: MountPoints = MappingProxyType({})


def migrate(
    raw: bytes | str, version: str = NEWEST.version, file: str = "config.ign", mount_points: Mapping[str, str] = _NOWHERE
) -> Migration:
    """Return the config of spec 3 `version` that does what `raw`, a JSON config of spec 2.0.0 to 2.4.0, did.

    `file` is the name used in marks. `mount_points` says where filesystems that spec 2 made are to be mounted, by name, such
    as {"data": "/var/lib/data"}: spec 3 writes files to mounted filesystems only, and spec 2 does not say where those are.

    Every input has a result, and a config that is returned is one that `rules.validate` accepts. Raises
    `ignition.specs.UnknownSpec` for a `version` that is no stable one of spec 3.
    """
    target = spec_named(version)
    raw = raw.encode("utf-8", "replace") if isinstance(raw, str) else raw
    document = _document(raw, file)
    if isinstance(document, Problem):
        return Migration(None, problems=(document,))
    minor = _minor(document)
    if isinstance(minor, Problem):
        return Migration(None, problems=(minor,))
    journal = Journal(document, minor, target.minor)
    old = read(document, types.Config, IGNITION, journal.findings, minor)
    if journal.findings.has_errors:
        return Migration(None, problems=tuple(problem for problem in journal.findings.problems if problem.is_error))
    report_unused_keys(document, types.Config, journal)
    config = _migrated(old, mount_points, journal).in_version(version)
    problems = journal.findings.problems
    if not journal.findings.has_errors:
        problems = [*problems, *journal.translated(rules.validate(encode(config), file).problems)]
    problems = sorted(problems, key=lambda problem: problem.mark)
    is_refused = any(problem.is_error for problem in problems)
    changes = tuple(sorted(journal.changes, key=lambda change: change.mark))
    return Migration(None if is_refused else config, changes, tuple(problems))


def _migrated(old: types.Config, mount_points: MountPoints, journal: Journal) -> Config:
    units = networkd_files(old.networkd.units, journal) if old.networkd else ()
    storage = _storage(old.storage or types.Storage(), tuple(units), mount_points, journal)
    return Config(
        ignition=migrate_ignition(old.ignition, journal),
        passwd=None if old.passwd is None else migrate_passwd(old.passwd, journal),
        storage=None if storage == Storage() else storage,
        systemd=None if old.systemd is None else migrate_systemd(old.systemd.units, journal),
    )


def _storage(old: types.Storage, later: tuple[FileEntry, ...], mount_points: MountPoints, journal: Journal) -> Storage:
    names = {filesystem.name for filesystem in old.filesystems if filesystem.mount}
    for name in mount_points.keys() - names:
        journal.refuse(("storage", "filesystems"), f"no filesystem to mount is named {name!r}", "see the mount points given")
    filesystems, mounted = migrate_filesystems(old.filesystems, mount_points, journal)
    return Storage(
        directories=migrate_directories(old.directories, mounted, journal),
        disks=migrate_disks(old.disks, journal),
        files=migrate_files(old.files, later, mounted, journal),
        filesystems=filesystems,
        links=migrate_links(old.links, mounted, journal),
        raid=migrate_raid(old.raid, journal),
    )


def _document(raw: bytes, file: str) -> Node | Problem:
    start = Mark(file, 1, 1)
    if not raw:
        return _refusal(start, "", "not a config (empty)")
    if _CLOUD_CONFIG.match(raw):
        return _refusal(start, "", "not a config (found coreos-cloudconfig)")
    if raw.startswith(b"#!"):
        return _refusal(start, "", "not a config (found coreos-cloudinit script)")
    try:
        return read_json(raw, file, _GO_MAX_DEPTH)
    except JSONSyntax as error:
        hint = (
            "" if raw.lstrip().startswith(b"{") else "only JSON is read; a Container Linux Config in YAML goes through ct first"
        )
        return _refusal(error.mark, "", error.message, hint)


def _minor(document: Node) -> int | Problem:
    """Return N of the spec version 2.N.0, or why there is none."""
    if (first := _value(document, "ignitionversion")) is not None:
        message = "configs of spec 1 are not migrated, only 2.0.0 to 2.4.0"
        return _refusal(first.mark, "$.ignitionVersion", message, "rewrite it by hand: spec 2 grouped files by filesystem name")
    version = _value(_value(document, "ignition"), "version")
    if not isinstance(version, ScalarNode) or version.kind is not Kind.STR:
        return _refusal((version or document).mark, "$.ignition.version", "invalid config version (couldn't parse)")
    if version.text in _SOURCES:
        return _SOURCES[version.text]
    hint = "it needs no migration" if version.text.startswith("3.") else f"migrated are {', '.join(_SOURCES)}"
    return _refusal(version.mark, "$.ignition.version", rules.UNSUPPORTED_VERSION, hint)


def _value(node: Node | None, key: str) -> Node | None:
    """Return the value of a key as Go finds it: in any case, and the last one."""
    if not isinstance(node, MapNode):
        return None
    return next((value for name, value in reversed(node.entries) if name.text.lower() == key), None)


def _refusal(mark: Mark, path: str, message: str, hint: str = "") -> Problem:
    return Entry(Severity.ERROR, mark, path, message, hint)
