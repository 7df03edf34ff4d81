"""Rules for the storage section as a whole: nodes below links, hard links, and filesystems on disks that are rewritten."""

from collections import Counter
from collections.abc import Sequence

from ignition import model
from ignition.rules.nodes import Nodes
from ignition.rules.places import Place, clean

_TARGET_REQUIRED_SINCE = 3


class _Linked:
    """The paths of the links."""

    def __init__(self, links: Sequence[model.Link]) -> None:
        self.paths = Counter(link.path for link in links)
        self.lengths = {len(path) for path in self.paths}

    def above(self, path: str) -> int:
        """Return how many links a path continues after a slash, which is all that Ignition asks."""
        return sum(self.paths[path[:length]] for length in self.lengths if path.startswith("/", length))


def check_storage(storage: model.Storage, place: Place) -> None:
    if storage.links:
        linked = _Linked(storage.links)
        _check_below("directories", storage.directories, linked, "directory path includes link in config", place)
        _check_below("files", storage.files, linked, "file path includes link in config", place)
        _check_links(storage, linked, place)
    if storage.disks and storage.filesystems:
        _check_overwritten(storage, place)


def _check_below(key: str, nodes: Nodes, linked: _Linked, message: str, place: Place) -> None:
    for index, node in enumerate(nodes):
        for _ in range(linked.above(node.path)):
            place.error(message, key, index)


def _check_links(storage: model.Storage, linked: _Linked, place: Place) -> None:
    directories = Counter(directory.path for directory in storage.directories)
    for index, link in enumerate(storage.links):
        for _ in range(linked.above(link.path)):
            place.error("link path includes link in config", "links", index)
        if not link.target and place.minor >= _TARGET_REQUIRED_SINCE:
            place.error("link target is required", "links", index, "target")
        elif link.hard:
            for _ in range(directories[_target(link.path, link.target or "")]):
                place.error("hard link target is a directory", "links", index)
            _warn_of_owner(link, index, place)


def _warn_of_owner(link: model.Link, index: int, place: Place) -> None:
    for key, owner in (("user", link.user), ("group", link.group)):
        if owner is not None and owner.id is not None:
            place.warning("user/group ignored for hard link", "links", index, key, "id")
        if owner is not None and owner.name is not None:
            place.warning("user/group ignored for hard link", "links", index, key, "name")


def _target(path: str, target: str) -> str:
    """Ignition takes a relative target to be below the link itself."""
    cleaned = clean(target)
    return cleaned if cleaned.startswith("/") else clean(f"{path}/{target}")


def _check_overwritten(storage: model.Storage, place: Place) -> None:
    disks = {disk.device: disk for disk in storage.disks}
    for index, filesystem in enumerate(storage.filesystems):
        disk = disks.get(filesystem.device)
        if disk is None:
            continue
        if disk.partitions:
            place.warning("filesystem overwrites partitioned device", "filesystems", index, "device")
        elif disk.wipe_table and not filesystem.wipe_filesystem:
            message = "device matches disk with wipeTable enabled; filesystem will be wiped"
            place.warning(message, "filesystems", index, "device")
