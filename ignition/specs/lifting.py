"""To newer specs, as Ignition itself brings an older config to its newest spec (config/v3_N/translate/translate.go).

Most steps only change the version. Those that do more are below; two of them lose something, and that is Ignition's doing:
a config of the older spec has the lesser meaning there.
"""

from collections.abc import Callable, Mapping

from ignition import model
from ignition.model import Config, Part
from ignition.model.shape import replace, rewrite
from ignition.specs.versions import Spec, spec_of

SPECIAL_BITS = 0o7000


def lift(config: Config, spec: Spec) -> Config:
    """Return the config in a spec that is its own or newer. Nothing is validated, as in Ignition."""
    for minor in range(spec_of(config.ignition.version).minor + 1, spec.minor + 1):
        change = _STEPS.get(minor)
        config = config if change is None else rewrite(config, change)
    return config.in_version(spec.version)


def _fill_source(part: Part) -> Part:
    """Go's CaReference held its source as plain text in 3.0, so an absent source is an empty one afterwards."""
    if isinstance(part, model.CaReference) and part.source is None:
        return replace(part, source="")
    return part


def _fill_texts(part: Part) -> Part:
    """Likewise for texts that became optional in 3.3, where an empty Clevis section became none."""
    match part:
        case model.Luks(clevis=clevis) if clevis == model.Clevis():
            return replace(part, clevis=None)
        case model.Link(target=None):
            return replace(part, target="")
        case model.Raid(level=None):
            return replace(part, level="")
        case model.Custom():
            return replace(part, config=part.config or "", pin=part.pin or "")
    return part


def _mask_mode(part: Part) -> Part:
    """Ignition did not apply setuid, setgid and sticky before; an old config is not to get them from a new release."""
    if isinstance(part, model.File | model.Directory) and part.mode is not None:
        return replace(part, mode=part.mode & ~SPECIAL_BITS)
    return part


def _drop_advertisement(part: Part) -> Part:
    """The translation to 3.5 copies a Tang server's URL and thumbprint only."""
    return replace(part, advertisement=None) if isinstance(part, model.Tang) else part


_STEPS: Mapping[int, Callable[[Part], Part]] = {
    1: _fill_source,
    3: _fill_texts,
    4: _mask_mode,
    5: _drop_advertisement,
    6: _mask_mode,
}
"""What the step to 3.N changes, by N."""

MASKING = (4, 6)
"""The minor versions whose step takes special mode bits away."""
