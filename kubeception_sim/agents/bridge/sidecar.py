"""Keeps kernel and leases as they should be: every few seconds, and whenever a lease changes.

What is known of the peers outlives etcd: while it is away the network stays as it is, and when another etcd comes in its place,
those who were peers are, until their leases could have ended, since they have to come to it first. A peer that only goes is
forgotten at once. It outlives this process too: until etcd has answered once, the peers are those that the kernel still has.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence

from kubeception_sim.agents.bridge.etcd import Away
from kubeception_sim.agents.bridge.etcd import Refused as RefusedByEtcd
from kubeception_sim.agents.bridge.flannel import Peer
from kubeception_sim.agents.bridge.kernel import Network, Refused
from kubeception_sim.agents.bridge.leases import TTL_SECONDS, Leases

_log = logging.getLogger(__name__)

RESYNC_SECONDS = 3.0
SETTLE_SECONDS = 0.05
"""Leases come in crowds when a cluster starts. They are taken together."""
STUCK_SECONDS = 60.0


class Sidecar:
    """Keeps one machine's network. `changed` is set by whoever follows the leases."""

    def __init__(self, network: Network, leases: Leases, *, resync: float = RESYNC_SECONDS, grace: float = TTL_SECONDS) -> None:
        self._network, self._leases, self._resync, self._grace = network, leases, resync, grace
        self.changed = threading.Event()
        self._ending = threading.Event()
        self._kernel_problem, self._store_problem = "nothing was looked at yet", "no lease yet"
        self._old: tuple[Peer, ...] = ()
        self._old_until = 0.0
        self._is_known = False
        self._last_round = time.monotonic()
        self._counters: Mapping[str, int] = {}
        self.peers: tuple[Peer, ...] = ()
        self.rounds = 0

    @property
    def sick(self) -> str:
        """Why the network is not as it should be; empty if it is. Not that etcd is away: all pods lose it at once."""
        if (silent := time.monotonic() - self._last_round) > STUCK_SECONDS:
            return f"the last look was {silent:.0f} s ago"
        return self._kernel_problem

    @property
    def problem(self) -> str:
        """The same, and whether the peers of now are known."""
        return "\n".join(filter(None, (self.sick, self._store_problem)))

    def metrics(self) -> Mapping[str, float]:
        """Counts, by their names for Prometheus."""
        dropped = {f'kubeception_bridge_dropped_total{{why="{why}"}}': count for why, count in self._counters.items()}
        return dropped | {
            "kubeception_bridge_peers": len(self.peers),
            "kubeception_bridge_rounds_total": self.rounds,
            "kubeception_bridge_changes_total": self._network.changes,
            "kubeception_bridge_store_lost": bool(self._store_problem),
        }

    def pages(self) -> Sequence[Mapping[str, object]]:
        """The peers, as JSON has them."""
        return [{"index": peer.index, "pod": str(peer.pod)} for peer in self.peers]

    def stop(self) -> None:
        """Let `run` end once the machine is off, from another thread or a handler of a signal."""
        self._ending.set()
        self.changed.set()

    def run(self) -> None:
        """Keep it until `stop`, and then for as long as the machine is there: it needs its network to shut down. The pod may be
        killed while it waits; the lease ends by itself then."""
        while not self._ending.is_set() or self._is_connected():
            self.step()
            if self.changed.wait(self._resync):
                self._ending.wait(SETTLE_SECONDS)
            self.changed.clear()
        try:
            self._leases.end()
        except (Away, RefusedByEtcd) as error:
            _log.warning("the lease ends by itself: %s", error)

    def step(self) -> None:
        """One look, and what it takes."""
        try:
            self._take(self._leases.keep())
            problem = self._leases.problem
        except (Away, RefusedByEtcd) as error:
            problem = str(error)
        self._store_problem = self._told(self._store_problem, problem)
        try:
            if not self._is_known:
                self.peers = self._network.peers()
            self._network.apply(self.peers)
            self._counters = self._network.counters()
            problem = ""
        except Refused as error:
            problem = str(error)
        self._kernel_problem = self._told(self._kernel_problem, problem)
        self._last_round = time.monotonic()
        self.rounds += 1

    def _take(self, found: tuple[Peer, ...]) -> None:
        now = time.monotonic()
        if self._leases.is_new_store:
            _log.warning("etcd has lost what it had: the peers from before stay for %g s", self._grace)
            self._old, self._old_until = self.peers, now + self._grace
        kept = self._old if now < self._old_until else ()
        known = {peer.index: peer for peer in (*kept, *found)}
        peers = tuple(known[index] for index in sorted(known))
        if peers != self.peers:
            _log.info("peers: %s", ", ".join(f"{peer.index} at {peer.pod}" for peer in peers) or "none")
        self.peers, self._is_known = peers, True

    def _is_connected(self) -> bool:
        try:
            return self._network.connected()
        except Refused as error:
            _log.warning("whether the machine runs is not known: %s", error)
            return False

    @staticmethod
    def _told(before: str, problem: str) -> str:
        if problem and problem != before:
            _log.error("%s", problem)
        return problem
