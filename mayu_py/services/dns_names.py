"""From a query to its answer: our own zones first, the forwarders for the rest, an error for what makes no sense."""

import logging
import time
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Protocol

from mayu_py.core.dns_cache import Bounded
from mayu_py.core.faces import Dns
from mayu_py.core.records import records
from mayu_py.core.settings import Settings
from mayu_py.core.snapshot import Snapshot
from mayu_py.core.zones import Answer, Name, Type, Zones
from mayu_py.errors import StoreError
from mayu_py.services.dns_loop import Counts
from mayu_py.wire import Malformed, dns, dns_forward
from mayu_py.wire.dns import AA, CLASS_IN, RA, RD, Body, Faulty, Query, Rcode

log = logging.getLogger(__name__)

# How long a change of the inventory may take to be seen. Making the zones anew never takes more than a tenth of the time.
REFRESH_SECONDS = 0.1
# Written answers, kept until the inventory changes.
BODIES_LIMIT = 8 << 20
# Query types that are no types of records, but ANY (RFC 6895, section 3.1): transfers, mail agents, signatures.
_META_TYPES = frozenset((*range(128, 255), dns.OPT))

Send = Callable[[bytes], None]


class Outcome(Enum):
    """What became of a message."""

    DROPPED = "dropped"  # there is no answer
    ANSWERED = "answered"  # now, or later
    LASTING = "lasting"  # now, and the same bytes have the same answer while `Names.generation` lasts


class Forwarding(Protocol):
    """Who asks other servers."""

    def ask(self, query: Query, done: Callable[[dns_forward.Reply | None], None]) -> None:
        """Call `done` once, maybe at once: with the answer, or None when nobody gave one in time."""


class Names:
    """Answers queries over the newest snapshot. Belongs to one thread."""

    def __init__(
        self, settings: Dns, rack: Settings, newest: Callable[[], Snapshot], forwarding: Forwarding | None, count: Counts
    ) -> None:
        self._settings = settings
        self._rack = rack
        self._newest = newest
        self._forwarding = forwarding
        self._count = count
        self._recursion = RA if forwarding else 0
        self._revision: int | None = None
        self._refresh_at = 0.0
        self._zones = Zones.of(())
        self._bodies: Bounded[bytes | tuple[bool, Name, int], tuple[Rcode, Body]] = Bounded(BODIES_LIMIT)
        self._allowed = tuple((int(net.netmask), int(net.network_address)) for net in settings.allowed(rack.networks))
        self.allowed = lru_cache(4096)(self._is_allowed)
        self.generation = 0

    def refresh(self, now: float) -> None:
        """Follow the inventory. Cheap, but not so cheap that every datagram should do it."""
        if now < self._refresh_at:
            return
        began = time.perf_counter()
        try:
            snapshot = self._newest()
        except StoreError as error:
            # Yesterday's names are better than none.
            self._count("dns.refresh", "store")
            log.error("the names are not refreshed: %s", error.message)
            self._refresh_at = now + 1.0
            return
        if snapshot.revision != self._revision:
            made = records(self._settings, self._rack, snapshot.hosts.values(), snapshot.revision + 1)
            self._zones = Zones.of(made)
            self._bodies.clear()
            self._revision = snapshot.revision
            self.generation += 1
        self._refresh_at = now + max(REFRESH_SECONDS, 10 * (time.perf_counter() - began))

    def _is_allowed(self, address: str) -> bool:
        number = int(IPv4Address(address))
        return any(number & mask == network for mask, network in self._allowed)

    def answer(self, message: bytes, peer: str, send: Send, *, tcp: bool) -> Outcome:
        """Answer a message through `send`, now or later, or count why not."""
        try:
            query = dns.parse(message)
        except Faulty as error:
            self._count("dns.faulty", error.reason)
            send(error.reply)
            return Outcome.ANSWERED
        except Malformed as error:
            self._count("dns.drop", error.reason)
            return Outcome.DROPPED
        limit = dns.TCP_PAYLOAD if tcp else dns.udp_limit(query)
        if (refused := self._refusal(query, peer)) is not None:
            rcode, reason = refused
            self._count("dns.refused", reason)
            send(dns.reply(query, rcode, self._recursion, limit=limit))
            return Outcome.ANSWERED
        if (found := self._own(query)) is not None:
            rcode, body = found
            self._count("dns.sent", rcode.name.lower())
            send(dns.reply(query, rcode, AA | self._recursion, body, limit=limit))
            return Outcome.LASTING
        self._forward(query, send, limit)
        return Outcome.ANSWERED

    def _refusal(self, query: Query, peer: str) -> tuple[Rcode, str] | None:
        if not self.allowed(peer):
            return Rcode.REFUSED, "stranger"
        if query.edns is not None and query.edns.version:
            return Rcode.BADVERS, "edns-version"
        if query.class_ != CLASS_IN:
            return Rcode.REFUSED, "class"
        if query.type in _META_TYPES:
            return Rcode.REFUSED, "type"
        return None

    def _own(self, query: Query) -> tuple[Rcode, Body] | None:
        key = query.key
        held = self._bodies.get(key, 0.0)
        if held is not None:
            return held[0]
        answer = self._zones.answer(query.name, query.type)
        if answer is None:
            return None
        if not answer.answer:
            return self._negative(query, answer)
        found = (Rcode.NOERROR if answer.exists else Rcode.NXDOMAIN, _body(query, query.name, answer))
        self._bodies.put(key, found, len(key) + len(found[1].data), 0.0, 1.0)
        return found

    def _negative(self, query: Query, answer: Answer) -> tuple[Rcode, Body]:
        """Whatever the name, of one length it has one answer: whoever makes up names shall not make us write many."""
        apex = answer.authority[0].owner
        key = (answer.exists, apex, len(query.question))
        held = self._bodies.get(key, 0.0)
        if held is not None:
            return held[0]
        found = (Rcode.NOERROR if answer.exists else Rcode.NXDOMAIN, _body(query, apex, answer))
        self._bodies.put(key, found, len(found[1].data), 0.0, 1.0)
        return found

    def _forward(self, query: Query, send: Send, limit: int) -> None:
        if self._forwarding is None or not query.flags & RD or query.type == Type.ANY:
            self._count("dns.refused", "not-ours")
            send(dns.reply(query, Rcode.REFUSED, self._recursion, limit=limit))
            return

        def done(reply: dns_forward.Reply | None) -> None:
            rcode, body = (Rcode.SERVFAIL, dns.EMPTY) if reply is None else (reply.rcode, reply.body)
            # Without EDNS there is no room for a code above 15.
            rcode = Rcode.SERVFAIL if rcode > 15 and query.edns is None else rcode
            self._count("dns.sent", "forwarded" if reply else "servfail")
            send(dns.reply(query, rcode, RA, body, limit=limit))

        self._forwarding.ask(query, done)


def _body(query: Query, shared: Name, answer: Answer) -> Body:
    return dns.body(len(query.question), shared, answer.answer, answer.authority, answer.additional)
