"""Replies that were given before: the same question, to the same inventory, has the same answer."""

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.core.exchange import Answer
from mayu_py.core.snapshot import Snapshot

# A few questions of each of a thousand machines, about a kilobyte each.
MOST = 4096
# Longer ones are rare, and would fill the memory.
LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Prepared:
    """A reply, for any transaction.

    `to` is (address, port). `teach` is the address whose hardware address the kernel must be told first, and that. `name` is the
    counter's; `also` are further counters, with their reasons.
    """

    datagram: bytes
    to: tuple[str, int]
    teach: tuple[IPv4Address, bytes] | None
    name: str
    also: tuple[tuple[str, str], ...]
    answer: Answer

    def of(self, xid: bytes) -> bytes:
        """The reply in this transaction."""
        return self.datagram[:4] + xid + self.datagram[8:]


class Memory:
    """Remembers what a datagram was answered, the last few thousand, as long as the inventory is the same.

    A question is the datagram without its transaction and its seconds (RFC 2131, section 2): nothing is decided by these.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._snapshot: Snapshot | None = None
        self._known: OrderedDict[bytes, Prepared] = OrderedDict()

    def find(self, datagram: bytes, snapshot: Snapshot) -> Prepared | None:
        """What this was answered before."""
        if snapshot is not self._snapshot:
            self._known.clear()
            self._snapshot = snapshot
            return None
        return self._known.get(_question(datagram))

    def keep(self, datagram: bytes, snapshot: Snapshot, prepared: Prepared) -> None:
        """Remember an answer that was decided by this snapshot."""
        if snapshot is self._snapshot and len(datagram) <= LONGEST:
            self._known[_question(datagram)] = prepared
            if len(self._known) > self._most:
                self._known.popitem(last=False)


def _question(datagram: bytes) -> bytes:
    return datagram[:4] + datagram[10:]
