"""The last sign that was had of each thing, known to all workers at once."""

from collections.abc import Hashable
from mmap import mmap

# Eight bytes each; a page of them takes memory when the first of it is written. Two of ten thousand hosts seldom share one.
SLOTS = 1 << 20


class LastSigns:
    """A table in memory that processes share when they were forked after it was made.

    It never grows and takes no lock: a word is written at once. Two things that share a word make each other's signs look new,
    never old.
    """

    def __init__(self, slots: int = SLOTS) -> None:
        self._words = memoryview(mmap(-1, slots * 8)).cast("Q")

    def is_last(self, about: Hashable, sign: Hashable) -> bool:
        """Whether the last sign of `about` was this one; from now on it is."""
        # Forked processes hash alike. The sign of a thing is told from the same sign of another one.
        slot = hash(about) % len(self._words)
        word = hash((about, sign)) % (1 << 64) or 1
        is_same = self._words[slot] == word
        self._words[slot] = word
        return is_same
