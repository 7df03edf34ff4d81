"""What all faults have in common."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from kubeception_sim.errors import HarnessError


class Fault(ABC):
    """Something broken on purpose, from `begin` to `end`, or for the length of a `with` block."""

    def __init__(self) -> None:
        self.active = False

    def begin(self) -> None:
        """Break it. Raises HarnessError when it is active already, or cannot be done: then nothing is left of it."""
        if self.active:
            raise HarnessError(f"{type(self).__name__} is active already")
        self.active = True
        try:
            self._break()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Restore what was before; nothing happens when it is not active. When this raises, it may be tried again."""
        if self.active:
            self._restore()
            self.active = False

    def renew(self, link: str) -> None:  # noqa: B027 -- most need not
        """The machine with this port was started: if it is one of the fault's, break what is new of it too."""

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    @abstractmethod
    def _break(self) -> None: ...

    @abstractmethod
    def _restore(self) -> None:
        """Also of what was broken in part only, and when what was broken is no more."""
