"""Ignition configs for hosts: what `core.serving` chooses, with the last good ones kept in the store."""

import logging

from ignition.document import DocumentError
from mayu_py.core.exchange import Answer, Became, Refusal, Refuse
from mayu_py.core.hosts import Host, State
from mayu_py.core.render import Renderer, ServedConfig
from mayu_py.core.serving import Negotiator, Serving, choose, newest
from mayu_py.errors import StoreError
from mayu_py.services.desk import Desk
from mayu_py.services.http.together import Together

log = logging.getLogger(__name__)


class Configs:
    """One worker's configs."""

    def __init__(self, desk: Desk, renderer: Renderer, together: Together) -> None:
        self._desk = desk
        self._renderer = renderer
        self._together = together
        self._negotiator = Negotiator()
        self._told: dict[str, Serving] = {}
        # Host name -> revision of the inventory and digest of the config that it was served last, as far as this worker knows.
        self._kept: dict[str, tuple[int, str]] = {}

    async def serve(self, host: Host, accept: str, answer: Answer, revision: int) -> ServedConfig | Refuse:
        """The config for a client that says what it accepts, or why there is none; everything that follows is written down.

        The events of `answer` are those of a host that has its config, so they count only if it gets one. `revision` is of the
        inventory that the answer was decided by.
        """
        found = newest(self._renderer, host)
        last = self._last(host) if isinstance(found, DocumentError) else None
        serving = choose(host, found, last, accept, self._negotiator)
        match serving.reply:
            case ServedConfig() as served:
                self._note_served(host, serving, served)
                await self._settle(host, serving, answer, revision)
            case Refuse(Refusal.NOT_ACCEPTABLE, why) as refuse:
                await self._together.settle(Answer(refuse, (Became(host, State.FAILED, why),)))
        self._tell(host, serving)
        return serving.reply

    def tell_invalid(self, host: Host, error: DocumentError) -> Refuse:
        """Why a host without usable arguments for its kernel has to wait."""
        why = "\n".join(problem.located for problem in error.problems)
        refuse = Refuse(Refusal.NOT_READY, f"the kernel arguments of {host.name} are not valid:\n{why}")
        self._tell(host, Serving(refuse, None, error.problems))
        return refuse

    def _note_served(self, host: Host, serving: Serving, served: ServedConfig) -> None:
        as_written = serving.good is served
        more = {} if as_written else {"translated": True}
        if serving.is_last_good:
            more["last_good"] = True
        self._desk.count("ignition.served", "last-good" if serving.is_last_good else "valid" if as_written else "translated")
        self._desk.happened("ignition", host, sha256=served.sha256, config_id=served.id, bytes=len(served.config), **more)

    def _tell(self, host: Host, serving: Serving) -> None:
        """Once for each new trouble: a host that waits asks every five seconds, perhaps for days."""
        if not serving.problems:
            self._told.pop(host.name, None)
            return
        if self._told.get(host.name) == serving:
            return
        self._told[host.name] = serving
        kind = (
            "unreadable" if isinstance(serving.reply, Refuse) and serving.reply.refusal is Refusal.NOT_ACCEPTABLE else "invalid"
        )
        problems = [problem.located for problem in serving.problems]
        serves = serving.good.sha256 if serving.good is not None and isinstance(serving.reply, ServedConfig) else None
        log.error("%s: config %s, served is %s: %s", host.name, kind, serves or "none", "; ".join(problems))
        self._desk.happened(kind, host, problems=problems, served=serves)

    def _last(self, host: Host) -> ServedConfig | None:
        try:
            with self._desk.locked:
                config = self._desk.store.last_served(host.name)
        except StoreError as error:
            log.error("the last config of %s cannot be read: %s", host.name, error.message)
            return None
        return None if config is None else ServedConfig.of(config)

    async def _settle(self, host: Host, serving: Serving, answer: Answer, revision: int) -> None:
        good = serving.good
        # A host that is deleted is forgotten, and the inventory has another revision then.
        if good is None or serving.is_last_good or self._kept.get(host.name) == (revision, good.sha256):
            await self._together.settle(answer)
        elif await self._together.settle(answer, (host.name, good.config)):
            self._kept[host.name] = (revision, good.sha256)
        else:
            log.error("the config of %s is served, but not kept", host.name)
            self._desk.count("ignition.served", "not-kept")
