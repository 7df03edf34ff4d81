"""The sockets of a server. They are bound before the workers are forked, and outlive each of them and each config."""

from collections.abc import Callable, Collection, Hashable
from socket import socket
from types import TracebackType
from typing import Self


class Listeners:
    """Sockets by what they are bound to.

    A config claims those that it needs: one that is held already is the same socket, with what is queued in it. `settle` makes
    the claims the state, and closes what nobody claimed; `give_up` closes what was bound for the claims alone.
    """

    def __init__(self) -> None:
        self._held: dict[Hashable, socket] = {}
        self._claimed: dict[Hashable, socket] = {}

    def claim(self, key: Hashable, bind: Callable[[], socket]) -> socket:
        """The socket held under the key, else a new one. Raises what `bind` raises."""
        if key not in self._claimed:
            self._claimed[key] = self._held[key] if key in self._held else bind()
        return self._claimed[key]

    def settle(self) -> None:
        """The claims are what is served from here on."""
        for key, each in self._held.items():
            if key not in self._claimed:
                each.close()
        self._held, self._claimed = self._claimed, {}

    def give_up(self) -> None:
        """Nothing comes of the claims."""
        for key, each in self._claimed.items():
            if key not in self._held:
                each.close()
        self._claimed = {}

    def claimed(self) -> tuple[socket, ...]:
        """What has been claimed so far."""
        return tuple(self._claimed.values())

    def leave_only(self, mine: Collection[socket]) -> None:
        """In a fork: close what is not `mine`. A port that is given up would else stay open as long as this process."""
        for each in {*self._held.values(), *self._claimed.values()} - {*mine}:
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.give_up()
        for each in self._held.values():
            each.close()
        self._held = {}
