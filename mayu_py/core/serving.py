"""Which config a client is served: the newest valid one of its host, else the last good one, in a spec that it reads.

Ignition takes every status below 500 as final and asks again, for ever, after any other (its internal/resource/http.go). So
a host whose config does not render gets 503: an operator mends that while it asks. A client that is too old for its config
gets 406: it cannot become newer by asking again, and its machine fails at once, where somebody sees it.
"""

from collections import OrderedDict
from dataclasses import dataclass

from ignition import model
from ignition.document import DocumentError, Mark, Problem
from ignition.errors import Severity
from ignition.specs import UnknownSpec, negotiate
from mayu_py.core.exchange import Refusal, Refuse
from mayu_py.core.hosts import Host
from mayu_py.core.render import Renderer, ServedConfig

# Translations kept, and refusals: a few clients' headers for each of a thousand hosts.
KEPT = 4096
# Ignition's own header has 80 characters. Longer ones would be read again at each request.
LONGEST_ACCEPT = 1000


@dataclass(frozen=True, slots=True)
class Serving:
    """What a client gets.

    `good` is the config before translation. `problems` are why `reply` is not the host's newest config, or none at all.
    `is_last_good`: the newest config does not render or is not valid.
    """

    reply: ServedConfig | Refuse
    good: ServedConfig | None = None
    problems: tuple[Problem, ...] = ()
    is_last_good: bool = False


class Negotiator:
    """Brings configs to the spec that a client reads, each one once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], ServedConfig | DocumentError] = OrderedDict()

    def offer(self, config: ServedConfig, accept: str) -> ServedConfig:
        """The config for a client with this Accept header. Raises DocumentError, naming what its spec cannot hold."""
        if not accept:
            return config
        key = (config.sha256, accept[:LONGEST_ACCEPT])
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = _negotiated(config, key[1])
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        if isinstance(found, DocumentError):
            raise DocumentError(found.problems)
        return found


def _negotiated(config: ServedConfig, accept: str) -> ServedConfig | DocumentError:
    try:
        offered = negotiate(accept, config.config)
    except DocumentError as error:
        return DocumentError(config.secrets.redact_problem(problem) for problem in error.problems)
    except UnknownSpec as error:
        return DocumentError([_no_place(f"{error}; the client reads nothing of spec 3")])
    as_written = negotiate(None, config.config)
    return config if offered == as_written else ServedConfig.of(model.encode(offered.config), config.secrets, id=config.id)


def _no_place(message: str) -> Problem:
    return Problem(Severity.ERROR, Mark("config.ign", 0, 0), "", message)


def newest(renderer: Renderer, host: Host) -> ServedConfig | DocumentError:
    """The host's config as it would be now, or what is wrong with it."""
    try:
        return renderer.config(host)
    except DocumentError as error:
        return error


def choose(
    host: Host, found: ServedConfig | DocumentError, last: ServedConfig | None, accept: str, negotiator: Negotiator
) -> Serving:
    """What a client gets. `last` is the last config that the host was served; it counts only when the newest is no good."""
    problems = found.problems if isinstance(found, DocumentError) else ()
    good = last if isinstance(found, DocumentError) else found
    if good is None:
        why = f"the config of {host.name} is not valid, and there is no earlier one:\n{_listed(problems)}"
        return Serving(Refuse(Refusal.NOT_READY, why), None, problems)
    is_last_good = good is not found
    try:
        return Serving(negotiator.offer(good, accept), good, problems, is_last_good)
    except DocumentError as error:
        why = f"the config of {host.name} cannot be said in a spec that this Ignition reads:\n{_listed(error.problems)}"
        return Serving(Refuse(Refusal.NOT_ACCEPTABLE, why), good, error.problems, is_last_good)


def _listed(problems: tuple[Problem, ...]) -> str:
    return "\n".join(problem.located for problem in problems)
