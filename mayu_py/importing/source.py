"""What is read of a Mayu: its config, its cluster directory, its template with snippets and files. Nothing is believed."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ignition.document import DocumentError, MapNode, Mark, Node, ScalarNode, load
from mayu_py.errors import MayuError
from mayu_py.importing.report import Journal

LARGEST_FILE = 4 << 20
MOST_FILES = 20_000
MOST_COMMITS = 200_000
GIT_SECONDS = 120
# A repository's own config may name programs to be run; none of these is.
_GIT = (
    "git", "--no-pager", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null",
    "-c", "log.showSignature=false", "-c", "log.mailmap=false",
)  # fmt: skip


@dataclass(frozen=True)
class Places:
    """Where Mayu's flags said that things are; None where they are looked for."""

    folder: Path
    config: Path | None = None
    cluster: Path | None = None
    template: Path | None = None
    snippets: Path | None = None
    files: Path | None = None


@dataclass(frozen=True)
class Commit:
    """One change of the cluster directory."""

    id: str
    at: str
    message: str


@dataclass(frozen=True)
class Source:
    """What was found. `token` is the cluster's own for etcd's discovery."""

    config: Node
    hosts: dict[str, Node]
    commits: tuple[Commit, ...]
    template: tuple[str, str] | None
    snippets: dict[str, str]
    files: dict[str, bytes]
    token: str | None
    kernel: Path | None


def read(places: Places, journal: Journal) -> Source:
    """Read all of it. Raises MayuError when there is no config.yaml; everything else that is wrong is in the report."""
    folder = places.folder
    config = places.config or _first(folder, ("config.yaml", "config.yml", "config.yaml.dist"))
    text = _text(config, journal) if config else None
    if config is None or text is None:
        raise MayuError(f"there is no config.yaml in {folder}", hint="name it with --config")
    root = _node(config.name, text, journal)
    cluster = places.cluster or _first(folder, ("cluster", "clusters/default"))
    hosts = dict(_hosts(cluster, journal)) if cluster else {}
    if cluster is None:
        journal.left(Mark(str(folder), 0, 0), "the cluster directory", "there is none; name it with --cluster-directory")
    template = places.template or _first(folder, ("templates/ignition.yaml", "ignition.yaml"))
    body = _text(template, journal) if template else None
    snippets = places.snippets or _first(folder, ("templates/snippets", "template_snippets/ignition", "template_snippets"))
    files = places.files or _first(folder, ("files",))
    return Source(
        root,
        hosts,
        tuple(_commits(cluster, journal)) if cluster else (),
        (template.name, body) if template and body is not None else None,
        {path.name: text for path in _walk(snippets) if (text := _text(path, journal)) is not None} if snippets else {},
        {str(path.relative_to(files)): content for path in _walk(files) if (content := _bytes(path, journal)) is not None}
        if files
        else {},
        _token(cluster, journal) if cluster else None,
        next((path for path in _walk(folder / "images") if path.name.endswith("vmlinuz")), None),
    )


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _walk(folder: Path) -> Iterator[Path]:
    """The files below a folder, sorted; links are not followed."""
    count = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            count += 1
            if count > MOST_FILES:
                return
            yield Path(root, name)


def _bytes(path: Path, journal: Journal) -> bytes | None:
    mark = Mark(_shown(path), 0, 0)
    try:
        if path.is_symlink() or not path.is_file():
            journal.left(mark, "the file", "is no plain file, and is not read")
            return None
        if path.stat().st_size > LARGEST_FILE:
            journal.left(mark, "the file", f"has more than {LARGEST_FILE} bytes, and is not read")
            return None
        return path.read_bytes()
    except (OSError, ValueError) as error:
        journal.left(mark, "the file", f"cannot be read: {error}")
        return None


def _text(path: Path, journal: Journal) -> str | None:
    content = _bytes(path, journal)
    try:
        return content.decode("utf-8") if content is not None else None
    except UnicodeDecodeError:
        journal.left(Mark(_shown(path), 0, 0), "the file", "is no UTF-8 text")
        return None


def _shown(path: Path) -> str:
    return "".join(character if character.isprintable() else "?" for character in str(path))


def _node(name: str, text: str, journal: Journal) -> Node:
    try:
        return load(text, name)
    except DocumentError as error:
        journal.problems(error.problems, name)
        return MapNode((), Mark(name, 1, 1))


def _hosts(cluster: Path, journal: Journal) -> Iterator[tuple[str, Node]]:
    """The conf.json of every host, by the name of its folder."""
    try:
        folders = sorted(entry.name for entry in os.scandir(cluster) if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        journal.left(Mark(_shown(cluster), 0, 0), "the cluster directory", f"cannot be read: {error.strerror}")
        return
    for name in folders:
        path = cluster / name / "conf.json"
        if name.startswith(".") or not path.exists():
            continue
        text = _text(path, journal)
        if text is None:
            continue
        file = f"{_shown(Path(name))}/conf.json"
        if not text.strip():
            journal.left(Mark(file, 0, 0), "the host", "its conf.json is empty, as a crash of Mayu leaves it")
            continue
        try:
            yield name, load(text, file)
        except DocumentError as error:
            journal.problems(error.problems, "the host")


def _token(cluster: Path, journal: Journal) -> str | None:
    """The cluster's token, from cluster.json."""
    path = cluster / "cluster.json"
    text = _text(path, journal) if path.exists() else None
    if not text:
        return None
    node = _node("cluster.json", text, journal)
    if not isinstance(node, MapNode):
        journal.left(node.mark, "cluster.json", f"an object is expected, here is {node.describe()}")
        return None
    known = ("GitStore", "Config")
    for key, _ in node.entries:
        if key.text not in known:
            journal.dropped(key.mark, f"cluster.json: {key.text[:60]!r}", "no key that Mayu reads here")
    config = node.by_key.get("Config")
    found = config.by_key if isinstance(config, MapNode) else {}
    if isinstance(url := found.get("EtcdDiscoveryURL"), ScalarNode) and url.text:
        journal.dropped(url.mark, f"EtcdDiscoveryURL: {url.text[:80]}", "mayu's own discovery serves the tokens")
    token = found.get("DefaultEtcdClusterToken")
    return token.text if isinstance(token, ScalarNode) and token.text else None


def _commits(cluster: Path, journal: Journal) -> Iterator[Commit]:
    """The history of the cluster directory, the oldest first."""
    if not (cluster / ".git").exists():
        return
    mark = Mark(_shown(cluster / ".git"), 0, 0)
    argv = [*_GIT, "-C", str(cluster), "log", "--reverse", f"--max-count={MOST_COMMITS}", "--format=%H%x1f%ct%x1f%s%x1e"]
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": "/nonexistent",
    }
    try:
        ran = subprocess.run(argv, capture_output=True, check=False, timeout=GIT_SECONDS, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        journal.left(mark, "the history", f"git cannot be asked: {error}")
        return
    if ran.returncode:
        why = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        journal.left(mark, "the history", f"git says: {why[0][:200] if why else ran.returncode}")
        return
    for row in ran.stdout.decode("utf-8", "replace").split("\x1e"):
        id_, _, rest = row.strip("\n").partition("\x1f")
        seconds, _, message = rest.partition("\x1f")
        if id_ and seconds.isdecimal() and len(seconds) < 12:
            yield Commit(id_, datetime.fromtimestamp(int(seconds), UTC).isoformat(timespec="milliseconds"), message[:500])
