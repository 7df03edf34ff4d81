"""Durable answers, many to a commit: what is to be on the disk before its answer is given waits for the others of its moment."""

import asyncio
from dataclasses import dataclass, field

from mayu_py.core.exchange import Answer
from mayu_py.errors import StoreError
from mayu_py.services.desk import Desk
from mayu_py.store import Entry


@dataclass(slots=True)
class _Batch:
    """What is written together. `done` has the StoreError, if there was one."""

    done: "asyncio.Future[None]"
    entries: list[Entry] = field(default_factory=list)
    served: dict[str, bytes] = field(default_factory=dict)


class Together:
    """For the event loop of one worker.

    A rack that is switched on asks within a moment. While one batch is on its way to the disk, the next gathers.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._next: _Batch | None = None

    async def settle(self, answer: Answer, served: tuple[str, bytes] | None = None) -> bool:
        """Returns when the answer's events, and a host's name with the config that it is served, are on the disk.

        Repeats are not written, but what they repeat may be on its way. Returns whether the config is kept. Raises StoreError
        when events are not written.
        """
        if not answer.events and served is None:
            return True
        entries = self._desk.fresh(answer)
        batch = self._next
        if entries or served is not None:
            batch = self._begun()
            batch.entries += entries
            if served is not None:
                batch.served[served[0]] = served[1]
        if batch is not None:
            try:
                await batch.done
            except StoreError:
                if entries or served is None:
                    raise
                return False
        return True

    def _begun(self) -> _Batch:
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = _Batch(loop.create_future())
            # In the loop's next turn: after all requests that have arrived by then.
            loop.call_soon(self._commit, self._next)
        return self._next

    def _commit(self, batch: _Batch) -> None:
        self._next = None
        try:
            self._desk.write(batch.entries, batch.served)
        except StoreError as error:
            batch.done.set_exception(error)
        else:
            batch.done.set_result(None)
