"""Which spec to serve a client that says which one it reads."""

from dataclasses import dataclass

from ignition.model import Config
from ignition.specs.accept import Reader, readers
from ignition.specs.source import Origin, Source
from ignition.specs.translation import LossyTranslation, translate
from ignition.specs.versions import SPECS, Spec, UnknownSpec, spec_of


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The config to serve and the spec version it is in: the config as written, or a translation of it."""

    version: str
    config: Config


def negotiate(accept: str | None, config: Source) -> Negotiated:
    """Return the config in the spec to serve to a client that sent this Accept header, None for no header.

    A client gets the config as written when it reads that spec or a newer one, or names no spec at all, as browsers and
    curl do. An older client gets the newest spec it reads. Of several specs that a header names, the one of greatest
    weight that can hold the config decides. No header is too odd to be answered: what is malformed in it is passed over.

    Raises LossyTranslation, naming every value in the way, when no spec that the client reads can hold the config;
    UnknownSpec when the client reads nothing of spec 3; DocumentError when Ignition would refuse the config itself.
    """
    origin = Origin.of(config)
    own = spec_of(origin.config.ignition.version)
    named = readers(accept or "")
    newest = [spec for reader in named if (spec := _newest(reader)) is not None]
    if not named:
        return Negotiated(origin.config.ignition.version, origin.config)
    if not newest:
        raise UnknownSpec(named[0].version, "the newest Ignition spec that the client reads")
    refusals: list[LossyTranslation] = []
    for spec in newest:
        if spec >= own:
            return Negotiated(origin.config.ignition.version, origin.config)
        try:
            return Negotiated(spec.version, translate(config, spec.version))
        except LossyTranslation as refusal:
            refusals.append(refusal)
    raise refusals[0]


def _newest(reader: Reader) -> Spec | None:
    """Return the newest known spec that the client reads, None when it reads none of spec 3."""
    if reader.major != 3:
        return SPECS[-1] if reader.major > 3 else None
    return SPECS[min(reader.minor, SPECS[-1].minor)] if reader.minor >= 0 else None
