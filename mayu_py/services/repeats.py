"""What has been seen a moment ago, and so is nothing new."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# Ten thousand machines that boot together have three signs each to be remembered.
MOST = 50_000


class Repeats(Generic[K]):
    """Remembers keys for some seconds, and the newest ones only when there are more than `most`.

    What one look costs does not grow with how many are remembered.
    """

    def __init__(self, seconds: float, most: int = MOST) -> None:
        self._seconds = seconds
        self._most = most
        self._first_seen: OrderedDict[K, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._first_seen)

    def forget(self, key: K) -> None:
        """The key is new when it comes next."""
        self._first_seen.pop(key, None)

    def seen(self, key: K, now: float) -> bool:
        """Whether the key was new less than `seconds` ago; if not, it is new now. `now` is monotonic."""
        before = self._first_seen.get(key)
        if before is not None and now - before < self._seconds:
            return True
        self._first_seen[key] = now
        self._first_seen.move_to_end(key)
        # Two may go for each that comes: what has lapsed leaves in time, and nobody waits for a big clearing.
        for _ in range(2):
            oldest = next(iter(self._first_seen))
            if now - self._first_seen[oldest] < self._seconds and len(self._first_seen) <= self._most:
                break
            del self._first_seen[oldest]
        return False
