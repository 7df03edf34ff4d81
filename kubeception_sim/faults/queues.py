"""Cables that are slow: queueing disciplines of the kernel (tc-tbf(8), tc-netem(8)) at the fabric's end of a cable.

A discipline is for what leaves. What comes in from the machine is led through a device of its own (an ifb), which it leaves
towards the bridge: so there is a queue of the same kind for each way.
"""

import json
import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from kubeception_sim.errors import CommandFailed, DeadlineExceeded, HarnessError
from kubeception_sim.faults.cable import Wire
from kubeception_sim.faults.fault import Fault
from kubeception_sim.model.faults import Rate as Bits
from kubeception_sim.model.faults import Share
from kubeception_sim.run import require, run

_COMMAND_SECONDS = 10.0
_LINK_SECONDS = 10.0
_POLL_SECONDS = 0.05
_NETNS_DIRECTORY = Path("/run/netns")
_BY_ITSELF = "0:"  # the handle of the discipline that the kernel gives a link by itself
_BURST_SECONDS = 0.02
_BURST_LEAST = 6_000  # bytes, four full frames: of a smaller one nothing would be left over after the first
_LONGEST_WAIT = "400ms"
_LATE_MAX = 100_000  # frames


class _Queue(Fault):
    """The same discipline for both ways of some cables."""

    def __init__(self, wires: Sequence[Wire]) -> None:
        super().__init__()
        require("tc", "iproute2")
        self._wires = tuple(wires)

    @abstractmethod
    def discipline(self) -> tuple[str, ...]:
        """What `tc qdisc add ... root` is told."""

    def renew(self, link: str) -> None:
        """Lay queues at a port that was made anew. A container's cable is there some moments after its start."""
        deadline = time.monotonic() + _LINK_SECONDS
        for wire in (each for each in self._wires if each.link == link):
            while not _exists(wire.namespace, wire.link):
                if time.monotonic() > deadline:
                    raise DeadlineExceeded(f"{wire.link} is not there {_LINK_SECONDS:g} s after its machine's start")
                time.sleep(_POLL_SECONDS)
            if _untouched(wire):
                self._lift(wire)
                self._lay(wire)

    def _break(self) -> None:
        taken = [wire.link for wire in self._wires if _exists(wire.namespace, wire.link) and not _untouched(wire)]
        if taken:
            self._wires = ()  # what is there is not ours to take away
            raise HarnessError(f"{', '.join(taken)}: somebody else has a queueing discipline there", hint="tc qdisc show")
        for wire in self._wires:
            if _exists(wire.namespace, wire.link):
                self._lay(wire)

    def _restore(self) -> None:
        for wire in reversed(self._wires):
            self._lift(wire)

    def _lay(self, wire: Wire) -> None:
        inward, words = _inward(wire), self.discipline()
        try:
            _run(wire, "ip", "link", "add", inward, "type", "ifb")
            _run(wire, "ip", "link", "set", "dev", inward, "up")
            for link in (wire.link, inward):
                _run(wire, "tc", "qdisc", "add", "dev", link, "root", *words)
            _run(wire, "tc", "qdisc", "add", "dev", wire.link, "ingress")
            everything = ("protocol", "all", "u32", "match", "u32", "0", "0")
            _run(
                wire, "tc", "filter", "add", "dev", wire.link, "parent", "ffff:", *everything,
                *("action", "mirred", "egress", "redirect", "dev", inward),
            )  # fmt: skip
        except CommandFailed as error:
            if "kind is unknown" in error.message:
                hint = f"a kernel with CONFIG_NET_SCH_{words[0].upper()}, or its module sch_{words[0]}"
                raise HarnessError(f"this kernel has no {words[0]}, which is needed for this fault", hint=hint) from error
            raise

    def _lift(self, wire: Wire) -> None:
        if not (_NETNS_DIRECTORY / wire.namespace).exists():
            return
        if _exists(wire.namespace, wire.link):
            for kind in _disciplines(wire):
                _run(wire, "tc", "qdisc", "delete", "dev", wire.link, "ingress" if kind == "ingress" else "root")
        if _exists(wire.namespace, _inward(wire)):
            _run(wire, "ip", "link", "delete", _inward(wire))


class Rate(_Queue):
    """Cables that carry no more than `rate`, each way. What waits longer than 400 ms for its turn is lost."""

    def __init__(self, wires: Sequence[Wire], rate: Bits) -> None:
        super().__init__(wires)
        self._rate = rate

    def discipline(self) -> tuple[str, ...]:
        """A token bucket that holds what passes in 20 ms."""
        burst = max(_BURST_LEAST, round(self._rate.bits / 8 * _BURST_SECONDS))
        return ("tbf", "rate", f"{self._rate.bits}bit", "burst", f"{burst}b", "latency", _LONGEST_WAIT)


class Delay(_Queue):
    """Cables on which frames take `delay` seconds longer, give or take `jitter`; some come twice, some overtake those before.

    Each way: an answer comes later by twice as much. Under jitter frames may overtake each other too.
    Needs netem, which not every kernel has; raises HarnessError when begun without.
    """

    def __init__(
        self,
        wires: Sequence[Wire],
        delay: float = 0.0,
        jitter: float = 0.0,
        duplicate: Share | None = None,
        reorder: Share | None = None,
    ) -> None:
        super().__init__(wires)
        self._delay = delay
        self._jitter = jitter
        self._duplicate = duplicate
        self._reorder = reorder

    def discipline(self) -> tuple[str, ...]:
        """netem, with room for what a fast cable holds meanwhile."""
        words = ["netem", "limit", str(_LATE_MAX), "delay", _microseconds(self._delay)]
        words += [_microseconds(self._jitter)] if self._jitter else []
        words += ["duplicate", str(self._duplicate)] if self._duplicate else []
        words += ["reorder", str(self._reorder)] if self._reorder else []
        return tuple(words)


def _microseconds(seconds: float) -> str:
    return f"{round(seconds * 1e6)}us"


def _inward(wire: Wire) -> str:
    """The device for what comes from the machine; nine of fifteen letters tell machines apart."""
    return f"q{wire.mac.replace(':', '')}"


def _exists(namespace: str, link: str) -> bool:
    return run(["ip", "-netns", namespace, "link", "show", "dev", link], timeout=_COMMAND_SECONDS, check=False).code == 0


def _disciplines(wire: Wire) -> tuple[str, ...]:
    """The kinds of those that the kernel has not given the link by itself."""
    asked = _run(wire, "tc", "-json", "qdisc", "show", "dev", wire.link)
    return tuple(each["kind"] for each in json.loads(asked or "[]") if each["handle"] != _BY_ITSELF)


def _untouched(wire: Wire) -> bool:
    return not _disciplines(wire)


def _run(wire: Wire, *argv: str) -> str:
    return run(argv, namespace=wire.namespace, timeout=_COMMAND_SECONDS).stdout
