"""Authoritative DNS data and how a question is answered from it: RFC 1034 section 4.3.2, 2308, 4592 and 8482.

Names are tuples of lower-case labels, the root's being empty. Nothing here knows of packets.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

Name = tuple[bytes, ...]
Data = tuple[bytes | int | Name, ...]

# An alias of an alias of an alias is a mistake; a loop of them must end.
LONGEST_CHAIN = 8
ANY_TTL = 3600
WILDCARD = b"*"


class Type(IntEnum):
    """The types of which there are records here, and ANY, which only a question has."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    HINFO = 13
    SRV = 33
    ANY = 255


class Record(NamedTuple):
    """One resource record of class IN. `data` holds its fields in the order of RFC 1035: names, integers, raw bytes."""

    owner: Name
    type: Type
    ttl: int
    data: Data


@dataclass(frozen=True, slots=True)
class Answer:
    """What the zones say. `exists` is whether the name does (else NXDOMAIN); no records in `answer` is NODATA."""

    exists: bool
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


Node = Mapping[Type, Sequence[Record]]


@dataclass(frozen=True)
class Zones:
    """Records by name. A node without records is an empty non-terminal: it exists and has nothing (RFC 4592, 2.2.2)."""

    absent: Mapping[Name, Answer]  # by apex: what the zone says of a name that it has not; made-up names are asked for a lot
    nodes: Mapping[Name, Node]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """Index the records. A SOA makes its owner the apex of a zone, below which every owner must lie."""
        gathered: dict[Name, dict[Type, list[Record]]] = {}
        for record in records:
            gathered.setdefault(record.owner, {}).setdefault(record.type, []).append(record)
        apexes = frozenset(name for name, node in gathered.items() if Type.SOA in node)
        for name in list(gathered):
            while name not in apexes and name:
                name = name[1:]
                if gathered.setdefault(name, {}):
                    break
        return cls({apex: Answer(False, (), _negative(gathered[apex])) for apex in apexes}, gathered)

    def apex(self, name: Name) -> Name | None:
        """The apex of the zone that holds the name, None when the name is somebody else's."""
        for at in range(len(name) + 1):
            if name[at:] in self.absent:
                return name[at:]
        return None

    def answer(self, name: Name, type_: int) -> Answer | None:
        """Answer a question of class IN for a lower-case name; None when the name is somebody else's."""
        apex = self.apex(name)
        if apex is None:
            return None
        chain: list[Record] = []
        for _ in range(LONGEST_CHAIN):
            node = self._node(name, apex)
            if node is None:
                absent = self.absent[apex]
                return Answer(False, tuple(chain), absent.authority) if chain else absent
            alias = node.get(Type.CNAME, ())
            if not alias or type_ == Type.CNAME:
                return self._at(node, name, apex, type_, chain)
            chain += _owned(alias, name)
            if type_ == Type.ANY:
                break
            name = _target(alias[0])
        return Answer(True, tuple(chain))

    def _at(self, node: Node, name: Name, apex: Name, type_: int, chain: list[Record]) -> Answer:
        """The end of a chain of aliases, mostly of none."""
        found = _hinfo(name) if type_ == Type.ANY and node else _owned(_of_type(node, type_), name)
        if not found:
            return Answer(True, tuple(chain), self.absent[apex].authority)
        return Answer(True, (*chain, *found), (), self._additional(found))

    def _node(self, name: Name, apex: Name) -> Node | None:
        """The node of that name, or the wildcard that stands for it; None when there is no such name."""
        node = self.nodes.get(name)
        if node is not None:
            return node
        for at in range(1, len(name) - len(apex) + 1):
            encloser = name[at:]
            if encloser in self.nodes:
                # Only the closest encloser's wildcard counts, and what exists beside it hides it (RFC 4592, 3.3.1).
                return self.nodes.get((WILDCARD, *encloser))
        return None

    def _additional(self, found: Iterable[Record]) -> tuple[Record, ...]:
        """Addresses of what the answer names (RFC 2782 and RFC 1035, 3.3.11)."""
        targets = dict.fromkeys(_target(record) for record in found if record.type in (Type.SRV, Type.NS))
        return tuple(record for name in targets for record in self.nodes.get(name, {}).get(Type.A, ()))


def _negative(apex: Node) -> tuple[Record, ...]:
    """The SOA of a negative answer, whose TTL is how long that answer may be kept (RFC 2308, section 3)."""
    (soa,) = apex[Type.SOA]
    minimum = soa.data[-1]
    assert isinstance(minimum, int)
    return (soa._replace(ttl=min(soa.ttl, minimum)),)


def _of_type(node: Node, type_: int) -> Sequence[Record]:
    # A plain integer is equal to its Type, and hashes like it.
    return node.get(type_, ())  # type: ignore[call-overload,no-any-return]


def _owned(records: Iterable[Record], name: Name) -> tuple[Record, ...]:
    """The records with the name that was asked for, which a wildcard's are not."""
    return tuple(record._replace(owner=name) for record in records)


def _hinfo(name: Name) -> tuple[Record, ...]:
    return (Record(name, Type.HINFO, ANY_TTL, (b"RFC8482", b"")),)


def _target(record: Record) -> Name:
    target = record.data[-1]
    assert isinstance(target, tuple)
    return target
