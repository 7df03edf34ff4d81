"""This machine's lease, and those of its peers.

The lease ends by itself `TTL_SECONDS` after the last time that it was kept. Two pods with the number of one machine are not meant
to be: when they are, the one that came last has it, since the other is on its way out, and the other is told and does not fight.
"""

import logging
import threading

from kubeception_sim.agents.bridge import flannel
from kubeception_sim.agents.bridge.etcd import Account, Away, Etcd, Refused
from kubeception_sim.agents.bridge.flannel import Peer
from kubeception_sim.agents.bridge.place import Place

_log = logging.getLogger(__name__)

TTL_SECONDS = 30
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Leases:
    """The leases of a cluster, as one of its machines. One thread at a time."""

    def __init__(self, place: Place, etcd: Etcd, *, ttl: int = TTL_SECONDS) -> None:
        self._place, self._etcd, self._ttl = place, etcd, ttl
        self._key, self._value = flannel.lease_key(place.cluster, place.block), flannel.lease(place)
        self._lease = 0
        self._has_been_ours = False
        self._cluster = ""
        self.problem = ""
        """What is wrong with leases that can be read; empty if nothing is."""
        self.is_new_store = False
        """Whether etcd is another one than at first: others may not have come to it yet."""

    def keep(self) -> tuple[Peer, ...]:
        """Keep our lease, and read those of the peers. Raises Away and Refused."""
        if self._lease and not self._etcd.keep_alive(self._lease):
            _log.warning("the lease of %s has ended", self._place.block)
            self._lease = 0
        found = self._etcd.range(flannel.leases_prefix(self._place.cluster))
        self.is_new_store = self._cluster not in ("", found.cluster)
        self._cluster = found.cluster
        holder = found.values.get(self._key)
        peers, problems = flannel.peers(self._place, found.values)
        if holder not in (None, self._value) and self._has_been_ours:
            problems = (f"{self._place.block} was taken by another pod: {holder}", *problems)
        elif holder != self._value or not self._lease:
            self._take()
        self.problem = "\n".join(problems)
        return peers

    def end(self) -> None:
        """Give up our lease, if it is ours. Raises Away and Refused."""
        if self._lease:
            self._etcd.revoke(self._lease)
            self._lease = 0

    def _take(self) -> None:
        if not self._lease:
            self._lease = self._etcd.grant(self._ttl)
        self._etcd.put(self._key, self._value, self._lease)
        self._has_been_ours = True
        _log.info("%s is leased for %d s at a time: %s", self._place.block, self._ttl, self._value)


def follow(cluster: str, account: Account, changed: threading.Event, stop: threading.Event) -> None:
    """Set `changed` whenever a lease comes, changes or goes, until told to stop: run it in a daemon thread."""
    etcd, pause = Etcd(account), FIRST_PAUSE
    while not stop.is_set():
        try:
            for count in etcd.watch(flannel.leases_prefix(cluster)):
                pause = FIRST_PAUSE
                # What came before the watch was not told: who looks now, sees it.
                _log.debug("%d leases have changed", count)
                changed.set()
        except (Away, Refused) as error:
            _log.warning("leases cannot be followed: %s", error)
        stop.wait(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)
