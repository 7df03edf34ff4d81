"""A memory that is bounded in bytes and forgets what was least lately asked for first."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

# What an entry weighs beside its bytes: dictionary, key, objects.
OVERHEAD = 400


class Bounded(Generic[K, V]):
    """Values by key, each until its own deadline, of at most `limit` bytes together. The clock is the caller's."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[K, tuple[V, float, float, int]] = OrderedDict()
        self.weight = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: K, now: float) -> tuple[V, float] | None:
        """The value and how long it has been held; None when there is none, or no longer."""
        held = self._held.get(key)
        if held is None:
            return None
        value, since, until, weight = held
        if now >= until:
            del self._held[key]
            self.weight -= weight
            return None
        self._held.move_to_end(key)
        return value, now - since

    def put(self, key: K, value: V, size: int, now: float, until: float) -> None:
        """Hold a value of `size` bytes until a moment; others go if there is no room. Too large a one is not held."""
        weight = size + OVERHEAD
        if weight > self._limit:
            return
        old = self._held.pop(key, None)
        self.weight += weight - (old[3] if old else 0)
        self._held[key] = (value, now, until, weight)
        while self.weight > self._limit:
            _, (_, _, _, gone) = self._held.popitem(last=False)
            self.weight -= gone

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self.weight = 0
