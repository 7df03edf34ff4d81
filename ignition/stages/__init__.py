"""Configs on disk: the stages of the real Ignition, run against a directory.

For machines that are namespaces or containers and never boot an initrd. What the files stage does is done: users and
groups, files, directories, links and units, the latter enabled by a preset that systemd reads at its first boot. The
disks stage is never run: its devices are those of the host.

The host is safe: Ignition runs where everything but the directory is read-only (`confine`), and it resolves symlinks
inside of the directory. Network sources are fetched over the host's network.
"""

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from ignition import model, rules
from ignition.model import Config
from ignition.rules import Report
from ignition.specs import LossyTranslation, spec_of, translate
from ignition.stages.engine import Engine, Scratch
from ignition.stages.errors import ApplyError, EngineFailed, EngineMissing
from ignition.stages.tree import make_accounts, selinux_config

__all__ = ["Applied", "ApplyError", "EngineFailed", "EngineMissing", "apply"]

_OF_MACHINES = ("disks", "raid", "luks", "filesystems")
_Json = dict[str, Any]


@dataclass(frozen=True)
class Applied:
    """A config that is now on disk.

    `spec` is the version that Ignition was given, `skipped` what was left out of the config (`storage.disks`),
    `journal` Ignition's own log, without password hashes, `report` what the rules had to say about the config.
    """

    root: Path
    spec: str
    skipped: tuple[str, ...]
    report: Report
    journal: tuple[str, ...]


def apply(
    config: bytes | Config,
    root: Path | str,
    *,
    partial: bool = False,
    engine: Path | None = None,
    timeout: float = 120.0,
    file: str = "config.ign",
) -> Applied:
    """Apply an Ignition config to the directory `root`, as the first boot of a machine would to its root filesystem.

    A config of a newer spec than the binary takes is translated down when nothing is lost. `partial` leaves out what only a
    machine has: disks, RAID, LUKS, filesystems, kernel arguments. `engine` is the binary, found by itself when None; `timeout`
    is in seconds and for all stages together; `file` is the config's name in problems.

    Without root the caller owns everything, so that users, groups and other owners are refused. A root without /etc/passwd
    gets the account files of a minimal system when the config names users or groups.

    Raises DocumentError for a config that Ignition would refuse or that cannot be translated; EngineMissing; EngineFailed when
    Ignition gives up, which may leave the directory half done; ApplyError for anything else that a person can act on.
    """
    raw = config if isinstance(config, bytes) else model.encode(config)
    parsed = rules.parse(raw, file)
    checked = parsed.unwrap()
    directory = _directory(root)
    binary = Engine.find(engine)
    given = checked if spec_of(checked.ignition.version) <= binary.spec else _translated(raw, binary.spec.version, file)
    deadline = time.monotonic() + timeout
    with tempfile.TemporaryDirectory(prefix="ignition-apply-") as folder:
        scratch = Scratch(Path(folder).resolve())
        scratch.prepare(model.encode(given))
        journal = binary.run("fetch", directory, scratch, deadline)
        merged: _Json = msgspec.json.decode(scratch.cache.read_bytes())
        skipped = tuple(_machine_parts(merged))
        if skipped and not partial:
            raise ApplyError(f"a directory has no {', '.join(skipped)}", hint="leave them out of the config, or apply it in part")
        scratch.cache.write_bytes(msgspec.json.encode(_without(merged, skipped)))
        journal += _run_files(binary, directory, scratch, merged, deadline)
    return Applied(directory, given.ignition.version, skipped, parsed.report, journal)


def _translated(raw: bytes, version: str, file: str) -> Config:
    try:
        return translate(raw, version)
    except LossyTranslation as loss:
        marked = (replace(problem, mark=replace(problem.mark, file=file)) for problem in loss.problems)
        raise LossyTranslation(marked, loss.version) from None


def _run_files(engine: Engine, root: Path, scratch: Scratch, merged: _Json, deadline: float) -> tuple[str, ...]:
    owners = tuple(_owners(merged))
    if owners and os.geteuid() != 0:
        raise ApplyError(f"only root can set {owners[0]}", hint="run as root, or leave users and owners out of the config")
    if owners:
        _check_searchable(root, merged)
        make_accounts(root)
    is_theirs = any(node["path"] == "/etc/selinux/config" for node in _nodes(merged))
    with nullcontext() if is_theirs else selinux_config(root):
        return engine.run("files", root, scratch, deadline)


def _directory(root: Path | str) -> Path:
    directory = Path(root).resolve()
    if not directory.is_dir():
        raise ApplyError(f"{root}: no such directory", hint="make it first")
    if directory == Path("/"):
        raise ApplyError("/ is this machine itself", hint="name the directory of another root")
    return directory


def _check_searchable(root: Path, merged: _Json) -> None:
    """Raise ApplyError when Ignition, which writes SSH keys as the user they are for, could not get below the root."""
    users = [user["name"] for user in merged.get("passwd", {}).get("users", ()) if user.get("sshAuthorizedKeys")]
    if users and not root.stat().st_mode & stat.S_IXOTH:
        raise ApplyError(f"{root}: user {users[0]} could not enter its own root directory", hint=f"chmod 755 {root}")


def _machine_parts(merged: _Json) -> Iterator[str]:
    """Yield what a merged config has that a directory cannot take."""
    storage = merged.get("storage", {})
    yield from (f"storage.{part}" for part in _OF_MACHINES if storage.get(part))
    if any(merged.get("kernelArguments", {}).values()):
        yield "kernelArguments"


def _without(merged: _Json, parts: tuple[str, ...]) -> _Json:
    names = {part.rpartition(".")[2] for part in parts}
    storage = {name: value for name, value in merged.get("storage", {}).items() if name not in names}
    return {name: value for name, value in merged.items() if name not in names} | {"storage": storage}


def _nodes(merged: _Json) -> Iterator[_Json]:
    storage = merged.get("storage", {})
    for kind in ("directories", "files", "links"):
        yield from storage.get(kind, ())


def _owners(merged: _Json) -> Iterator[str]:
    """Yield every place of a merged config that is about another user or group than number 0."""
    passwd = merged.get("passwd", {})
    for kind in ("groups", "users"):
        yield from (f"passwd.{kind}: {account['name']}" for account in passwd.get(kind, ()))
    for node in _nodes(merged):
        for kind in ("user", "group"):
            owner = node.get(kind, {})
            if owner.get("name") or owner.get("id"):
                yield f"the {kind} of {node['path']}"
