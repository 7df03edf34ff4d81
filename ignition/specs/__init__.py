"""The versions of spec 3: configs from one to another, and the one to serve to a client.

Raised are `UnknownSpec`, for a version that is none of the stable ones, and `LossyTranslation`, a DocumentError that
names every value that an older spec cannot hold.
"""

from ignition.specs.lifting import lift
from ignition.specs.negotiation import Negotiated, negotiate
from ignition.specs.source import Origin, Source
from ignition.specs.translation import LossyTranslation, translate
from ignition.specs.versions import NEWEST, OLDEST, SPECS, Spec, UnknownSpec, spec_named, spec_of

__all__ = [
    "NEWEST",
    "OLDEST",
    "SPECS",
    "LossyTranslation",
    "Negotiated",
    "Origin",
    "Source",
    "Spec",
    "UnknownSpec",
    "lift",
    "negotiate",
    "spec_named",
    "spec_of",
    "translate",
]
