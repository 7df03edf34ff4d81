"""Rules for files, directories and links, alone and against each other."""

from ignition import model
from ignition.validate.places import Place, clean, path_fault


def check_file(file: model.File, place: Place) -> None:
    place.error(path_fault(file.path), "path")
    _check_mode(file.mode, place)
    if file.overwrite and (file.contents is None or file.contents.source is None):
        place.error("overwrite must be false if source is unspecified", "overwrite")


def check_directory(directory: model.Directory, place: Place) -> None:
    place.error(path_fault(directory.path), "path")
    _check_mode(directory.mode, place)


def check_link(link: model.Link, place: Place) -> None:
    place.error(path_fault(link.path), "path")


def _check_mode(mode: int | None, place: Place) -> None:
    if mode is None:
        return
    if not 0 <= mode <= 0o7777:
        place.error("illegal file mode", "mode")
    if mode & 0o7000:
        place.warning("setuid/setgid/sticky bits are not supported in spec versions older than 3.4.0", "mode")


def check_owner(owner: model.NodeUser | model.NodeGroup, place: Place) -> None:
    if owner.id is not None and owner.name:
        place.error("cannot set both id and name")


def check_storage(storage: model.Storage, place: Place) -> None:
    beneath = tuple({link.path + "/" for link in storage.links})
    lists: tuple[tuple[str, tuple[model.Directory | model.File | model.Link, ...], str], ...] = (
        ("directories", storage.directories, "directory path includes link in config"),
        ("files", storage.files, "file path includes link in config"),
        ("links", storage.links, "link path includes link in config"),
    )
    for key, nodes, message in lists:
        for index, node in enumerate(nodes):
            if beneath and node.path.startswith(beneath):
                place.error(message, key, index)
    directories = {directory.path for directory in storage.directories}
    for index, link in enumerate(storage.links):
        if not link.target and place.minor >= 3:
            place.error("link target is required", "links", index, "target")
        elif link.hard and _target(link.path, link.target or "") in directories:
            place.error("hard link target is a directory", "links", index)


def _target(path: str, target: str) -> str:
    """Ignition takes a relative target to be below the link itself."""
    cleaned = clean(target)
    return cleaned if cleaned.startswith("/") else clean(f"{path}/{target}")
