"""From any stable spec 3 to any other."""

from collections.abc import Iterable

from ignition.errors import DocumentError, Problem
from ignition.model import Config
from ignition.specs.lifting import lift
from ignition.specs.lowering import errors_of, lower
from ignition.specs.source import Origin, Source
from ignition.specs.versions import spec_named, spec_of


class LossyTranslation(DocumentError):
    """A config cannot be said in an older spec. `problems` names every value in the way; `version` is that older spec."""

    def __init__(self, problems: Iterable[Problem], version: str) -> None:
        super().__init__(problems)
        self.version = version


def translate(config: Source, version: str) -> Config:
    """Return the config in the stable spec `version`, one of 3.0.0 to 3.6.0.

    To a newer spec the result is what Ignition 2.26 makes of the config, which is not always all of it
    (docs/ignition-differences.md). To an older spec nothing is lost, and the result is valid there.

    Raises UnknownSpec for a version that is none of those, LossyTranslation when an older spec cannot hold the config,
    and DocumentError when Ignition would refuse the config to begin with: a text always, a typed config on the way down.
    """
    target = spec_named(version)
    origin = Origin.of(config)
    own = spec_of(origin.config.ignition.version)
    if target >= own:
        return lift(origin.config, target)
    if broken := errors_of(origin.config, own):
        raise DocumentError(origin.error(path, message) for _, path, message in broken)
    lowered, losses = lower(origin.config, own, target)
    if losses:
        raise LossyTranslation((origin.error(loss.path, loss.message, loss.remedy) for loss in losses), version)
    return lowered
