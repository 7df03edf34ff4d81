"""A mapping of one of Mayu's files, read key by key, so that what nobody asked for is reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from ignition.document import ListNode, MapNode, Mark, Node, ScalarNode, to_data
from mayu_py.importing.report import Journal
from mayu_py.importing.yaml_text import text_of


@dataclass
class Reader:
    """A mapping that tells which of its keys nobody asked for."""

    node: Node | None
    path: str
    journal: Journal
    asked: set[str] = field(default_factory=set)

    @property
    def mark(self) -> Mark:
        """Where it stands."""
        return self.node.mark if self.node is not None else Mark("config.yaml", 0, 0)

    @property
    def entries(self) -> Mapping[str, Node]:
        """Its values by their keys."""
        return self.node.by_key if isinstance(self.node, MapNode) else {}

    def get(self, key: str) -> Node | None:
        """A value, None when it is not there or empty."""
        self.asked.add(key)
        node = self.entries.get(key)
        return None if isinstance(node, ScalarNode) and to_data(node) is None else node

    def at(self, key: str) -> Mark:
        """Where a value stands."""
        return node.mark if (node := self.entries.get(key)) is not None else self.mark

    def below(self, key: str) -> "Reader":
        """A mapping in it."""
        node = self.get(key)
        if node is not None and not isinstance(node, MapNode):
            self.journal.left(node.mark, f"{self.path}.{key}", f"a mapping is expected, here is {node.describe()}")
            node = None
        return Reader(node, f"{self.path}.{key}", self.journal)

    def text(self, key: str) -> str | None:
        """A scalar as text."""
        node = self.get(key)
        if node is None or isinstance(node, ScalarNode):
            return text_of(node) if node is not None else None
        self.journal.left(node.mark, f"{self.path}.{key}", f"text is expected, here is {node.describe()}")
        return None

    def items(self, key: str) -> Sequence[Node]:
        """A list."""
        node = self.get(key)
        if node is None or isinstance(node, ListNode):
            return node.items if node is not None else ()
        self.journal.left(node.mark, f"{self.path}.{key}", f"a list is expected, here is {node.describe()}")
        return ()

    def address(self, key: str) -> IPv4Address | None:
        """An address."""
        text = self.text(key)
        return _address(text, self.at(key), f"{self.path}.{key}", self.journal) if text else None

    def addresses(self, key: str) -> list[str]:
        """A list of addresses."""
        texts = [(text_of(node), node.mark) for node in self.items(key) if isinstance(node, ScalarNode)]
        found = [_address(text, mark, f"{self.path}.{key}", self.journal) for text, mark in texts]
        return [str(address) for address in found if address is not None]

    def rest(self, gone: Mapping[str, str] | None = None) -> None:
        """Report the keys that were not asked for."""
        for key, value in self.node.entries if isinstance(self.node, MapNode) else ():
            if key.text not in self.asked:
                why = (gone or {}).get(key.text, "no key that Mayu reads here")
                self.journal.dropped(key.mark, f"{self.path}.{key.text}: {str(to_data(value))[:60]}", why)


def _address(text: str, mark: Mark, path: str, journal: Journal) -> IPv4Address | None:
    try:
        return IPv4Address(text.strip())
    except ValueError:
        journal.left(mark, f"{path}: {text[:60]}", "is no IPv4 address")
        return None
