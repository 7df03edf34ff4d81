"""What a change of the config does to every host: who comes, goes and changes, what each is served then, and why."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ignition import model
from ignition.comparison import Difference, diff
from ignition.secrets import Secrets
from mayu_py.core.causes import Inputs, Outcome, Source, causes, outcome
from mayu_py.core.difference import Difference as SettingsDifference
from mayu_py.core.difference import compare
from mayu_py.core.hosts import Host
from mayu_py.core.render import Renderer
from mayu_py.core.settings import Settings

_RECORD = ("address", "addresses", "macs", "serial", "uuid", "profile", "image")


class Action(StrEnum):
    """What happens to a host."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True)
class World:
    """One config, the hosts it makes of the inventory, and its templates by their profiles' names.

    `comparable` are the settings with paths that mean the same in every folder.
    """

    comparable: Settings
    settings: Settings
    hosts: Mapping[str, Host]
    renderer: Renderer
    sources: Mapping[str, Source]

    def inputs(self, host: Host) -> Inputs:
        """What goes into a host's config."""
        return Inputs(self.settings, self.sources, host)

    def outcome(self, host: Host) -> Outcome:
        """What a host is served."""
        return outcome(self.inputs(host), self.renderer)


@dataclass(frozen=True, slots=True)
class Cause:
    """What a change is due to, and where that stands."""

    name: str
    place: str

    def __str__(self) -> str:
        return f"{self.name} ({self.place})" if self.place else self.name


@dataclass(frozen=True, slots=True)
class Move:
    """A field of a host's record."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Member:
    """A host of a group, with what of its record changes."""

    host: str
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class What:
    """What changes. Two hosts for which it is equal are told of once. It holds no secret.

    `fields` are those of the record. `config` is the difference of the Ignition configs, `arguments` are lines of a unified diff,
    `problem` says why there would be no config.
    """

    action: Action
    profile: str | None = None
    fields: tuple[str, ...] = ()
    config: Difference | None = None
    arguments: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts to which the same happens, for the same causes."""

    what: What
    causes: tuple[Cause, ...]
    members: tuple[Member, ...]

    def to_data(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        what = self.what
        return {
            "action": what.action,
            "profile": what.profile,
            "hosts": [{"name": member.host, "moves": [_move(move) for move in member.moves]} for member in self.members],
            "config": what.config.to_data() if what.config is not None else None,
            "arguments": list(what.arguments),
            "problem": what.problem,
            "causes": [{"name": cause.name, "place": cause.place} for cause in self.causes],
        }


def _move(move: Move) -> dict[str, str]:
    return {"field": move.field, "before": move.before, "after": move.after}


@dataclass(frozen=True)
class Plan:
    """All of it. `unchanged` counts hosts to which nothing happens; `settings` names what else in the config differs."""

    groups: tuple[Group, ...]
    unchanged: int
    settings: SettingsDifference = field(default_factory=SettingsDifference)

    def count(self, action: Action) -> int:
        """How many hosts."""
        return sum(len(group.members) for group in self.groups if group.what.action is action)

    @property
    def is_empty(self) -> bool:
        """Whether no host would notice, and nothing else differs."""
        return not self.groups and self.settings == SettingsDifference()

    def to_data(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        summary = {action.value: self.count(action) for action in Action} | {"unchanged": self.unchanged}
        return {"summary": summary, "settings": self.settings.as_detail(), "groups": [group.to_data() for group in self.groups]}


def with_paths(value: Any, change: Callable[[Path], Path]) -> Any:
    """Settings, or a part of them, with every path changed: the same config in another folder is the same config."""
    if isinstance(value, Path):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        held = {each.name: getattr(value, each.name) for each in fields(value) if each.init and each.compare}
        return replace(value, **{name: with_paths(item, change) for name, item in held.items()})
    if isinstance(value, Mapping):
        return {key: with_paths(item, change) for key, item in value.items()}
    return tuple(with_paths(item, change) for item in value) if type(value) is tuple else value


def plan(old: World, new: World, progress: Callable[[int, int], None] = lambda done, of: None) -> Plan:
    """From one world to another. `progress` is told how many hosts are done, of how many."""
    found: dict[tuple[What, tuple[str, ...]], list[tuple[Member, Host, Host]]] = {}
    coming: dict[What, list[Member]] = {}
    unchanged = 0
    names = sorted(old.hosts.keys() | new.hosts.keys())
    for done, name in enumerate(names, 1):
        before, after = old.hosts.get(name), new.hosts.get(name)
        if before is None or after is None:
            what, member = _arrival(before, after, new)
            coming.setdefault(what, []).append(member)
        elif (change := _change(before, after, old, new)) is None:
            unchanged += 1
        else:
            what, member = change
            found.setdefault((what, _records(before, after)), []).append((member, before, after))
        progress(done, len(names))
    groups = (
        *(Group(what, (), tuple(members)) for what, members in coming.items()),
        *_explained(found, old, new),
    )
    return Plan(tuple(sorted(groups, key=_rank)), unchanged, compare(old.comparable, new.comparable, {}, {}))


def _rank(group: Group) -> tuple[int, int, str]:
    return list(Action).index(group.what.action), -len(group.members), group.members[0].host


def _arrival(before: Host | None, after: Host | None, new: World) -> tuple[What, Member]:
    host = after or before
    assert host is not None
    if after is None:
        return What(Action.REMOVED, host.profile), Member(host.name, _moves(host, None))
    return What(Action.ADDED, host.profile, problem=new.outcome(host).problem), Member(host.name, _moves(None, host))


def _records(before: Host, after: Host) -> tuple[str, ...]:
    """What of a record may be a cause: values that hosts have of their own keep groups apart."""
    keys = before.values.keys() | after.values.keys()
    return tuple(sorted(key for key in keys if before.values.get(key) != after.values.get(key)))


def _change(before: Host, after: Host, old: World, new: World) -> tuple[What, Member] | None:
    moves = _moves(before, after)
    was, becomes = old.outcome(before), new.outcome(after)
    if not moves and not becomes.differs(was):
        return None
    secrets = _secrets(was) | _secrets(becomes) | Secrets.in_values({"old": dict(before.values), "new": dict(after.values)})
    arguments = tuple(secrets.redact(line) for line in _unified(was.arguments, becomes.arguments))
    fields = tuple(move.field for move in moves)
    what = What(
        Action.CHANGED, after.profile, fields, _difference(was, becomes, secrets), arguments, secrets.redact(becomes.problem)
    )
    return what, Member(after.name, moves)


def _difference(was: Outcome, becomes: Outcome, secrets: Secrets) -> Difference | None:
    before, after = was.config, becomes.config
    if before is None and after is None:
        return None
    if before is not None and after is not None and before.sha256 == after.sha256:
        return None
    if becomes.problem or was.problem:
        return None
    empty = model.Config(ignition=model.Ignition(version="3.3.0"))
    found = diff(before.config if before else empty, after.config if after else empty, secrets=secrets)
    return found if found else None


def _secrets(of: Outcome) -> Secrets:
    return of.config.secrets if of.config is not None else Secrets()


def _unified(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[str]:
    for line in list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]:
        if not line.startswith("@@"):
            yield line


def _moves(before: Host | None, after: Host | None) -> tuple[Move, ...]:
    return tuple(
        Move(name, _text(before, name), _text(after, name)) for name in _RECORD if _text(before, name) != _text(after, name)
    )


def _text(host: Host | None, name: str) -> str:
    value = getattr(host, name) if host is not None else None
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value or "")


def _explained(
    found: Mapping[tuple[What, tuple[str, ...]], list[tuple[Member, Host, Host]]], old: World, new: World
) -> Iterator[Group]:
    """The causes are looked for once for each group, with its first host."""
    for (what, _), hosts in found.items():
        _, before, after = hosts[0]
        why = tuple(Cause(aspect.name, aspect.place) for aspect in causes(old.inputs(before), new.inputs(after)))
        if what.config is None and not what.arguments and not what.problem:
            why = ()
        yield Group(what, why, tuple(member for member, _, _ in hosts))
