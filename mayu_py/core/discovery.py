"""etcd's discovery protocol: a token's members and size, as the part of etcd's v2 keys API that joining clients use.

A cluster being formed is a value; every request makes a new one and an answer. See "Discovery service protocol" and "etcd v2
API" in etcd 3.4's documentation. Indexes count the changes below one token, from 1; times are seconds since 1970.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

REGISTRY = "/_etcd/registry"
SIZE = "_config/size"
TOKEN = re.compile(r"[0-9a-f]{32}", re.ASCII)
# What etcd calls itself here is its member id in hex.
MEMBER = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}", re.ASCII)

DEFAULT_SIZE = 3
LARGEST = 31
# Members beyond `size` become proxies, and register too before they know.
MOST_MEMBERS = 4 * LARGEST
LONGEST_VALUE = 4096
# etcd keeps the last 1000 changes of everything; this is of one token.
HISTORY = 256


class Code(IntEnum):
    """etcd's error codes, as far as they can happen here."""

    KEY_NOT_FOUND = 100
    TEST_FAILED = 101
    NODE_EXIST = 105
    ROOT_READ_ONLY = 107
    TTL_NAN = 202
    INDEX_NAN = 203
    INVALID_FIELD = 209
    EVENT_INDEX_CLEARED = 401

    @property
    def status(self) -> int:
        """The HTTP status that etcd gives it."""
        match self:
            case Code.KEY_NOT_FOUND:
                return 404
            case Code.TEST_FAILED | Code.NODE_EXIST:
                return 412
            case Code.ROOT_READ_ONLY:
                return 403
            case _:
                return 400


_MESSAGES: Mapping[Code, str] = {
    Code.KEY_NOT_FOUND: "Key not found",
    Code.TEST_FAILED: "Compare failed",
    Code.NODE_EXIST: "Key already exists",
    Code.ROOT_READ_ONLY: "Root is read only",
    Code.TTL_NAN: "The given TTL in POST form is not a number",
    Code.INDEX_NAN: "The given index in POST form is not a number",
    Code.INVALID_FIELD: "Invalid field",
    Code.EVENT_INDEX_CLEARED: "The event in requested index is outdated and cleared",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, the JSON of its body, and `X-Etcd-Index`."""

    status: int
    body: Mapping[str, Any]
    index: int


@dataclass(frozen=True, slots=True)
class Member:
    """One key below a token. `expires` is when it goes by itself."""

    value: str
    created: int
    modified: int
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What happened at one index; `body` is what a watch on it answers."""

    index: int
    key: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a writer demands of the key that it writes: etcd's prevExist, prevValue and prevIndex."""

    exists: bool | None = None
    value: str | None = None
    index: int | None = None

    @property
    def compares(self) -> bool:
        """Whether the key's content matters."""
        return self.value is not None or self.index is not None

    @property
    def put_action(self) -> str:
        """What etcd calls a write under these conditions."""
        if self.compares:
            return "compareAndSwap"
        return {None: "set", True: "update", False: "create"}[self.exists]

    @property
    def keeps_creation(self) -> bool:
        """Whether a key that is there is written anew, or replaced."""
        return self.compares or self.exists is True


@dataclass(frozen=True, slots=True)
class Watch:
    """Wait for the first change at `since` or later, of `key` (None: the token itself), or with `recursive` of all below it."""

    token: str
    key: str | None
    since: int
    recursive: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """A token: the `size` its cluster has when it is formed, its members by their names, and its last changes."""

    token: str
    size: int = DEFAULT_SIZE
    index: int = 1
    size_created: int = 1
    size_modified: int = 1
    members: Mapping[str, Member] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    @property
    def expires(self) -> float | None:
        """When the next member goes by itself."""
        return min((member.expires for member in self.members.values() if member.expires is not None), default=None)

    def path(self, key: str | None = None) -> str:
        """The key as etcd spells it."""
        return "/".join((REGISTRY, self.token, *((key,) if key is not None else ())))

    def get_size(self) -> Answer:
        """`GET /etcd/{token}/_config/size`."""
        return Answer(200, {"action": "get", "node": self._size_node()}, self.index)

    def put_size(self, text: str) -> "tuple[Cluster, Answer]":
        """`PUT /etcd/{token}/_config/size`: 1 to LARGEST."""
        size = read_size(text)
        if size is None:
            return self, self.error(Code.INVALID_FIELD, SIZE, f"a cluster has 1 to {LARGEST} members")
        before = self._size_node()
        grown = replace(self, size=size, index=self.index + 1, size_modified=self.index + 1)
        body = {"action": "set", "node": grown._size_node(), "prevNode": before}
        return grown._with(SIZE, body), Answer(200, body, grown.index)

    def list(self, *, is_sorted: bool, now: float) -> Answer:
        """`GET /etcd/{token}`: the members, in the order in which they came; `_config` is hidden, as in etcd."""
        names = sorted(self.members) if is_sorted else sorted(self.members, key=lambda name: self.members[name].created)
        nodes = [self._node(name, self.members[name], now) for name in names]
        node = {"key": self.path(), "dir": True, **({"nodes": nodes} if nodes else {}), "modifiedIndex": 1, "createdIndex": 1}
        return Answer(200, {"action": "get", "node": node}, self.index)

    def get(self, name: str, now: float) -> Answer:
        """`GET /etcd/{token}/{member}`."""
        member = self.members.get(name)
        if member is None:
            return self.error(Code.KEY_NOT_FOUND, name)
        return Answer(200, {"action": "get", "node": self._node(name, member, now)}, self.index)

    def put(
        self, name: str, value: str, now: float, conditions: Conditions = Conditions(), ttl: int | None = None
    ) -> "tuple[Cluster, Answer]":
        """`PUT /etcd/{token}/{member}`: create, update or compare and swap. `ttl` is in seconds."""
        before = self.members.get(name)
        if failed := self._failed(name, before, conditions):
            return self, failed
        if before is None and len(self.members) >= MOST_MEMBERS:
            return self, self.error(Code.ROOT_READ_ONLY, name, f"a token has {MOST_MEMBERS} members at most")
        if len(value.encode("utf-8", "replace")) > LONGEST_VALUE:
            return self, self.error(Code.INVALID_FIELD, name, f"a value has {LONGEST_VALUE} bytes at most")
        index = self.index + 1
        expires = now + ttl if ttl is not None else None
        created = before.created if before is not None and conditions.keeps_creation else index
        member = Member(value, created, index, expires)
        body: dict[str, Any] = {"action": conditions.put_action, "node": self._node(name, member, now)}
        if before is not None:
            body["prevNode"] = self._node(name, before, now)
        changed = replace(self, index=index, members={**self.members, name: member})
        return changed._with(name, body), Answer(200 if before else 201, body, index)

    def delete(self, name: str, now: float, conditions: Conditions = Conditions()) -> "tuple[Cluster, Answer]":
        """`DELETE /etcd/{token}/{member}`."""
        before = self.members.get(name)
        if before is None:
            return self, self.error(Code.KEY_NOT_FOUND, name)
        if failed := self._failed(name, before, conditions):
            return self, failed
        changed, body = self._without(name, "compareAndDelete" if conditions.compares else "delete", now)
        return changed, Answer(200, body, changed.index)

    def expired(self, now: float) -> "Cluster":
        """Without the members whose time is up; the same object when there are none."""
        due = sorted((m.expires, name) for name, m in self.members.items() if m.expires is not None and m.expires <= now)
        changed = self
        for _, name in due:
            changed, _body = changed._without(name, "expire", now)
        return changed

    def seen(self, watch: Watch) -> Answer | None:
        """What a watch answers, None while it has to wait."""
        if self.changes and watch.since < self.changes[0].index and self.index - watch.since >= HISTORY:
            cause = f"the requested history has been cleared [{self.changes[0].index}/{watch.since}]"
            return Answer(400, self._error_body(Code.EVENT_INDEX_CLEARED, cause), self.index)
        for change in self.changes:
            matches = change.key == watch.key or (watch.recursive and watch.key is None and change.key != SIZE)
            if change.index >= watch.since and matches:
                return Answer(200, change.body, self.index)
        return None

    def error(self, code: Code, key: str | None, cause: str | None = None) -> Answer:
        """A refusal in etcd's form."""
        return Answer(code.status, self._error_body(code, cause or self.path(key)), self.index)

    def _error_body(self, code: Code, cause: str) -> Mapping[str, Any]:
        return error_body(code, cause, self.index)

    def _failed(self, name: str, before: Member | None, conditions: Conditions) -> Answer | None:
        if before is None:
            wants_one = conditions.exists is True or conditions.compares
            return self.error(Code.KEY_NOT_FOUND, name) if wants_one else None
        if conditions.exists is False:
            return self.error(Code.NODE_EXIST, name)
        differ = []
        if conditions.value is not None and conditions.value != before.value:
            differ.append(f"{conditions.value} != {before.value}")
        if conditions.index is not None and conditions.index != before.modified:
            differ.append(f"{conditions.index} != {before.modified}")
        return self.error(Code.TEST_FAILED, name, f"[{'; '.join(differ)}]") if differ else None

    def _without(self, name: str, action: str, now: float) -> "tuple[Cluster, Mapping[str, Any]]":
        before = self.members[name]
        index = self.index + 1
        gone = {"key": self.path(name), "modifiedIndex": index, "createdIndex": before.created}
        body = {"action": action, "node": gone, "prevNode": self._node(name, before, now)}
        left = {other: member for other, member in self.members.items() if other != name}
        return replace(self, index=index, members=left)._with(name, body), body

    def _with(self, key: str, body: Mapping[str, Any]) -> "Cluster":
        return replace(self, changes=(*self.changes, Change(self.index, key, body))[-HISTORY:])

    def _size_node(self) -> dict[str, Any]:
        indexes = {"modifiedIndex": self.size_modified, "createdIndex": self.size_created}
        return {"key": self.path(SIZE), "value": str(self.size), **indexes}

    def _node(self, name: str, member: Member, now: float) -> dict[str, Any]:
        node: dict[str, Any] = {"key": self.path(name), "value": member.value}
        if member.expires is not None:
            node["ttl"] = max(0, round(member.expires - now))
        return {**node, "modifiedIndex": member.modified, "createdIndex": member.created}


def unknown(token: str) -> Answer:
    """The answer about a token that nobody made."""
    return Answer(404, error_body(Code.KEY_NOT_FOUND, f"{REGISTRY}/{token}", 0), 0)


def error_body(code: Code, cause: str, index: int) -> Mapping[str, Any]:
    """An error as etcd writes it."""
    return {"errorCode": int(code), "message": _MESSAGES[code], "cause": cause, "index": index}


def read_size(text: str) -> int | None:
    """The size of a cluster, None when it is no number from 1 to LARGEST."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= 3
    return int(text) if is_number and 1 <= int(text) <= LARGEST else None


Step = Callable[[Cluster | None], Cluster | None]
"""What a request makes of a token; None is a token that does not exist. The same object: nothing has changed."""
