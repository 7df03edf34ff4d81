"""Files, directories and links.

Spec 2 made directories first, then files, then links, then units; spec 3 goes by the depth of the path. Spec 3 allows one
entry for a path, so entries for the same file are laid over each other as spec 2 wrote them.
"""

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ignition import model
from ignition.legacy import types
from ignition.legacy.disks import Mounted
from ignition.legacy.fetching import migrate_contents
from ignition.legacy.outcome import Effect, Journal, quoted
from ignition.model import Path, dotted

_Node: TypeAlias = types.Directory | types.File | types.Link

_DIRECTORIES: Path = ("storage", "directories")
_FILES: Path = ("storage", "files")
_LINKS: Path = ("storage", "links")
_PERMISSIONS = 0o777


@dataclass(frozen=True)
class FileEntry:
    """A file of the new config, the old entry that it was made from, and the entries whose contents it appends."""

    file: model.File
    origin: Path
    appended: tuple[Path, ...] = ()


def migrate_files(
    files: tuple[types.File, ...], later: Iterable[FileEntry], mounted: Mapping[str, Mounted], journal: Journal
) -> tuple[model.File, ...]:
    """Return one file for each path; `later` are written after all others."""
    entries: dict[str, FileEntry] = {}
    for entry in (*(_file(file, (*_FILES, index), mounted, journal) for index, file in enumerate(files)), *later):
        first = entries.get(entry.file.path)
        entries[entry.file.path] = entry if first is None else _over(first, entry, journal)
    for index, entry in enumerate(entries.values()):
        for position, origin in enumerate(entry.appended):
            journal.origins[*_FILES, index, "append", position] = origin
    return journal.placed(_FILES, ((entry.file, entry.origin) for entry in entries.values()))


def _file(old: types.File, path: Path, mounted: Mapping[str, Mounted], journal: Journal) -> FileEntry:
    contents = migrate_contents(old.contents or types.FileContents(), (*path, "contents"), journal)
    overwrite = old.overwrite
    appended: tuple[model.Resource, ...] = ()
    if old.append:
        if old.overwrite:
            journal.refuse(path, "cannot set both append and overwrite to true")
        journal.changed((*path, "append"), "append true", "a list of contents", "spec 3 appends a list to one file")
        overwrite = None
        appended = (contents,) if old.contents and old.contents.source else ()
    elif old.overwrite is None:
        overwrite = True
        journal.changed(path, "no overwrite", "overwrite true", "spec 2 replaced what stood there by default, spec 3 does not")
    file = model.File(
        group=_group(old.group),
        overwrite=overwrite,
        path=_resolved(old, path, mounted, journal),
        user=_user(old.user),
        append=appended,
        contents=None if old.append else contents,
        mode=_mode(old, path, journal),
    )
    return FileEntry(file, path, ((*path, "contents"),) * len(appended))


def _over(first: FileEntry, later: FileEntry, journal: Journal) -> FileEntry:
    """Return what spec 2 leaves at a path when it writes `first` and then `later`."""
    where, this = dotted(first.origin), f"file {quoted(later.file.path)} again"
    if later.file.contents is None:
        journal.changed(later.origin, this, f"more to append in {where}", "spec 3 has one entry for each path")
        file = model.File(
            group=later.file.group or first.file.group,
            overwrite=first.file.overwrite,
            path=first.file.path,
            user=later.file.user or first.file.user,
            append=first.file.append + later.file.append,
            contents=first.file.contents,
            mode=first.file.mode if later.file.mode is None else later.file.mode,
        )
        return FileEntry(file, first.origin, first.appended + later.appended)
    if later.file.overwrite is False:
        hint = "spec 2 failed here; set overwrite, or remove one of the two"
        journal.refuse(later.origin, f"{where} writes the same file, and overwrite is false", hint)
    reason = f"{dotted(later.origin)} overwrites it, and spec 3 has one entry for each path"
    # What must not be overwritten made spec 2 fail on a machine that had such a file; spec 3 will overwrite that one.
    effect = Effect.MAY_DIFFER if first.file.overwrite is False else Effect.SAME
    journal.dropped(first.origin, f"file {quoted(first.file.path)}", reason, effect)
    return later


def migrate_directories(
    directories: tuple[types.Directory, ...], mounted: Mapping[str, Mounted], journal: Journal
) -> tuple[model.Directory, ...]:
    made: dict[str, tuple[model.Directory, Path]] = {}
    for index, old in enumerate(directories):
        path: Path = (*_DIRECTORIES, index)
        new = model.Directory(
            group=_group(old.group),
            overwrite=old.overwrite,
            path=_resolved(old, path, mounted, journal),
            user=_user(old.user),
            mode=_mode(old, path, journal),
        )
        first, origin = made.setdefault(new.path, (new, path))
        where = dotted(origin)
        if first != new:
            hint = "spec 2 sorts equal paths in no certain order; remove one of the two"
            journal.refuse(path, f"{where} is the same directory with other settings", hint)
        elif origin != path:
            journal.dropped(path, f"directory {quoted(new.path)} again", f"{where} is the same, and spec 3 refuses equal entries")
    return journal.placed(_DIRECTORIES, made.values())


def migrate_links(links: tuple[types.Link, ...], mounted: Mapping[str, Mounted], journal: Journal) -> tuple[model.Link, ...]:
    made: dict[str, tuple[model.Link, Path]] = {}
    for index, old in enumerate(links):
        path: Path = (*_LINKS, index)
        new = model.Link(
            group=_group(old.group),
            overwrite=old.overwrite,
            path=_resolved(old, path, mounted, journal),
            user=_user(old.user),
            hard=old.hard or None,
            target=_target(old, path, mounted, journal),
        )
        if new.path in made:
            _, origin = made[new.path]
            if new.overwrite:
                reason = f"{dotted(path)} overwrites it, and spec 3 has one entry for each path"
                journal.dropped(origin, f"link {quoted(new.path)}", reason)
            else:
                where = dotted(origin)
                journal.refuse(
                    path, f"{where} makes the same link", "spec 2 failed here; set overwrite, or remove one of the two"
                )
        made[new.path] = (new, path)
    return journal.placed(_LINKS, made.values())


def _target(old: types.Link, path: Path, mounted: Mapping[str, Mounted], journal: Journal) -> str:
    """Return where a link leads. The target of a hard link lies in the same filesystem, that of another is only text."""
    place = mounted.get(old.filesystem)
    if not old.hard or place is None or place.prefix == "/" or not old.target:
        return old.target
    target = _below(place.prefix, old.target)
    reason = f"a hard link stays in its filesystem, which is mounted at {place.prefix}"
    journal.changed((*path, "target"), quoted(old.target), quoted(target), reason)
    return target


def _resolved(node: _Node, path: Path, mounted: Mapping[str, Mounted], journal: Journal) -> str:
    """Return the path that a node has below the root filesystem; refuse one whose filesystem is mounted nowhere."""
    place, here = mounted.get(node.filesystem), (*path, "filesystem")
    if not node.filesystem:
        journal.refuse(here, "no filesystem specified")
    elif place is None:
        journal.refuse(here, f"the filesystem {quoted(node.filesystem)} is not defined")
    elif place.refusal:
        journal.refuse(here, place.refusal, place.hint)
    elif node.path.startswith("/"):
        return _renamed(node, _below(place.prefix, node.path), path, journal)
    return node.path


def _renamed(node: _Node, new: str, path: Path, journal: Journal) -> str:
    was = f"filesystem {quoted(node.filesystem)}"
    if new == node.path:
        journal.dropped((*path, "filesystem"), was, "paths of spec 3 start at the root filesystem")
    else:
        reason = "paths of spec 3 start at the root filesystem and are written in their shortest form"
        journal.changed((*path, "path"), f"{was} path {quoted(node.path)}", f"path {quoted(new)}", reason)
    return new


def _below(prefix: str, path: str) -> str:
    return "/" + posixpath.normpath(f"{prefix}/{path}").lstrip("/")


def _mode(old: types.Directory | types.File, path: Path, journal: Journal) -> int | None:
    """Return the permissions that spec 2 gave: none when none were said, and never setuid, setgid or sticky bits."""
    if old.mode is None:
        if isinstance(old, types.File) and old.append:
            return None
        default = "0644" if isinstance(old, types.File) else "0755"
        reason = f"spec 2 allowed nobody anything then, spec 3 would say {default}; give it the mode that was meant"
        journal.changed(path, "no mode", "mode 0", reason, Effect.MAY_DIFFER)
        return 0
    if old.mode > _PERMISSIONS and old.mode <= 0o7777:
        plain = old.mode & _PERMISSIONS
        journal.changed((*path, "mode"), f"mode {old.mode:05o}", f"mode {plain:04o}", "spec 2 ignored all but the permissions")
        return plain
    return old.mode


def _user(old: types.Owner | None) -> model.NodeUser | None:
    if old is None or (old.id is None and not old.name):
        return None
    return model.NodeUser(id=old.id, name=old.name or None)


def _group(old: types.Owner | None) -> model.NodeGroup | None:
    if old is None or (old.id is None and not old.name):
        return None
    return model.NodeGroup(id=old.id, name=old.name or None)
