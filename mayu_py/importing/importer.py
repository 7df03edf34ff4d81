"""An import as a whole: read, convert, and write a new folder, or nothing."""

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from ignition.errors import Mark
from mayu_py import config as configs
from mayu_py.core.discovery import TOKEN
from mayu_py.core.exchange import Became, Event, Learned
from mayu_py.core.hosts import Facts, Host, Mac, State, Uuid
from mayu_py.core.inventory import Changes, Edits
from mayu_py.errors import MayuError
from mayu_py.importing import old_config, old_hosts, source
from mayu_py.importing.old_config import IMAGE, TEMPLATE, Config
from mayu_py.importing.old_hosts import OldHost
from mayu_py.importing.report import Item, Journal
from mayu_py.importing.source import Commit, Places, Source
from mayu_py.importing.templates import translate
from mayu_py.importing.yaml_text import dump
from mayu_py.store import Entry, Happened, Stamp
from mayu_py.store.sqlite import SqliteStore

_HEAD = "# Imported from Mayu. What changed, was dropped, or is left to do is in import-report.txt.\n"
_ARGUMENTS = ["flatcar.first_boot=1", "ignition.config.url={{ ignition_url }}"]
_SUBJECT = re.compile(r"(?P<serial>[^:]+): (?P<what>.*)", re.DOTALL)


@dataclass(frozen=True)
class Outcome:
    """What an import found, and what `mayu check` says of the result."""

    hosts: int
    events: int
    items: tuple[Item, ...]
    problems: tuple[str, ...]


def run(places: Places, target: Path, *, dry_run: bool) -> Outcome:
    """Import into `target`, a folder that is not there or empty. Raises MayuError, and then has written nothing."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise MayuError(f"{target} is not empty", hint="name a folder that is not there yet")
    journal = Journal()
    found = source.read(places, journal)
    converted = old_config.convert(found.config, journal)
    hosts = old_hosts.convert(found.hosts, converted, journal)
    template = _template(found, journal)
    settings = _settings(converted, hosts, found, journal)
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    try:
        (building / "mayu.yaml").write_text(_HEAD + dump(settings) + "".join(_comments(hosts)), "utf-8")
        (building / TEMPLATE).write_text(template, "utf-8")
        problems = _checked(building, target)
        events = _fill(building / "mayu.db", hosts, found.commits)
        outcome = Outcome(len(hosts), events, journal.sorted(), problems)
        (building / "import-report.txt").write_text("".join(f"{item}\n" for item in outcome.items), "utf-8")
        if not dry_run:
            building.chmod(0o755)
            _put(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return outcome


def _put(building: Path, target: Path) -> None:
    try:
        os.rename(building, target)  # An empty folder gives way (rename(2)), one that was filled meanwhile does not.
    except OSError as error:
        raise MayuError(f"{target} cannot be written: {error.strerror}") from error


def _template(found: Source, journal: Journal) -> str:
    if found.template is None:
        journal.left(Mark("templates/ignition.yaml", 0, 0), "the template", "there is none; name it with --ignition-config")
        return dump({"variant": "fcos", "version": "1.4.0"})
    file, text = found.template
    return translate(text, file, found.snippets, found.files, journal)


def _settings(config: Config, hosts: Sequence[OldHost], found: Source, journal: Journal) -> dict[str, Any]:
    directory = str(found.kernel.parent.absolute()) if found.kernel else "images"
    if found.kernel is None:
        why = f"put kernel and initrd into {directory}/ beside mayu.yaml, or name their folder in `images`"
        journal.left(Mark("images", 0, 0), "kernel and initrd", why)
    image = {"directory": directory, **_image_files(found.kernel), "args": _ARGUMENTS}
    settings: dict[str, Any] = {"networks": config.networks, "images": {IMAGE: image}, "profiles": config.profiles}
    entries = [dict(host.entry) for host in hosts if not host.missing]
    if entries or config.static:
        settings["hosts"] = [*entries, *_static(config, entries, journal)]
    settings |= {"unknown_hosts": "enrol", "state": "mayu.db"}
    if config.default_profile is not None:
        settings["default_profile"] = config.default_profile
    known = {mac for entry in entries for mac in entry.get("macs", ())}
    for mac in known.intersection(config.ignored):
        journal.left(Mark("config.yaml", 0, 0), f"ignoredhosts: {mac}", "a host has it, so it is not ignored")
    if ignored := [mac for mac in config.ignored if mac not in known]:
        settings["ignored_hosts"] = ignored
    if found.token is not None and TOKEN.fullmatch(found.token):
        settings["etcd_discovery"] = {"token": found.token}
    elif found.token is not None:
        journal.left(Mark("cluster.json", 0, 0), f"token {found.token[:40]!r}", "32 hex digits are a token")
    return settings | ({"templates_env": config.templates_env} if config.templates_env else {})


def _image_files(kernel: Path | None) -> dict[str, str]:
    if kernel is None:
        return {}
    initrd = next((path.name for path in sorted(kernel.parent.iterdir()) if "initrd" in path.name or "cpio" in path.name), None)
    return {"kernel": kernel.name, **({"initrd": initrd} if initrd else {})}


def _static(config: Config, entries: Sequence[Mapping[str, Any]], journal: Journal) -> Iterator[dict[str, Any]]:
    """Addresses that Mayu's DHCP kept for machines of no state."""
    macs = {mac for entry in entries for mac in entry.get("macs", ())}
    addresses = {entry["address"] for entry in entries}
    names = {entry["name"] for entry in entries}
    for mac, address, mark in config.static:
        name = f"static-{address}".replace(".", "-")
        if mac in macs or str(address) in addresses or name in names or config.default_profile is None:
            why = "its MAC or address is a host's already" if config.default_profile else "it needs a profile to stand in `hosts`"
            journal.left(mark, f"statichosts: {mac} {address}", why)
            continue
        macs.add(mac)
        addresses.add(str(address))
        names.add(name)
        journal.changed(mark, f"statichosts: {mac} {address}", f"is host {name}; it boots {config.default_profile} if it asks to")
        yield {"name": name, "macs": [mac], "address": str(address), "profile": config.default_profile}


def _comments(hosts: Sequence[OldHost]) -> Iterator[str]:
    """Hosts that cannot stand in `hosts` as they are, for a person to complete."""
    for host in hosts:
        if host.missing:
            yield f"\n# {host.missing}\n" + "".join(f"# {line}\n" for line in dump([dict(host.entry)]).splitlines())


def _checked(building: Path, target: Path) -> tuple[str, ...]:
    _, problems = configs.check(building / "mayu.yaml")
    return tuple(problem.located.replace(str(building), str(target)) for problem in problems)


def _fill(path: Path, hosts: Sequence[OldHost], commits: Sequence[Commit]) -> int:
    """A new state file with the history, then what is known of each host now. Returns how many events that made."""
    known = {host.name: _record(host) for host in hosts if not host.missing}
    serials = {host.serial.lower(): known[host.name] for host in hosts if host.serial and host.name in known}
    now = Stamp(Stamp.now().at, 0)
    with closing(SqliteStore(path)) as store:
        store.record([_commit(commit, serials) for commit in commits])
        entries = [entry for host in hosts if host.name in known for entry in _progress(host, known[host.name], now)]
        store.record(entries)
        edits = {host.name: Edits(facts=host.facts) for host in hosts if host.name in known and host.facts != Facts()}
        if edits:
            store.change(lambda _: Changes(edits=edits))
        count = Counter(event.kind for event in store.events(0, 1_000_000))
    return count.total()


def _commit(commit: Commit, serials: Mapping[str, Host]) -> Entry:
    subject = _SUBJECT.fullmatch(commit.message)
    host = serials.get(subject["serial"].strip().lower()) if subject else None
    detail = {"from": "git", "commit": commit.id, "message": commit.message}
    return Happened("imported", detail, host), Stamp(commit.at, 0)


def _progress(host: OldHost, record: Host, now: Stamp) -> Iterator[Entry]:
    """How the host came to where it stands, by the moves that are legal."""
    at = Stamp(host.last_boot, 0) if host.last_boot else now
    yield Happened("imported", {"from": "conf.json", "state": host.state}, record), now
    moves: tuple[Event, ...] = ()
    if host.state in (State.INSTALLING, State.RUNNING):
        moves = (Became(record, State.INSTALLING), *((Became(record, State.RUNNING),) if host.state is State.RUNNING else ()))
    if host.os_version:
        moves = (*moves, Learned(record, os_version=host.os_version))
    yield from ((move, at) for move in moves)


def _record(host: OldHost) -> Host:
    entry = host.entry
    return Host(
        host.name,
        IPv4Address(entry["address"]),
        tuple(Mac(mac) for mac in entry.get("macs", ())),
        serial=entry.get("serial"),
        uuid=Uuid(entry["uuid"]) if "uuid" in entry else None,
        profile=entry["profile"],
        origin="mayu.yaml",
    )
