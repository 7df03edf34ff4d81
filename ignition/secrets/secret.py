"""A text that must not be shown."""

from collections.abc import Iterator
from typing import Self, SupportsIndex

MARK = "***"
SHORTEST = 4
"""Characters. Fewer occur in any text by chance, so they could not be replaced without tearing it up."""


class Secret(str):
    """A text that is secret. It is the text wherever a string is asked for, and hidden from `repr`.

    Its parts are secret too, however short they are. Raises ValueError for fewer than SHORTEST characters, white space at
    either end not counted.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if len(text.strip()) < SHORTEST:
            raise ValueError(f"a secret has at least {SHORTEST} characters")
        return super().__new__(cls, text)

    @classmethod
    def derived(cls, text: str) -> Self:
        """Return what was made of a secret, which may be of any length."""
        return super().__new__(cls, text)

    def reveal(self) -> str:
        """Return the text as a plain string."""
        return "".join(super().__iter__())

    def __repr__(self) -> str:
        return "<secret>"

    def __getitem__(self, key: SupportsIndex | slice, /) -> Self:
        return self.derived(super().__getitem__(key))

    def __iter__(self) -> Iterator[str]:
        return map(self.derived, super().__iter__())
