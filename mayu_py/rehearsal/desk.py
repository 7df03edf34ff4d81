"""A worker's desk over a copy of the state, which keeps what was decided."""

from collections.abc import Sequence
from dataclasses import dataclass

from mayu_py.core.exchange import Answer, Request
from mayu_py.core.settings import Settings
from mayu_py.core.snapshot import Snapshot
from mayu_py.services.desk import Desk
from mayu_py.store import Store


@dataclass(frozen=True, slots=True)
class Decision:
    """What was asked of the engine, and what it said."""

    request: Request
    answer: Answer


class RehearsalDesk(Desk):
    """Events are written at once: the next request of a rehearsal comes when the live server's tray would be empty."""

    def __init__(self, settings: Settings, store: Store) -> None:
        super().__init__("rehearsal", settings, lambda: store)
        self._decisions: list[Decision] = []

    def consider(self, request: Request, snapshot: Snapshot | None = None) -> Answer:
        """Decide, and keep it."""
        answer = super().consider(request, snapshot)
        self._decisions.append(Decision(request, answer))
        return answer

    def note(self, answer: Answer) -> None:
        """Write an answer's events down."""
        self.report(answer)

    def take(self) -> Sequence[Decision]:
        """What was decided since the last call."""
        taken, self._decisions = self._decisions, []
        return taken
