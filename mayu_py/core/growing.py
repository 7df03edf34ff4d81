"""A mapping that grows without being copied."""

from collections.abc import Iterator, Mapping
from typing import Self, TypeVar, overload

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

# What is copied whenever something is added; the big part is copied once for as many additions.
SMALL = 512


class Growing(Mapping[K, V]):
    """Immutable, like any value. One with more shares nearly all with the one it was made of.

    Adding a host to ten thousand by copying them makes enrolling a rack quadratic.
    """

    __slots__ = ("_big", "_small")

    def __init__(self, big: dict[K, V] | None = None, small: dict[K, V] | None = None) -> None:
        """Takes the dictionaries for its own."""
        self._big: dict[K, V] = big if big is not None else {}
        self._small: dict[K, V] = small if small is not None else {}

    def adding(self, more: Mapping[K, V]) -> Self:
        """This and more; what has a key of this takes its place."""
        small = {**self._small, **more}
        return type(self)({**self._big, **small}) if len(small) > SMALL else type(self)(self._big, small)

    def __getitem__(self, key: K) -> V:
        return self._small[key] if key in self._small else self._big[key]

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | T) -> V | T: ...
    def get(self, key: K, /, default: V | T | None = None) -> V | T | None:
        """The value, or the default. The inherited one raises and catches for each key that is absent."""
        return self._small[key] if key in self._small else self._big.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._small or key in self._big

    def __iter__(self) -> Iterator[K]:
        yield from self._big
        yield from (key for key in self._small if key not in self._big)

    def __len__(self) -> int:
        return len(self._big) + sum(key not in self._big for key in self._small)
